"""A clock that is moved by hand, a disk that fails and loses power on request, and short cuts."""

import asyncio
import errno
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.buffer import Batch, Buffer, BufferSettings, Gap, Reader
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT
from gateway.buffer.store import OpenFile
from gateway.clock import Clock, Step
from gateway.reading import SeriesKey

SECTOR = 512
START_NS = 1_000_000_000
WALL_NS = 1_760_000_000_000_000_000
KEY = SeriesKey("air-roof", "air.pm25")
BOOT_A = bytes(range(16))
BOOT_B = bytes(range(16, 32))


class HandClock(Clock):
    """Boot time and wall time stand still until a test moves them."""

    def __init__(
        self, boot_id: bytes = BOOT_A, *, synced: bool = True, wall_ns: int = WALL_NS
    ) -> None:
        self.boot_ns = START_NS
        self.real_ns = wall_ns
        super().__init__(
            trusted=synced,
            boottime_ns=lambda: self.boot_ns,
            realtime_ns=lambda: self.real_ns,
        )
        self.boot_id = boot_id

    def sample(self) -> Step | None:
        """Ask no file, so that a clock can be made inside the event loop."""
        self.offset_ns = self.real_ns - self.boot_ns
        if self._trusted:
            self.sync_source = "trusted"
        return None

    def step_wall(self, change_ns: int) -> None:
        self.real_ns += change_ns
        self.sample()


class FakeDisk:
    """One file that keeps what was written apart from what is durable.

    ``fault`` is asked before each access ("pwrite", "pread", "sync", "open") and may answer with
    an errno. A failed sync does what ext4 does: the pages count as clean afterwards, and a later
    sync returns without having written them.
    """

    def __init__(self) -> None:
        self.durable = bytearray()
        self.cache = bytearray()
        self.unsynced: list[tuple[int, bytes]] = []
        self.writes: list[tuple[int, int]] = []
        self.fault: Callable[[str], int | None] = lambda _: None
        self.accesses_left: int | None = None
        """After so many writes and syncs the power is gone: the rest changes nothing."""

    def open(self, path: Path) -> "FakeDisk":
        """Stand for the file at ``path``, which is empty there; without it, begin anew."""
        self._maybe_fail("open")
        if not path.exists():
            path.touch()
            self.durable.clear()
            self.cache.clear()
        return self

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        self._maybe_fail("pwrite")
        if self._without_power():
            return
        self._put(self.cache, offset, bytes(data))
        self.unsynced.append((offset, bytes(data)))
        self.writes.append((offset, len(data)))

    def pread(self, size: int, offset: int) -> bytes:
        self._maybe_fail("pread")
        return bytes(self.cache[offset : offset + size])

    def sync(self) -> None:
        if self._without_power():
            return
        try:
            self._maybe_fail("sync")
        except OSError:
            self.unsynced.clear()
            raise
        for offset, data in self.unsynced:
            self._put(self.durable, offset, data)
        self.unsynced.clear()

    def size(self) -> int:
        return len(self.cache)

    def free(self) -> int:
        return 1 << 40

    def close(self) -> None:
        pass

    def power_cut(self, rng: random.Random | None = None) -> None:
        """Lose what was not synced, or with ``rng`` any sectors of it."""
        for offset, data in self.unsynced if rng is not None else ():
            for at in range(0, len(data), SECTOR):
                if rng is not None and rng.random() < 0.5:
                    self._put(self.durable, offset + at, data[at : at + SECTOR])
        self.unsynced.clear()
        self.accesses_left = None
        self.cache = bytearray(self.durable)

    def copy(self) -> "FakeDisk":
        twin = FakeDisk()
        twin.durable, twin.cache = bytearray(self.durable), bytearray(self.cache)
        return twin

    def _without_power(self) -> bool:
        if self.accesses_left is None:
            return False
        self.accesses_left -= 1
        return self.accesses_left < 0

    def _maybe_fail(self, access: str) -> None:
        number = self.fault(access)
        if number is not None:
            raise OSError(number, errno.errorcode[number])

    @staticmethod
    def _put(target: bytearray, offset: int, data: bytes) -> None:
        if len(target) < offset + len(data):
            target.extend(bytes(offset + len(data) - len(target)))
        target[offset : offset + len(data)] = data


def settings_for(folder: Path, blocks: int = 64) -> BufferSettings:
    return BufferSettings(
        directory=folder / "data",
        runtime_directory=folder / "run",
        size_bytes=(FIRST_DATA_SLOT + blocks) * BLOCK_SIZE,
        flush_interval_s=0.1,
        open_interval_s=0.02,
    )


async def open_buffer(
    folder: Path,
    *,
    blocks: int = 64,
    clock: Clock | None = None,
    open_file: OpenFile | None = None,
    **changes: Any,
) -> Buffer:
    """Open a buffer in a folder; ``changes`` are settings that differ from the usual."""
    more = {} if open_file is None else {"open_file": open_file}
    settings = replace(settings_for(folder, blocks), **changes)
    return await Buffer.open(settings, clock or HandClock(), **more)


async def abandon(buffer: Buffer) -> None:
    """End a buffer as the death of the process would: nothing is flushed."""
    await buffer._worker.call(buffer._release)
    await buffer._worker.close()
    buffer._closed = True


def append(buffer: Buffer, count: int) -> list[int]:
    """Append readings whose value is their sequence."""
    series = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
    return [
        buffer.append(series, START_NS + buffer.next_sequence, float(buffer.next_sequence), 0)
        for _ in range(count)
    ]


async def drain(reader: Reader, limit: int = 200) -> list[Batch | Gap]:
    found = []
    while (item := await reader.read(limit)) is not None:
        found.append(item)
    return found


def sequences(items: Iterable[Batch | Gap]) -> list[int]:
    """Return the sequences of all readings, after checking that each carries its own value."""
    found: list[int] = []
    for item in items:
        if isinstance(item, Batch):
            expected = list(range(item.first, item.first + len(item)))
            assert item.values == [float(one) for one in expected]
            assert item.times_ns == [START_NS + one for one in expected]
            assert len(item.series) == len(item.flags) == len(item)
            found += expected
    return found


def settle(reader: Reader, items: Iterable[Batch | Gap]) -> None:
    for item in items:
        if isinstance(item, Gap):
            reader.settle(item.first, item.last, dropped={item.reason: item.count})
        else:
            reader.settle(item.first, item.last, acknowledged=len(item))


def balanced(reader: Reader) -> bool:
    return reader.accepted == reader.acknowledged + reader.pending + sum(reader.dropped.values())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task brings about; eight seconds are a hang."""
    async with asyncio.timeout(8):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
