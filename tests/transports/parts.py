"""Small real parts for the tests of this room: a sink, two drivers and two devices."""

import asyncio
import contextlib
import os
import re
import struct
import tty
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from gateway.clock import Clock
from gateway.driver import Advert, DriverInfo, NoOptions, Outcome, Restarted, SerialLine
from gateway.reading import Fault, Measured

COMPANY = 0x0499
CLOCK = Clock()
"""Made outside the event loop: it reads the boot's id from a file."""
READING = re.compile(rb"T=(-?\d+(?:\.\d+)?)")
HANG_S = 30.0
"""Only a hang reaches it; most tests are ended by their own time limit before."""

INFO = DriverInfo(
    name="text",
    title="Text lines",
    domain="air",
    quantities=("air.temperature",),
    interval_s=1.0,
    document="tests",
    lines=(SerialLine(9600),),
)


class TextDriver:
    """Lines: ``T=21.5`` is a reading, ``boot`` a restart, everything else noise."""

    info: ClassVar[DriverInfo] = INFO
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any = None, settings: Iterable[bytes] = (b"set\n",)) -> None:
        self._rest = b""
        self._settings = list(settings)

    def on_open(self) -> Iterable[bytes]:
        return self._settings

    def feed(self, data: bytes) -> Iterable[Outcome]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[-64:]
        for line in lines:
            if line == b"boot":
                yield Restarted("boot")
            elif line == b"crash":
                raise ZeroDivisionError("a bug in a driver")
            elif match := READING.fullmatch(line):
                yield Measured("air.temperature", float(match[1]))
            else:
                yield Fault("noise", f"{len(line)} bytes")


class TemperatureBeacon:
    """Manufacturer data of one company: two bytes, hundredths of a degree."""

    info: ClassVar[DriverInfo] = INFO
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any = None) -> None:
        self.adverts: list[Advert] = []

    def claims(self, advert: Advert) -> bool:
        return COMPANY in advert.manufacturer_data

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        self.adverts.append(advert)
        (hundredths,) = struct.unpack(">h", advert.manufacturer_data[COMPANY])
        yield Measured("air.temperature", hundredths / 100)


class CountingDevice:
    """A serial device that says T=0, T=1 and so on, and answers what it is told."""

    interval_s = 0.01

    def __init__(self, seed: int) -> None:
        self._next = seed
        self.told = b""

    def emit(self) -> bytes:
        self._next += 1
        return b"T=%d\n" % (self._next - 1)

    def receive(self, data: bytes) -> bytes:
        self.told += data
        return b"heard %d\n" % len(data)


class CountingBeacon:
    """A beacon whose temperature rises by a hundredth with each advertisement."""

    interval_s = 0.01

    def __init__(self, seed: int, address: str) -> None:
        self._next = seed
        self._address = address

    def emit(self) -> Advert:
        self._next += 1
        data = struct.pack(">h", self._next - 1)
        return Advert(self._address, rssi=-60, manufacturer_data={COMPANY: data})


class Recorder:
    """A sink that keeps everything, and lets a test wait for what it expects."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[Outcome], int]] = []
        self._changed = asyncio.Event()

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        self.calls.append((sensor, list(outcomes), received_ns))
        self._changed.set()

    def values(self, sensor: str | None = None) -> list[float]:
        return [
            outcome.value
            for name, outcomes, _ in self.calls
            for outcome in outcomes
            if isinstance(outcome, Measured) and sensor in (None, name)
        ]

    def faults(self) -> list[Fault]:
        return [each for _, outcomes, _ in self.calls for each in outcomes if type(each) is Fault]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANG_S):
            while not enough():
                self._changed.clear()
                await self._changed.wait()


async def until(enough: Callable[[], bool]) -> None:
    """Wait for something that no event announces."""
    async with asyncio.timeout(HANG_S):
        while not enough():  # noqa: ASYNC110 - the whole point: nothing tells
            await asyncio.sleep(0.005)


class Terminal:
    """A pseudo-terminal at a path, in the hands of the test, which plays the device."""

    def __init__(self, link: Path) -> None:
        self._ours, self._hosts = os.openpty()
        tty.setraw(self._hosts)
        os.set_blocking(self._ours, False)
        self._link = link
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._hosts))

    async def send(self, data: bytes, *, chunk: int = 1 << 20) -> None:
        """Write all of it, in pieces, waiting for the reader where it is slower."""
        async with asyncio.timeout(HANG_S):
            for start in range(0, len(data), chunk):
                piece = data[start : start + chunk]
                while piece:
                    try:
                        piece = piece[os.write(self._ours, piece) :]
                    except BlockingIOError:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)

    def received(self) -> bytes:
        """Return what the host has written since the last call."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self._ours, 4096)
        return data

    async def receive(self, size: int) -> bytes:
        """Return what the host writes, as soon as it is so much."""
        data = b""
        async with asyncio.timeout(HANG_S):
            while len(data) < size:
                await asyncio.sleep(0.005)
                data += self.received()
        return data

    def close(self) -> None:
        self._link.unlink(missing_ok=True)
        os.close(self._ours)
        os.close(self._hosts)
