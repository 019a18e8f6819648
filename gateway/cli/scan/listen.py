"""Listens to many ports at once, with one line setting after the other; writes nothing."""

import os
import select
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import serial

from gateway.cli.scan.hearing import Fit, make, ranked
from gateway.cli.scan.ports import Port
from gateway.driver import Driver, SerialLine, Stream
from gateway.errors import PortError
from gateway.transports.serial_opening import open_port

__all__ = ["Found", "close", "line_settings", "listen", "read_chunk"]

READ_BYTES = 4096
POLL_S = 0.2
TALKING_BYTES = 16
SAMPLE_BYTES = 48
"""Shown of a device that nobody understands."""


@dataclass(slots=True)
class Found:
    """One port, and all that is known after listening."""

    port: Port
    fits: list[Fit] = field(default_factory=list)
    received_bytes: int = 0
    error: str = ""
    samples: dict[SerialLine, bytes] = field(default_factory=dict)
    """What was heard first with each line setting."""

    def heard(self, line: SerialLine, data: bytes) -> None:
        """Count some bytes, and keep the first of them."""
        self.received_bytes += len(data)
        sample = self.samples.get(line, b"")
        if len(sample) < SAMPLE_BYTES:
            self.samples[line] = (sample + data)[:SAMPLE_BYTES]

    @property
    def talks(self) -> bool:
        """Tell whether there is more than the stray bytes of a line without a device."""
        return self.received_bytes >= TALKING_BYTES

    @property
    def best(self) -> list[Fit]:
        """Return what was understood, or was found on a bus, the surest first."""
        return ranked(self.fits)

    @property
    def sure(self) -> bool:
        """Tell whether nothing else need be tried."""
        return any(fit.sure for fit in self.best)

    @property
    def state(self) -> str:
        """Return found, unknown (it speaks, and nobody understands it), silent or failed."""
        if self.best:
            return "found"
        if self.error:
            return "failed"
        return "unknown" if self.received_bytes else "silent"


class _Ear:
    """One port that is listened to: which line setting, since when, with which drivers."""

    def __init__(self, found: Found, plan: Sequence[tuple[SerialLine, Sequence[type[Driver]]]],
                 listen_s: float) -> None:  # fmt: skip
        self.found = found
        self.port: serial.Serial | None = None
        self._plan = list(plan)
        self._listen_s = listen_s
        self._until = 0.0
        self._line = SerialLine(0)
        self._opened = False
        self._drivers: list[tuple[Stream, Fit]] = []

    def advance(self, now: float) -> bool:
        """Go on to the next line setting if it is time; False when this port is done."""
        if self.port is not None:
            if now < self._until and not self.found.sure:
                return True
            close(self.port)
            self.port = None
            # Whatever the setting is, a device that speaks is heard; a silent one stays silent.
            if self.found.sure or not self.found.received_bytes:
                return False
        if not self._plan or self.found.error:
            return False
        line, classes = self._plan.pop(0)
        self._line, self._drivers = line, []
        for cls in classes:
            driver = make(cls)
            if isinstance(driver, Stream):
                fit = Fit(cls.info.name, line)
                self._drivers.append((driver, fit))
                self.found.fits.append(fit)
        try:
            self.port = open_port(self.found.port.path, line)
        except PortError as error:
            if self._opened:  # the port is there; its adapter does not know this speed
                return self.advance(now)
            self.found.error = error.reason
            return False
        self._opened = True
        self._until = now + self._listen_s
        return True

    def hear(self) -> None:
        """Read what came, and let every driver of this line setting look at it."""
        if self.port is None:
            return
        data = read_chunk(self.port)
        if data is None:
            self.found.error = "the device is gone"
            close(self.port)
            self.port = None
            return
        self.found.heard(self._line, data)
        for driver, fit in self._drivers:
            fit.feed(driver, data)


def listen(
    ports: Iterable[Port],
    drivers: Iterable[type[Driver]],
    listen_s: float,
    done: Callable[[Found], None] | None = None,
) -> list[Found]:
    """Return what is heard at each port, in the order given; ``done`` is told of each at once."""
    plan = line_settings(drivers)
    found = [Found(port) for port in ports]
    ears = [_Ear(each, plan, listen_s) for each in found]
    try:
        while ears := _still_open(ears, done):
            open_ears = {ear.port.fileno(): ear for ear in ears if ear.port is not None}
            for descriptor in select.select(list(open_ears), [], [], POLL_S)[0]:
                open_ears[descriptor].hear()
    finally:
        for ear in ears:
            if ear.port is not None:
                close(ear.port)
    return found


def _still_open(ears: list[_Ear], done: Callable[[Found], None] | None) -> list[_Ear]:
    left = []
    for ear in ears:
        if ear.advance(time.monotonic()):
            left.append(ear)
        elif done is not None:
            done(ear.found)
    return left


def read_chunk(port: serial.Serial) -> bytes | None:
    """Return what came so far, None if the device is gone."""
    try:
        return os.read(port.fileno(), READ_BYTES) or None
    except BlockingIOError:
        return b""
    except OSError:
        return None


def close(port: serial.Serial) -> None:
    """Close a port, also one whose device is gone."""
    try:
        port.close()
    except OSError:
        return


def line_settings(
    drivers: Iterable[type[Driver]],
) -> list[tuple[SerialLine, list[type[Driver]]]]:
    """Return the line settings of all drivers that only listen, the most common ones first."""
    by_line: dict[SerialLine, list[type[Driver]]] = {}
    for cls in drivers:
        if isinstance(make(cls), Stream):
            for line in cls.info.lines:
                by_line.setdefault(line, []).append(cls)
    return sorted(by_line.items(), key=lambda item: -len(item[1]))
