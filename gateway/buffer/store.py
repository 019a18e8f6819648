"""The blocks on disk: writing, reading, and finding what holds a sequence.

Every method blocks; all are called from the one worker thread (or at opening, before there is a
second one to speak of).
"""

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer.batch import DropReason
from gateway.buffer.files import BlockFile, Damaged
from gateway.buffer.layout import (
    BLOCK_SIZE,
    FIRST_DATA_SLOT,
    HEADER_SIZE,
    Block,
    Super,
    block_seed,
    decode_block,
    decode_super,
    encode_super,
)

__all__ = ["Ahead", "Hole", "Oldest", "OpenFile", "Stamp", "Store"]

logger = logging.getLogger("citylab_gateway.buffer")

OpenFile = Callable[[Path], BlockFile]

READ_AHEAD_BLOCKS = 32
"""Blocks that one visit to the disk brings for one reader: 128 KiB."""
MAX_UNSYNCED_BLOCKS = 256
"""Blocks that may be on their way to the disk at a time; in a small ring a quarter of it."""
FILL_SLICE_BYTES = 1 << 20
"""Zeros that are written ahead of the head at a time, synced, while the disk is idle."""
SPARE_BYTES = 2 << 20
"""What filling leaves free for series.json, boots.json and damaged/."""
MAX_REMEMBERED_DAMAGE = 4096
MAX_KEPT_PER_HOLE = 64
ZERO_BLOCK = bytes(BLOCK_SIZE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something was measured, in the terms of its boot."""

    boot: int
    time_ns: int
    offset_ns: int
    synced: bool


@dataclass(frozen=True, slots=True)
class Hole:
    """Sequences ``first`` .. ``last`` that are not on the disk, and the readings around them."""

    first: int
    last: int
    reason: DropReason
    before: Stamp | None = None
    after: Stamp | None = None


@dataclass(slots=True)
class Ahead:
    """What one visit to the disk found for one reader: blocks that follow each other, or a hole."""

    blocks: list[Block] = field(default_factory=list)
    hole: Hole | None = None
    next_number: int = -1
    """Where to look first next time."""


@dataclass(frozen=True, slots=True)
class Oldest:
    """The oldest readable reading on disk."""

    number: int
    sequence: int
    stamp: Stamp


class Store:
    """The ring file of one super block. ``high`` is one above the highest number written."""

    def __init__(
        self, path: Path, open_file: OpenFile, file: BlockFile, content: Super, damaged: Damaged
    ) -> None:
        self._path = path
        self._open_file = open_file
        self._file = file
        self._damaged = damaged
        self._bad_numbers: set[int] = set()
        self._forgiving = False
        self._unreadable: OSError | None = None
        self.content = content
        self.blocks = content.blocks
        self.seed = block_seed(content.salt)
        self.high = 0
        self.oldest: Oldest | None = None
        self.written_bytes = 0
        self.damaged_blocks = 0

    @property
    def low(self) -> int:
        """Lowest block number that was not overwritten."""
        return max(0, self.high - self.blocks)

    @property
    def max_unsynced(self) -> int:
        """How many written blocks may wait for a sync; opening looks so far behind the head."""
        return max(1, min(MAX_UNSYNCED_BLOCKS, self.blocks // 4))

    # -- writing ----------------------------------------------------------------------------

    def write(self, blocks: Sequence[Block]) -> None:
        """Write sealed blocks with consecutive numbers to their slots; durable after ``sync``."""
        for run in self._runs(blocks):
            self.high = max(self.high, run[-1].number + 1)
            data = b"".join(block.data for block in run)
            self._write(data, self._offset(run[0].number % self.blocks))

    def sync(self) -> None:
        """Return when all that was written is on the device."""
        self._file.sync()

    def reopen(self) -> None:
        """Take a new file descriptor after an error: the old one may never tell the truth again.

        A file that somebody removed meanwhile begins anew with this ring's super block.
        """
        file = self._open_file(self._path)
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = file
        supers = (decode_super(file.pread(BLOCK_SIZE, at)) for at in (0, BLOCK_SIZE))
        if not any(found is not None and found.salt == self.content.salt for found in supers):
            logger.error("the ring file is not the one that was opened; what it held is lost")
            self.write_super(self.content)

    def write_super(self, content: Super) -> None:
        """Write the super block to both places, one durable before the other is touched.

        Twice, so that damage to one of them costs nothing.
        """
        for _ in range(2):
            self._write(encode_super(content), (content.generation % 2) * BLOCK_SIZE)
            self._file.sync()
            self.content = content
            content = content.next(epoch=content.epoch, links=content.links)

    def fill(self) -> bool:
        """Append a slice of real zeros to the file; False when it has its full length.

        OSError if the disk has no room to spare: the side files need some, too.
        """
        size = self._file.size() // BLOCK_SIZE * BLOCK_SIZE
        missing = self._offset(self.blocks) - size
        if missing <= 0:
            return False
        if self._file.free() < FILL_SLICE_BYTES + SPARE_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._file.pwrite(bytes(min(missing, FILL_SLICE_BYTES)), size)
        self._file.sync()
        return True

    def scrub(self, slot: int, data: bytes) -> None:
        """Zero a slot that holds no valid block, so that no accident can complete it later."""
        self._damaged.keep(f"block-slot-{slot}", data)
        self._write(ZERO_BLOCK, self._offset(slot))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    # -- reading ----------------------------------------------------------------------------

    def slots(self, first: int, count: int) -> Iterator[tuple[Block | None, bytes]]:
        """Read neighbouring slots: for each the valid block, or None, and its bytes."""
        raw = self._pread(first, count)
        for place in range(count):
            data = raw[place * BLOCK_SIZE : (place + 1) * BLOCK_SIZE]
            decoded = decode_block(data, self.seed)
            if decoded is not None and decoded[0].number % self.blocks == first + place:
                yield decoded[0], data
            else:
                yield None, data

    def run(self, number: int, count: int) -> Iterator[tuple[int, Block | None, bytes]]:
        """Read ``count`` blocks by number, around the end of the ring: number, block, bytes."""
        while count > 0:
            slot = number % self.blocks
            part = min(count, self.blocks - slot)
            for block, data in self.slots(slot, part):
                fits = block is not None and block.number == number
                yield number, block if fits else None, data
                number += 1
            count -= part

    def block(self, number: int) -> Block | None:
        """Return one block by number, or None if it is not there."""
        for _, block, _ in self.run(number, 1):
            return block
        return None

    def fetch(self, position: int, hint: int, memory: tuple[int, int], *, give_up: bool) -> Ahead:
        """Return blocks from the one that holds ``position`` on, or the hole around it.

        ``hint`` is the block number to try first; ``memory`` is the first sequence in memory and
        the number of its block (-1: it has none yet), where a hole ends at the latest. OSError if
        the disk refuses; with ``give_up`` a block that cannot be read counts as corrupt, provided
        that a later one can be read: otherwise it is the disk that is gone, not the block.
        """
        self._forgiving, self._unreadable = give_up, None
        try:
            return self._fetch(position, hint, memory)
        finally:
            self._forgiving = False

    def _fetch(self, position: int, hint: int, memory: tuple[int, int]) -> Ahead:
        found = self._locate(position, hint)
        if found is None or position >= found.end:
            return self._hole(position, found, memory)
        ahead = Ahead([found], next_number=found.number + 1)
        count = min(READ_AHEAD_BLOCKS, self.high - ahead.next_number)
        for number, block, _ in self.run(ahead.next_number, count):
            if block is None or block.first != ahead.blocks[-1].end:
                break
            ahead.next_number = number + 1
            if block.count:
                ahead.blocks.append(block)
        return ahead

    def stamp(self, position: int) -> Stamp | None:
        """Return when the reading at ``position`` was measured, or the first after it, or None."""
        block = self._locate(position, -1)
        if block is not None and position < block.end:
            return _stamp(block, position - block.first)
        return None if self.oldest is None else self.oldest.stamp

    def find_oldest(self) -> None:
        """Bring ``oldest`` up to date: the first valid block with readings that is still there."""
        if self.oldest is not None and self.oldest.number >= self.low:
            return
        for number, block, _ in self._from(self.low):
            if block is not None and block.count:
                self.oldest = Oldest(number, block.first, _stamp(block, 0))
                return
        self.oldest = None

    # -- inside -----------------------------------------------------------------------------

    def _offset(self, slot: int) -> int:
        return (FIRST_DATA_SLOT + slot) * BLOCK_SIZE

    def _pread(self, first: int, count: int) -> bytes:
        try:
            return self._file.pread(count * BLOCK_SIZE, self._offset(first))
        except OSError as error:
            if not self._forgiving:
                raise
            self._unreadable = error
        if count == 1:
            return b""
        parts = (self._pread(slot, 1) for slot in range(first, first + count))
        return b"".join(part.ljust(BLOCK_SIZE, b"\x00") for part in parts)

    def _write(self, data: bytes, offset: int) -> None:
        self._file.pwrite(data, offset)
        self.written_bytes += len(data)

    def _runs(self, blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
        begin = 0
        for index in range(1, len(blocks) + 1):
            if index == len(blocks) or blocks[index].number % self.blocks == 0:
                yield blocks[begin:index]
                begin = index

    def _from(self, number: int) -> Iterator[tuple[int, Block | None, bytes]]:
        """Read blocks by number up to the newest, the first alone because it mostly suffices."""
        count = 1
        while number < self.high:
            count = min(count, self.high - number)
            yield from self.run(number, count)
            number += count
            count = READ_AHEAD_BLOCKS

    def _locate(self, position: int, hint: int) -> Block | None:
        """Return the newest valid block that begins at or before ``position``."""
        if self.low <= hint < self.high:
            block = self.block(hint)
            if block is not None and block.first <= position < block.end:
                return block
        low, high = self.low, self.high
        found = None
        while low < high:
            middle = (low + high) // 2
            block = next((b for n, b, _ in self._from(middle) if b is not None or n >= high), None)
            if block is None or block.number >= high or block.first > position:
                high = middle
            else:
                found = block
                low = block.number + 1
        return found

    def _hole(self, position: int, before: Block | None, memory: tuple[int, int]) -> Ahead:
        """Say how far the readings are missing from ``position`` on, and why."""
        until, until_number = memory
        reason: DropReason = "overwritten"
        after = None
        missing: list[tuple[int, bytes]] = []
        for number, block, data in self._from(self.low if before is None else before.number + 1):
            if number == until_number or (block is not None and block.first > position):
                after = block
                break
            if block is None:
                missing.append((number, data if len(missing) < MAX_KEPT_PER_HOLE else b""))
                if before is not None or self.low == 0:
                    reason = "corrupt"
        if after is None and self._unreadable is not None:
            raise self._unreadable
        for number, data in missing:
            self._note_damage(number, data)
        last = until - 1 if after is None else min(after.first, until) - 1
        hole = Hole(
            position,
            last,
            reason,
            _stamp(before, before.count - 1) if before is not None and before.count else None,
            _stamp(after, 0) if after is not None and after.count else None,
        )
        return Ahead(hole=hole, next_number=-1 if after is None else after.number)

    def _note_damage(self, number: int, data: bytes) -> None:
        if number in self._bad_numbers:
            return
        if len(self._bad_numbers) < MAX_REMEMBERED_DAMAGE:
            self._bad_numbers.add(number)
        self.damaged_blocks += 1
        logger.error("block %d of the ring cannot be read; its readings are lost", number)
        if data.strip(b"\x00"):
            self._damaged.keep(f"block-{number}", data)


def _stamp(block: Block, index: int) -> Stamp:
    at = (HEADER_SIZE // 8) + 3 * index
    time_ns = memoryview(block.data).cast("q")[at]
    return Stamp(block.boot, time_ns, block.offset_ns, block.synced)
