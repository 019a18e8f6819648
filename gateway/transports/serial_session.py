"""One opening of a serial port: from open to loss."""

import asyncio
import contextlib
import errno
import os
import termios
from types import TracebackType
from typing import Self

import serial

from gateway.clock import Clock
from gateway.driver import Restarted, Stream
from gateway.reading import Measured
from gateway.transports.ending import Ending
from gateway.transports.sink import Sink
from gateway.transports.stats import PortStats

__all__ = ["SerialSession"]

READ_BYTES = 64 * 1024
"""At most so much is read per wake-up; then all other ports have their turn."""
MAX_UNSENT_BYTES = 16 * 1024
"""Settings beyond this are not kept for a device that takes none."""
RESEND_INTERVAL_S = 5.0
"""A device that restarts all the time gets its settings at most so often."""
VANISHED = frozenset({errno.EIO, errno.ENXIO, errno.ENODEV})
"""What the kernel says about a port whose device is gone."""


class SerialSession:
    """Reads the port, sends the settings, and says when it is lost; closes the port on exit."""

    def __init__(  # noqa: PLR0913 - each is one part of what a port is
        self,
        *,
        sensor: str,
        port: serial.Serial,
        driver: Stream,
        sink: Sink,
        clock: Clock,
        stats: PortStats,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sensor = sensor
        self._serial = port
        self._descriptor = port.fileno()
        self._driver = driver
        self._sink = sink
        self._clock = clock
        self._stats = stats
        self._unsent = bytearray()
        self._resend: asyncio.TimerHandle | None = None
        self._resend_from = 0.0
        """Loop time from which settings may be sent again."""
        self.ending = Ending()
        """Settled with ``vanished`` or ``error``."""
        self.problem = ""
        """What the kernel said, if it said anything."""
        self.opened_at = self.last_received_at = self._loop.time()
        self.received = False
        """Any byte came."""
        self.valid = False
        """A reading came: the line setting is right."""

    def __enter__(self) -> Self:
        self._loop.add_reader(self._descriptor, self._on_readable)
        with self.ending:
            self._send_settings()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._resend is not None:
            self._resend.cancel()
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        # The kernel would wait up to 30 s in close for bytes that a dead device does not take.
        with contextlib.suppress(OSError, termios.error):
            self._serial.reset_output_buffer()
        with contextlib.suppress(OSError):
            self._serial.close()

    def _on_readable(self) -> None:
        with self.ending:
            try:
                data = os.read(self._descriptor, READ_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            received_ns = self._clock.now_ns()
            if not data:  # a terminal that was hung up reads as its end
                self._end("vanished", "the device is gone")
                return
            self._stats.received_bytes += len(data)
            self._stats.last_received_ns = received_ns
            self.last_received_at = self._loop.time()
            self.received = True
            self._deliver(data, received_ns)

    def _deliver(self, data: bytes, received_ns: int) -> None:
        outcomes = list(self._driver.feed(data))
        if not outcomes:
            return
        restarted = False
        for outcome in outcomes:
            if isinstance(outcome, Measured):
                self.valid = True
            elif isinstance(outcome, Restarted):
                self._stats.device_restarts += 1
                restarted = True
        self._sink.accept(self._sensor, outcomes, received_ns)
        if restarted and self._resend is None:
            self._resend = self._loop.call_at(self._resend_from, self._on_resend)

    def _on_resend(self) -> None:
        self._resend = None
        self._resend_from = self._loop.time() + RESEND_INTERVAL_S
        with self.ending:
            self._send_settings()

    def _send_settings(self) -> None:
        for message in self._driver.on_open():
            if len(self._unsent) + len(message) > MAX_UNSENT_BYTES:
                self._end("error", "the device does not take its settings")
                return
            self._unsent += message
            self._send()

    def _send(self) -> None:
        """Write what the port takes now, and the rest when it takes more."""
        try:
            sent = os.write(self._descriptor, self._unsent) if self._unsent else 0
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error)
            return
        del self._unsent[:sent]
        self._stats.sent_bytes += sent
        if self._unsent:
            self._loop.add_writer(self._descriptor, self._on_writable)
        else:
            self._loop.remove_writer(self._descriptor)

    def _on_writable(self) -> None:
        with self.ending:
            self._send()

    def _lose(self, error: OSError) -> None:
        cause = "vanished" if error.errno in VANISHED else "error"
        self._end(cause, os.strerror(error.errno) if error.errno else str(error))

    def _end(self, cause: str, problem: str) -> None:
        # Without this, a port that stays readable would call back until the task gets its turn.
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self.problem = problem
        self.ending.settle(cause)
