"""One opening of a serial port: from open to loss."""

import asyncio
from types import TracebackType
from typing import Self

import serial

from gateway.clock import Clock
from gateway.driver import Recognising, Restarted, Stream, TimeTold
from gateway.reading import Measured
from gateway.transports.ending import Ending
from gateway.transports.recorder import Recorder
from gateway.transports.serial_channel import SerialChannel
from gateway.transports.sink import Sink
from gateway.transports.stats import PortStats

__all__ = ["SerialSession"]

MAX_UNSENT_BYTES = 16 * 1024
"""Settings beyond this are not kept for a device that takes none."""
RESEND_INTERVAL_S = 5.0
"""A device that restarts all the time gets its settings at most so often."""


class SerialSession:
    """Reads the port, sends the settings, and says when it is lost; closes the port on exit.

    Without ``settings_wanted`` the settings are only sent when the device says that it restarted.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a port is
        self,
        *,
        sensor: str,
        port: serial.Serial,
        driver: Stream,
        sink: Sink,
        clock: Clock,
        stats: PortStats,
        settings_wanted: bool = True,
        recorder: Recorder | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sensor = sensor
        self._channel = SerialChannel(
            port, clock, on_data=self._take, on_sent=lambda: None, on_lost=self._lost
        )
        self._channel.stats = self._stats = stats
        self._driver = driver
        self._sink = sink
        self._settings_wanted = settings_wanted
        self._recorder = recorder
        self._resend: asyncio.TimerHandle | None = None
        self._resend_from = 0.0
        """Loop time from which settings may be sent again."""
        self.ending = Ending()
        """Settled with ``vanished`` or ``error``."""
        self.problem = ""
        """What the kernel said, if it said anything."""
        self.opened_at = self._loop.time()
        self.valid = False
        """The device was understood: the line setting is right."""
        self.asked = False
        """It got something to answer at this opening."""
        self._recogniser = driver if isinstance(driver, Recognising) else None
        self._recognised = self._recogniser.recognised if self._recogniser is not None else 0

    def __enter__(self) -> Self:
        self._channel.listen()
        if self._settings_wanted:
            with self.ending:
                self.asked = self._send_settings() and self._recogniser is not None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._resend is not None:
            self._resend.cancel()
        self._channel.close()

    @property
    def received(self) -> bool:
        """Tell whether any byte came."""
        return self._channel.received

    @property
    def last_received_at(self) -> float:
        """Return the loop time of the last byte, or of the opening."""
        return self._channel.last_received_at

    def _take(self, data: bytes, received_ns: int) -> None:
        with self.ending:
            if self._recorder is not None:
                self._recorder.add(self._sensor, data, received_ns)
            self._deliver(data, received_ns)

    async def answers(self, timeout_s: float) -> bool:
        """Tell whether a silent device is there, if it can be asked: it answers its settings."""
        if self._recogniser is None:
            return False
        before = self._recogniser.recognised
        with self.ending:
            if not self._send_settings():
                return False
        await self.ending.wait(timeout_s)
        return self._recogniser.recognised > before

    def _deliver(self, data: bytes, received_ns: int) -> None:
        outcomes = list(self._driver.feed(data))
        if self._recogniser is not None and self._recogniser.recognised > self._recognised:
            self._recognised = self._recogniser.recognised
            self._understood()
        if not outcomes:
            return
        restarted = False
        for outcome in outcomes:
            if isinstance(outcome, Measured | TimeTold):
                self._understood()
            elif isinstance(outcome, Restarted):
                self._stats.device_restarts += 1
                restarted = True
        self._sink.accept(self._sensor, outcomes, received_ns)
        if restarted and self._resend is None:
            self._resend = self._loop.call_at(self._resend_from, self._on_resend)

    def _understood(self) -> None:
        self.valid = True
        self._stats.recovery_step = 0

    def _on_resend(self) -> None:
        self._resend = None
        self._resend_from = self._loop.time() + RESEND_INTERVAL_S
        with self.ending:
            self._send_settings()

    def _send_settings(self) -> bool:
        """Send them; False if there are none, or if the device takes none."""
        count = 0
        for message in self._driver.on_open():
            if self._channel.unsent_bytes + len(message) > MAX_UNSENT_BYTES:
                self._channel.lose("error", "the device does not take its settings")
                return False
            self._channel.write(message)
            count += 1
        return count > 0

    def _lost(self, cause: str, problem: str) -> None:
        self.problem = problem
        self.ending.settle(cause)
