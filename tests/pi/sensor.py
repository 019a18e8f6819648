"""The dust sensor at the USB adapter: the project's simulated SDS011, with numbers for values."""

import asyncio
import fcntl
import os
import struct
import termios
import time
import tty
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from drivers.sds011.simulated import SimulatedSds011
from tests.end_to_end.held_line import numbered_frame

__all__ = ["DustSensor", "Sent"]

INTERVAL_S = 0.2
"""Ten readings a second: a flush interval is full of them, so that the gateway is not idle."""
READ_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """One report that went onto the line."""

    monotonic_s: float
    wall_s: float


class NumberedSds011(SimulatedSds011):
    """Answers commands as ever; each report carries the next number."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.next_number = 0

    def emit(self) -> bytes:
        """Return a report, or nothing while the sensor sleeps."""
        if not super().emit():
            return b""
        self.next_number += 1
        return numbered_frame(self.next_number - 1)


class DustSensor:
    """Speaks at a pseudo-terminal from start to end, whoever listens; a context manager."""

    def __init__(self, seed: int) -> None:
        self.sent: dict[int, Sent] = {}
        """By number."""
        self._device = NumberedSds011(seed)
        self._is_paused = False
        self._task: asyncio.Task[None]

    @property
    def terminal(self) -> str:
        """The end that QEMU opens."""
        return os.ttyname(self._theirs)

    async def __aenter__(self) -> Self:
        self._ours, self._theirs = os.openpty()
        tty.setraw(self._theirs, termios.TCSANOW)
        os.set_blocking(self._ours, False)
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        (end,) = await asyncio.gather(self._task, return_exceptions=True)
        os.close(self._ours)
        os.close(self._theirs)
        if isinstance(end, Exception):
            raise end

    def pause(self) -> None:
        """Measure nothing more."""
        self._is_paused = True

    def forget(self) -> None:
        """Throw away what is on the line: the power of the sensor comes from the Pi."""
        termios.tcflush(self._theirs, termios.TCIFLUSH)

    async def _run(self) -> None:
        while True:
            if not self._is_paused and not self._waiting():  # a real device has no store either
                self._report()
            self._obey()
            await asyncio.sleep(INTERVAL_S)

    def _report(self) -> None:
        number = self._device.next_number
        frame = self._device.emit()
        if frame:
            self.sent[number] = Sent(time.monotonic(), time.time())
            os.write(self._ours, frame)

    def _obey(self) -> None:
        try:
            commands = os.read(self._ours, READ_BYTES)
        except BlockingIOError:
            return
        os.write(self._ours, self._device.receive(commands))

    def _waiting(self) -> int:
        """Return how many bytes QEMU has not taken."""
        (count,) = struct.unpack("i", fcntl.ioctl(self._theirs, termios.FIONREAD, bytes(4)))
        return int(count)
