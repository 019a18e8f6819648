"""The ring in memory: appending, closing blocks, and reading columns of recent blocks.

Synchronous, and plain Python over typed memoryviews of one block buffer: as it stands it runs
interpreted, and Cython compiles it with the types in ``ring.pxd``. Both give the same bytes. Blocks
are kept here, oldest first, in four parts:

    [ durable, kept for live readers | tried: handed to the disk | waiting | the open block ]

``tried`` blocks have their block number and are written again unchanged until a sync that covers
them succeeds; ``waiting`` ones have no number yet, so they may fall out when the disk fails for so
long that memory is used up, without leaving a hole in the numbers on disk.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter

from gateway.buffer.batch import Batch, Gap
from gateway.buffer.layout import (
    BLOCK_SIZE,
    HEADER_SIZE,
    READING_SIZE,
    READINGS_PER_BLOCK,
    Block,
)

__all__ = ["COMPILED", "RECENT_BLOCKS", "Ring", "gather"]

COMPILED = not __file__.endswith((".py", ".pyc"))
"""This module is the compiled one."""

RECENT_BLOCKS = 64
"""Durable blocks that stay in memory (256 KiB), so that a live reader never touches the disk."""

_EMPTY = bytes(BLOCK_SIZE)
_LAST_INDEX = READINGS_PER_BLOCK - 1
_first_of = attrgetter("first")

# Where a field of reading 0 stands, and how far reading 1 is away, in items of the field's type.
_TIME_AT, _TIME_STEP = HEADER_SIZE // 8, READING_SIZE // 8
_VALUE_AT = _TIME_AT + 1
_SERIES_AT, _SERIES_STEP = (HEADER_SIZE + 16) // 4, READING_SIZE // 4
_FLAGS_AT, _FLAGS_STEP = (HEADER_SIZE + 20) // 2, READING_SIZE // 2

if sys.byteorder != "little":  # pragma: no cover - the views below are in native order
    raise ImportError("the ring needs a little-endian machine")


class Ring:
    """Accepts readings and keeps them until they are durable; never waits, never does I/O."""

    def __init__(
        self,
        *,
        epoch: int,
        boot: int,
        next_sequence: int,
        max_unflushed_blocks: int,
        recent: Sequence[Block] = (),
    ) -> None:
        self.epoch = epoch
        self.boot = boot
        self.next_sequence = next_sequence
        self.blocks = [block for block in recent if block.count][-RECENT_BLOCKS:]
        """Oldest first; the last one is the open block, whose ``count`` is set when it is read."""
        self.durable = len(self.blocks)
        self.tried = 0
        self.on_full: Callable[[], None] | None = None
        """Called when a block became full, so that it is written soon."""
        self.lost_readings = 0
        """Readings that fell out of memory before the disk took them."""
        self._max_unflushed = max_unflushed_blocks
        self._first = next_sequence
        # Every open block is filled here and copied when it is closed: four views for the life of
        # the ring cost less than four for each block.
        self._buffer = bytearray(BLOCK_SIZE)
        self._bytes = view = memoryview(self._buffer)
        self._times = view.cast("q")
        self._values = view.cast("d")
        self._series = view.cast("I")
        self._flags = view.cast("H")
        self._start_block()

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int:
        """Take one reading (boot time in ns) and return its sequence.

        A number that does not fit its field (u32, i64, double, u16) is refused with a ValueError,
        TypeError or OverflowError, and nothing is appended.
        """
        if series_id >> 32 or flags >> 16:
            raise _does_not_fit(series_id, flags)
        sequence = self.next_sequence
        index = sequence - self._first
        at = 3 * index
        self._times[_TIME_AT + at] = time_ns
        self._values[_VALUE_AT + at] = value
        self._series[_SERIES_AT + 2 * at] = series_id
        self._flags[_FLAGS_AT + 4 * at] = flags
        self.next_sequence = sequence + 1
        if index == _LAST_INDEX:
            self._close(READINGS_PER_BLOCK)
            if self.on_full is not None:
                self.on_full()
        return sequence

    def append_many(
        self,
        series: Sequence[int],
        times_ns: Sequence[int],
        values: Sequence[float],
        flags: Sequence[int],
    ) -> int:
        """Take readings as columns of the same length; return the sequence of the first.

        Arrays of type "I", "q", "d" and "H" are taken as they are, other sequences are converted.
        All or nothing: ValueError, TypeError or OverflowError if the lengths differ or a number
        does not fit its field.
        """
        series_ids = _column(series, "I")
        times = _column(times_ns, "q")
        doubles = _column(values, "d")
        flag_bits = _column(flags, "H")
        total = len(times)
        if not len(series_ids) == len(doubles) == len(flag_bits) == total:
            raise ValueError("the columns of a batch must have the same length")
        sequence = self.next_sequence
        filled = False
        done = 0
        while done < total:
            index = self.next_sequence - self._first
            count = min(_LAST_INDEX + 1 - index, total - done)
            self._put(index, count, done, series_ids, times, doubles, flag_bits)
            self.next_sequence += count
            done += count
            if index + count > _LAST_INDEX:
                self._close(READINGS_PER_BLOCK)
                filled = True
        if filled and self.on_full is not None:
            self.on_full()
        return sequence

    def close_block(self, *, even_empty: bool = False) -> None:
        """Close the open block, however few readings it holds, and begin the next."""
        count = self.next_sequence - self._first
        if count or even_empty:
            self._close(count)

    @property
    def waiting(self) -> int:
        """Closed blocks that were not handed to the disk yet."""
        return len(self.blocks) - 1 - self.durable - self.tried

    @property
    def unflushed_blocks(self) -> int:
        """Closed blocks that no successful sync has covered."""
        return len(self.blocks) - 1 - self.durable

    @property
    def unflushed_readings(self) -> int:
        """Readings in memory that no successful sync has covered, the open block's included."""
        closed = sum(block.count for block in self.blocks[self.durable : -1])
        return closed + self.next_sequence - self._first

    @property
    def memory_first(self) -> int:
        """Sequence from which on readings are in memory."""
        return self.blocks[0].first

    @property
    def open_first(self) -> int:
        """Sequence of the open block's first reading."""
        return self._first

    def tried_blocks(self) -> list[Block]:
        """Return the blocks that were handed to the disk and are not durable yet."""
        return self.blocks[self.durable : self.durable + self.tried]

    def take(self, limit: int) -> list[Block]:
        """Hand over at most ``limit`` waiting blocks, oldest first; they count as tried now."""
        begin = self.durable + self.tried
        taken = self.blocks[begin : min(begin + limit, len(self.blocks) - 1)]
        self.tried += len(taken)
        return taken

    def mark_durable(self) -> None:
        """All tried blocks are on the disk: keep the newest few in memory, let the others go."""
        self.durable += self.tried
        self.tried = 0
        excess = self.durable - RECENT_BLOCKS
        if excess > 0:
            del self.blocks[:excess]
            self.durable -= excess

    def open_block(self) -> Block:
        """Return the block being filled, with its count brought up to date.

        Its bytes change with the next append, and belong to the next block once it is closed.
        """
        count = self.next_sequence - self._first
        self._clear_tail(count)
        self._open.count = count
        return self._open

    def read(self, position: int, stop: int) -> Batch | Gap:
        """Return readings from ``position`` up to ``stop``, all that one batch may hold.

        ``position`` must be at or after ``memory_first`` and before ``next_sequence``. A gap is
        returned whole, whatever ``stop`` says.
        """
        blocks = self.blocks
        self._open.count = self.next_sequence - self._first
        if position >= self._first:
            return gather(blocks, len(blocks) - 1, position, stop)
        index = bisect_right(blocks, position, key=_first_of) - 1
        if position >= blocks[index].end:
            # Only here does memory have a hole: blocks fell out while the disk was failing.
            return Gap(position, blocks[index + 1].first - 1, "overwritten")
        return gather(blocks, index, position, stop)

    def release(self, end: int) -> int:
        """Let waiting blocks with readings below ``end`` alone count as durable; return how many.

        For readings that nobody needs on the disk any more. Blocks on their way stay so.
        """
        released = 0
        while not self.tried and self.waiting:
            block = self.blocks[self.durable]
            if not block.count or block.end > end:
                break
            released += block.count
            self.durable += 1
        if released:
            self.mark_durable()
        return released

    def renumber(self, by: int, *, epoch: int, boot: int, recent: Sequence[Block]) -> None:
        """Put all of this ring, of which nothing is on any disk, behind what a disk holds.

        ``recent`` are the newest blocks there; the readings of this ring end up in that epoch.
        """
        for block in self.blocks:
            block.first += by
            block.epoch = epoch
            block.boot = boot
            block.number = -1
        kept = [block for block in recent if block.count][-RECENT_BLOCKS:]
        self.blocks[:0] = kept
        self.durable, self.tried = len(kept), 0
        self.next_sequence += by
        self._first += by
        self.epoch, self.boot = epoch, boot

    def _close(self, count: int) -> None:
        self._clear_tail(count)
        self._open.data = bytearray(self._buffer)
        self._open.count = count
        self._bytes[:] = _EMPTY
        self._start_block()
        if self.unflushed_blocks > self._max_unflushed:
            self._fall_out()

    def _fall_out(self) -> None:
        index = self.durable + self.tried
        if index < len(self.blocks) - 1:
            self.lost_readings += self.blocks.pop(index).count

    def _put(  # noqa: PLR0913, PLR0917 - where, and the four columns
        self,
        index: int,
        count: int,
        begin: int,
        series: memoryview,
        times: memoryview,
        values: memoryview,
        flags: memoryview,
    ) -> None:
        """Copy ``count`` readings of the columns from ``begin`` on to ``index`` of the open block.

        Compiled, one pass over the readings is a third faster than four over the columns;
        interpreted, a strided assignment is ten times as fast as a loop.
        """
        to_times, to_values = self._times, self._values
        to_series, to_flags = self._series, self._flags
        at, end = 3 * index, begin + count
        if COMPILED:
            for source in range(begin, end):
                to_times[_TIME_AT + at] = times[source]
                to_values[_VALUE_AT + at] = values[source]
                to_series[_SERIES_AT + 2 * at] = series[source]
                to_flags[_FLAGS_AT + 4 * at] = flags[source]
                at += 3
            return
        to = at + 3 * count
        to_times[_TIME_AT + at : _TIME_AT + to : _TIME_STEP] = times[begin:end]
        to_values[_VALUE_AT + at : _VALUE_AT + to : _TIME_STEP] = values[begin:end]
        at, to = 2 * at, 2 * to
        to_series[_SERIES_AT + at : _SERIES_AT + to : _SERIES_STEP] = series[begin:end]
        at, to = 2 * at, 2 * to
        to_flags[_FLAGS_AT + at : _FLAGS_AT + to : _FLAGS_STEP] = flags[begin:end]

    def _clear_tail(self, count: int) -> None:
        """Zero the place of the next reading: a refused append may have left half of one there."""
        if count <= _LAST_INDEX:
            at = HEADER_SIZE + count * READING_SIZE
            self._bytes[at : at + READING_SIZE] = _EMPTY[:READING_SIZE]

    def _start_block(self) -> None:
        self._first = self.next_sequence
        self._open = Block(
            self._buffer, first=self._first, count=0, epoch=self.epoch, boot=self.boot
        )
        self.blocks.append(self._open)


