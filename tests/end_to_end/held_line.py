"""A serial line whose far end the test holds: what is written here is what the device sends."""

import asyncio
import contextlib
import os
import termios
import tty
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["HeldLine", "Traffic", "dust_frame", "number_of", "numbered_frame"]

TAKEN_POLL_S = 0.002
READ_BYTES = 4096
STEPS = 9998
"""Values that one number of the sensor can have here: 0.1 to 999.8 in steps of 0.1."""
BURST_FRAMES = 5
BURST_INTERVAL_S = 0.01


class HeldLine:
    """A pseudo-terminal behind ``path``; stays plugged in while daemons come and go.

    The kernel keeps what nobody has read yet, a few thousand bytes of it. Part of that is thrown
    away when a program opens the port (pyserial clears its input), as with a real adapter.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        self._ours, self._hosts = os.openpty()
        tty.setraw(self._hosts, termios.TCSANOW)
        os.set_blocking(self._ours, False)
        self.path.symlink_to(os.ttyname(self._hosts))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.path.unlink()
        os.close(self._ours)
        os.close(self._hosts)

    async def write(self, data: bytes) -> None:
        """Send everything; waits while the line takes no more."""
        while data:
            try:
                sent = os.write(self._ours, data)
            except BlockingIOError:
                await asyncio.sleep(TAKEN_POLL_S)
            else:
                data = data[sent:]

    def received(self) -> bytes:
        """Return what the host has sent since the last call."""
        data = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                data += os.read(self._ours, READ_BYTES)
        return data


def dust_frame(pm25_tenths: int, pm10_tenths: int) -> bytes:
    """Return one report of an SDS011, byte by byte as its manual shows it."""
    data = pm25_tenths.to_bytes(2, "little") + pm10_tenths.to_bytes(2, "little") + b"\x5a\x17"
    return b"\xaa\xc0" + data + bytes([sum(data) % 256]) + b"\xab"


def numbered_frame(number: int) -> bytes:
    """Return a report that carries a number: PM2.5 counts in tenths, PM10 the times it was full."""
    high, low = divmod(number, STEPS)
    return dust_frame(low + 1, high + 1)


def number_of(pm25: float, pm10: float) -> int:
    """Return the number that two values in ug/m3 carry."""
    return (round(pm10 * 10) - 1) * STEPS + round(pm25 * 10) - 1


class Traffic:
    """Sends numbered reports, 500 a second, for as long as the context lasts."""

    def __init__(self, line: HeldLine) -> None:
        self.next_number = 0
        """All lower numbers are on the line, this one may be."""
        self._line = line
        self._flowing = asyncio.Event()
        self._idle = asyncio.Event()

    @contextlib.asynccontextmanager
    async def flowing(self) -> AsyncIterator[Self]:
        """Send in the background."""
        self.resume()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self._run())
            yield self
            task.cancel()

    async def pause(self) -> None:
        """Return when nothing more is sent."""
        self._flowing.clear()
        await self._idle.wait()

    def resume(self) -> None:
        """Send again."""
        self._idle.clear()
        self._flowing.set()

    async def _run(self) -> None:
        while True:
            if not self._flowing.is_set():
                self._idle.set()
                await self._flowing.wait()
            for _ in range(BURST_FRAMES):
                await self._line.write(numbered_frame(self.next_number))
                self.next_number += 1
            await asyncio.sleep(BURST_INTERVAL_S)
