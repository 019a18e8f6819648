"""A serial port whose device talks by itself, kept open for as long as the daemon runs.

No thread and no task per chunk: the loop calls back when the port is readable. Unsent output is
discarded before closing, so neither opening (serial_opening.py) nor closing waits for the device.
"""

import asyncio
from collections.abc import Sequence

import serial

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driver import SerialLine, Stream
from gateway.transports.port_recovery import FIRST_WAIT_S, MAX_WAIT_S, RecoveringPort
from gateway.transports.recorder import Recorder
from gateway.transports.serial_session import SerialSession
from gateway.transports.sink import Sink
from gateway.transports.stats import STEP_S, PortStats

__all__ = ["SerialLineTransport"]

ANSWER_S = 10.0
"""A device that answers its settings does so much sooner."""


class SerialLineTransport:
    """Feeds the bytes of one port to one driver, and its outcomes to the sink.

    Silence for ``silence_timeout_s`` opens the port again; with several ``lines``, an opening that
    gave no reading for so long is followed by one with the next line setting. A device that may
    rightly have no readings (``Recognising``) is understood by its answers, and is asked before
    it is called silent. What is tried against a port that stays without readings stands in
    recovery.py; where a USB device that gave readings went to another port, it is read there.
    With a ``recorder`` all bytes are recorded.
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
        recorder: Recorder | None = None,
    ) -> None:
        if not lines:
            raise ValueError(f"{sensor}: a serial port needs at least one line setting")
        self.stats = PortStats(port=port)
        self._sensor = sensor
        self._driver = driver
        self._lines = tuple(lines)
        self._line_index = 0
        self._sink = sink
        self._clock = clock
        self._silence_timeout_s = silence_timeout_s
        self._recorder = recorder
        self._recovery = RecoveringPort(
            port,
            stats=lambda: (self.stats,),
            who=lambda: f"sensor {sensor}",
            backoff=Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S),
        )

    async def run(self) -> None:
        """Read until cancelled; a missing or failing port is tried again for ever."""
        if self._recorder is None:
            await self._read_for_ever()
        else:
            async with self._recorder:
                await self._read_for_ever()

    async def _read_for_ever(self) -> None:
        while True:
            await self._recovery.find()
            line = self._lines[self._line_index]
            opened = self._recovery.open(line, tries=len(self._lines))
            if opened is not None:
                await self._use(opened)
            await self._recovery.wait()

    async def _use(self, opened: serial.Serial) -> None:
        session = SerialSession(
            sensor=self._sensor,
            port=opened,
            driver=self._driver,
            sink=self._sink,
            clock=self._clock,
            stats=self.stats,
            settings_wanted=self._recovery.settings_wanted,
            recorder=self._recorder,
        )
        cause = ""
        try:
            with session:
                cause = await self._until_lost(session)
        finally:
            self._recovery.closed(cause)
        problem = session.problem or cause
        await self._recovery.lost(cause, problem, received=session.received, fruitful=session.valid)
        if cause in ("silence", "line") and not session.valid:
            self._line_index = (self._line_index + 1) % len(self._lines)

    async def _until_lost(self, session: SerialSession) -> str:
        """Return why the port has to be opened again: vanished, silence, error or line."""
        loop = asyncio.get_running_loop()
        patience_s = self._silence_timeout_s
        if session.asked:
            patience_s = min(patience_s, ANSWER_S)
        invalid_at = session.opened_at + patience_s
        while True:
            doubtful = len(self._lines) > 1 and not session.valid
            silent_at = session.last_received_at + self._silence_timeout_s
            now = loop.time()
            if now >= silent_at:
                if await session.answers(ANSWER_S):
                    continue
                return await session.ending.wait(0.0) or "silence"
            if doubtful and now >= invalid_at:
                return "line" if session.received else "silence"
            wake_at = min(silent_at, invalid_at) if doubtful else silent_at
            cause = await session.ending.wait(min(wake_at - now, STEP_S))
            if cause is not None:
                return cause
