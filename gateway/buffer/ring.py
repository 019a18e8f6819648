"""The ring in memory: appending, closing blocks, and reading columns of recent blocks.

Synchronous, and plain Python over typed memoryviews of one block buffer, so that it can be
compiled as it stands. Blocks are kept here, oldest first, in four parts:

    [ durable, kept for live readers | tried: handed to the disk | waiting | the open block ]

``tried`` blocks have their block number and are written again unchanged until a sync that covers
them succeeds; ``waiting`` ones have no number yet, so they may fall out when the disk fails for so
long that memory is used up, without leaving a hole in the numbers on disk.
"""

import sys
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

__all__ = ["RECENT_BLOCKS", "Ring", "gather"]

RECENT_BLOCKS = 64
"""Durable blocks that stay in memory (256 KiB), so that a live reader never touches the disk."""

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
        self._start_block()

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int:
        """Take one reading (boot time in ns) and return its sequence."""
        sequence = self.next_sequence
        index = sequence - self._first
        at = 3 * index
        self._times[_TIME_AT + at] = time_ns
        self._values[_VALUE_AT + at] = value
        self._series[_SERIES_AT + 2 * at] = series_id
        self._flags[_FLAGS_AT + 4 * at] = flags
        self.next_sequence = sequence + 1
        if index == _LAST_INDEX:
            self.close_block()
            if self.on_full is not None:
                self.on_full()
        return sequence

    def close_block(self, *, even_empty: bool = False) -> None:
        """Close the open block, however few readings it holds, and begin the next."""
        count = self.next_sequence - self._first
        if not count and not even_empty:
            return
        self._clear_tail(count)
        self._open.count = count
        self._start_block()
        if self.unflushed_blocks > self._max_unflushed:
            self._fall_out()

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
        """Return the block being filled, with its count brought up to date."""
        self._open.count = self.next_sequence - self._first
        return self._open

    def read(self, position: int, stop: int) -> Batch | Gap:
        """Return readings from ``position`` up to ``stop``, all that one batch may hold.

        ``position`` must be at or after ``memory_first`` and before ``next_sequence``. A gap is
        returned whole, whatever ``stop`` says.
        """
        blocks = self.blocks
        self.open_block()
        if position >= self._first:
            return gather(blocks, len(blocks) - 1, position, stop)
        index = bisect_right(blocks, position, key=_first_of) - 1
        if position >= blocks[index].end:
            # Only here does memory have a hole: blocks fell out while the disk was failing.
            return Gap(position, blocks[index + 1].first - 1, "overwritten")
        return gather(blocks, index, position, stop)

    def _fall_out(self) -> None:
        index = self.durable + self.tried
        if index < len(self.blocks) - 1:
            self.lost_readings += self.blocks.pop(index).count

    def _clear_tail(self, count: int) -> None:
        """Zero the place of the next reading: a refused append may have left half of one there."""
        if count < READINGS_PER_BLOCK:
            at = HEADER_SIZE + count * READING_SIZE
            self._open.data[at : at + READING_SIZE] = bytes(READING_SIZE)  # type: ignore[index]

    def _start_block(self) -> None:
        data = bytearray(BLOCK_SIZE)
        self._first = self.next_sequence
        self._open = Block(data, first=self._first, count=0, epoch=self.epoch, boot=self.boot)
        self.blocks.append(self._open)
        view = memoryview(data)
        self._times = view.cast("q")
        self._values = view.cast("d")
        self._series = view.cast("I")
        self._flags = view.cast("H")


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