def _column(numbers: Sequence[int] | Sequence[float], typecode: str) -> memoryview:
    """Return a view of the numbers as fields of this type, without a copy where they are that."""
    if not isinstance(numbers, array) or numbers.typecode != typecode:
        numbers = array(typecode, numbers)
    return memoryview(numbers)


def _does_not_fit(series_id: int, flags: int) -> ValueError:
    field, number = ("I", series_id) if series_id >> 32 else ("H", flags)
    return ValueError(f"{number} is an invalid value for format {field!r}")


def gather(blocks: Sequence[Block], index: int, position: int, stop: int) -> Batch:
    """Return columns from ``position`` on, over neighbouring blocks of one epoch and boot.

    ``blocks[index]`` must hold ``position``; ends at ``stop`` or where the run ends.
    """
    block = blocks[index]
    batch = Batch(epoch=block.epoch, boot=block.boot, first=position)
    batch.offset_ns = block.offset_ns
    batch.synced = block.synced
    while True:
        _append_columns(batch, block, position - block.first, min(block.count, stop - block.first))
        position = min(block.end, stop)
        index += 1
        if position >= stop or index >= len(blocks):
            return batch
        block = blocks[index]
        if block.first != position or block.epoch != batch.epoch or block.boot != batch.boot:
            return batch


def _append_columns(batch: Batch, block: Block, begin: int, end: int) -> None:
    view = memoryview(block.data)
    low, high = 3 * begin, 3 * end
    batch.times_ns += view.cast("q")[_TIME_AT + low : _TIME_AT + high : _TIME_STEP].tolist()
    batch.values += view.cast("d")[_VALUE_AT + low : _VALUE_AT + high : _TIME_STEP].tolist()
    low, high = _SERIES_AT + 2 * low, _SERIES_AT + 2 * high
    batch.series += view.cast("I")[low:high:_SERIES_STEP].tolist()
    low, high = _FLAGS_AT + 12 * begin, _FLAGS_AT + 12 * end
    batch.flags += view.cast("H")[low:high:_FLAGS_STEP].tolist()
