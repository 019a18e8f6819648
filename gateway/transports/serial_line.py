"""A serial port whose device talks by itself, kept open for as long as the daemon runs.

No thread and no task per chunk: the loop calls back when the port is readable. pyserial opens with
O_NONBLOCK and sets the line with TCSANOW, and unsent output is discarded before closing, so none
of the three waits for the device. Works the same on pseudo-terminals, which have no modem lines.
"""

import asyncio
import errno
import logging
import os
import termios
from collections.abc import Sequence

import serial

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driver import SerialLine, Stream
from gateway.errors import PortError
from gateway.transports.serial_session import SerialSession
from gateway.transports.sink import Sink
from gateway.transports.stats import PortStats

__all__ = ["SerialLineTransport"]

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
"""First and longest limit of the wait between two attempts to open."""

LOGGER = logging.getLogger("citylab_gateway.transports")


class SerialLineTransport:
    """Feeds the bytes of one port to one driver, and its outcomes to the sink.

    Silence for ``silence_timeout_s`` opens the port again; with several ``lines``, an opening that
    gave no reading for so long is followed by one with the next line setting.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a port is
        self,
        *,
        sensor: str,
        port: str,
        driver: Stream,
        lines: Sequence[SerialLine],
        sink: Sink,
        clock: Clock,
        silence_timeout_s: float,
    ) -> None:
        if not lines:
            raise ValueError(f"{sensor}: a serial port needs at least one line setting")
        self.stats = PortStats(port=port)
        self._sensor = sensor
        self._port = port
        self._driver = driver
        self._lines = tuple(lines)
        self._line_index = 0
        self._sink = sink
        self._clock = clock
        self._silence_timeout_s = silence_timeout_s
        self._backoff = Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
        self._reported = ""

    async def run(self) -> None:
        """Read until cancelled; a missing or failing port is tried again for ever."""
        while True:
            try:
                opened = _open_port(self._port, self._lines[self._line_index])
            except PortError as error:
                self.stats.open_failures += 1
                self._report(str(error))
            else:
                await self._use(opened)
            await asyncio.sleep(self._backoff.next_s())

    async def _use(self, opened: serial.Serial) -> None:
        self.stats.open = True
        self.stats.opens += 1
        self.stats.line = _line_text(self._lines[self._line_index])
        LOGGER.info("sensor %s: %s is open at %s", self._sensor, self._port, self.stats.line)
        session = SerialSession(
            sensor=self._sensor,
            port=opened,
            driver=self._driver,
            sink=self._sink,
            clock=self._clock,
            stats=self.stats,
        )
        try:
            with session:
                cause = await self._until_lost(session)
        finally:
            self.stats.open = False
        self.stats.reopens[cause] = self.stats.reopens.get(cause, 0) + 1
        if session.received:
            self._backoff.reset()
            self._reported = ""
        self._report(f"{self._port}: {session.problem or cause}")
        if cause in ("silence", "line") and not session.valid:
            self._line_index = (self._line_index + 1) % len(self._lines)

    async def _until_lost(self, session: SerialSession) -> str:
        """Return why the port has to be opened again: vanished, silence, error or line."""
        loop = asyncio.get_running_loop()
        while True:
            doubtful = len(self._lines) > 1 and not session.valid
            silent_at = session.last_received_at + self._silence_timeout_s
            invalid_at = session.opened_at + self._silence_timeout_s
            now = loop.time()
            if now >= silent_at:
                return "silence"
            if doubtful and now >= invalid_at:
                return "line"
            wake_at = min(silent_at, invalid_at) if doubtful else silent_at
            cause = await session.ending.wait(wake_at - now)
            if cause is not None:
                return cause

    def _report(self, problem: str) -> None:
        """Keep and log a problem, once as long as it stays the same."""
        self.stats.last_error = problem
        if problem != self._reported:
            self._reported = problem
            LOGGER.warning("sensor %s: %s", self._sensor, problem)


def _open_port(port: str, line: SerialLine) -> serial.Serial:
    """Open a port for this process alone; PortError if that cannot be done now."""
    try:
        return serial.Serial(
            port,
            baudrate=line.baud,
            bytesize=line.bytesize,
            parity=line.parity,
            stopbits=line.stopbits,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except (OSError, ValueError, termios.error) as error:
        raise PortError(port, _reason(error)) from error


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EWOULDBLOCK:  # what flock says
        return "in use by another program"
    return os.strerror(number) if number else str(error)


def _line_text(line: SerialLine) -> str:
    return f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}"
