"""Writes recordings (see recording.py) to files that are rotated and never grow beyond a limit.

What is recorded waits in memory and is written once a second outside the event loop. When the
disk is slower than the port, or full, lines are lost and counted; readings never wait for it.
"""

import asyncio
import logging
import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.clock import Clock
from gateway.driver import Advert
from gateway.transports.recording import format_advert, format_bytes

__all__ = ["Recorder", "RotatedFile"]

WRITE_INTERVAL_S = 1.0
MAX_WAITING_BYTES = 4 * 1024 * 1024
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
"""Raw bytes may be somebody's meter: for the owner alone."""

LOGGER = logging.getLogger("citylab_gateway.transports")


class RotatedFile:
    """Lines in ``path``; the ones before in ``path.1``, ``path.2`` and so on, the oldest last.

    All of them together stay below ``keep`` times ``size_bytes``. Blocks.
    """

    def __init__(
        self, path: Path, *, size_bytes: int, keep: int, make_directory: bool = False
    ) -> None:
        """With ``make_directory`` its directory is made when it is missing, for the owner alone."""
        if size_bytes < 1 or keep < 1:
            raise ValueError("a recording needs room for at least one file")
        self.path = path
        self._size_bytes = size_bytes
        self._keep = keep
        self._make_directory = make_directory

    def write(self, lines: list[bytes]) -> None:
        """Append whole lines, in as many files as it takes; OSError if that fails."""
        if self._make_directory:
            self.path.parent.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        position = 0
        while position < len(lines):
            position = self._append(lines, position)

    def remove(self) -> None:
        """Delete all of it, also what an earlier configuration kept; OSError if that fails."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            if path == self.path or path.suffix[1:].isdecimal():
                path.unlink(missing_ok=True)

    def _append(self, lines: list[bytes], position: int) -> int:
        """Append what still fits into the present file; return the index of the next line."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path, flags, FILE_MODE)
        with os.fdopen(descriptor, "ab") as file:
            used = os.fstat(file.fileno()).st_size
            begin = position
            while position < len(lines):
                size = len(lines[position])
                if used + size > self._size_bytes and (used or size > self._size_bytes):
                    break
                used += size
                position += 1
            file.write(b"".join(lines[begin:position]))
        if position < len(lines) and len(lines[position]) > self._size_bytes:
            return position + 1  # a line that fits into no file
        if position < len(lines):
            self._rotate()
        return position

    def _rotate(self) -> None:
        for number in range(self._keep - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            newer = self.path.with_name(f"{self.path.name}.{number - 1}") if number > 1 else None
            with suppress(FileNotFoundError):
                (newer or self.path).replace(older)
        if self._keep == 1:
            self.path.unlink(missing_ok=True)


class Recorder:
    """Takes bytes and advertisements in the event loop; an async context writes them.

    Several ports may share one: what waits is written when the last of them leaves.
    """

    def __init__(self, file: RotatedFile, clock: Clock) -> None:
        self.chunks: Counter[str] = Counter()
        """By sensor: chunks, answers or advertisements."""
        self.lost_lines = 0
        self.last_error = ""
        self._file = file
        self._offset_ns = clock.offset_ns
        """Times are wall time that does not step: the offset of the beginning counts."""
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._users = 0
        self._task: asyncio.Task[None] | None = None
        self._job: asyncio.Future[None] | None = None

    def add(self, sensor: str, data: bytes, received_ns: int) -> None:
        """Record a chunk from a port."""
        self._put(sensor, format_bytes(self._time_s(received_ns), sensor, data))

    def add_answer(self, sensor: str, request: bytes, data: bytes, received_ns: int) -> None:
        """Record what a polled device answered to a request."""
        self._put(sensor, format_bytes(self._time_s(received_ns), sensor, data, request))

    def add_advert(self, sensor: str, advert: Advert, received_ns: int) -> None:
        """Record an advertisement; hand over those of configured sensors only."""
        self._put(sensor, format_advert(self._time_s(received_ns), advert))

    async def forget(self) -> None:
        """Delete what was recorded so far; OSError if that fails.

        All of it: an advertisement does not say of which sensor it is.
        """
        self._waiting, self._waiting_bytes = [], 0
        if self._job is not None:
            await self._job
        await asyncio.get_running_loop().run_in_executor(None, self._file.remove)

    async def run(self) -> None:
        """Write until cancelled, and then what waits: for whoever has no port of its own."""
        async with self:
            await asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        self._users += 1
        if self._task is None:
            self._task = asyncio.create_task(self._write_for_ever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._users -= 1
        task = self._task
        if self._users or task is None:
            return
        self._task = None
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if self._job is not None:
            await self._job
        await self._write_waiting()

    def _time_s(self, received_ns: int) -> float:
        return (received_ns + self._offset_ns) / 1e9

    def _put(self, sensor: str, line: bytes) -> None:
        if self._waiting_bytes + len(line) > MAX_WAITING_BYTES:
            self.lost_lines += 1
            return
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self.chunks[sensor] += 1

    async def _write_for_ever(self) -> None:
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            await self._write_waiting()

    async def _write_waiting(self) -> None:
        lines, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if lines:
            loop = asyncio.get_running_loop()
            self._job = loop.run_in_executor(None, self._write, lines)
            await asyncio.shield(self._job)  # a write that has begun is waited for at the exit

    def _write(self, lines: list[bytes]) -> None:
        try:
            self._file.write(lines)
        except OSError as error:
            self.lost_lines += len(lines)
            problem = f"{self._file.path}: {error.strerror or error}"
            if problem != self.last_error:
                LOGGER.warning("recording: %s", problem)
            self.last_error = problem
