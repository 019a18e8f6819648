"""The blocks on disk: writing, reading, and finding what holds a sequence.

Every method blocks; all are called from the one worker thread (or at opening, before there is a
second one to speak of).
"""

import contextlib
import errno
import logging
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.buffer.batch import DropReason
from gateway.buffer.files import BlockFile, Damaged, Placed
from gateway.buffer.layout import (
    BLOCK_SIZE,
    FIRST_DATA_SLOT,
    HEADER_SIZE,
    READING_SIZE,
    REMOVED_SERIES,
    SCRATCH_SLOT,
    Block,
    Super,
    block_seed,
    decode_block,
    decode_super,
    encode_super,
    remove_readings,
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
    stamp: Stamp | None
    """None if all readings of its block were removed."""


class Store:
    """The ring file of one super block. ``high`` is one above the highest number written."""

    def __init__(
        self, path: Path, open_file: OpenFile, file: BlockFile, content: Super, damaged: Damaged
    ) -> None:
        self.path = path
        self._open_file = open_file
        self._file = file
        self.damaged = damaged
        self._bad_numbers: set[int] = set()
        self._forgiving = False
        self._unreadable: OSError | None = None
        self._refused: set[int] = set()
        """Slots that could not be read while one question was answered, see ``_hole``."""
        self._begins_at = 0
        self._allowance = 0
        self._unsure: set[int] = set()
        """Slots that a purge wrote and whose sync failed: what is read there may not be durable."""
        self._unreadable_slots: set[int] = set()
        self.content = content
        self.blocks = content.blocks
        self.seed = block_seed(content.salt)
        self.high = 0
        self.oldest: Oldest | None = None
        self.begun_anew = False
        """The file is another one than it was, and what memory still has is not in it yet."""
        self.written_bytes = 0
        self.damaged_blocks = 0

    @property
    def low(self) -> int:
        """Lowest block number that was not overwritten."""
        return max(0, self.high - self.blocks, self._begins_at)

    @property
    def max_unsynced(self) -> int:
        """How many written blocks may wait for a sync; opening looks so far behind the head."""
        return max(1, min(MAX_UNSYNCED_BLOCKS, self.blocks // 4))

    # -- writing ----------------------------------------------------------------------------

    def write(self, blocks: Sequence[Block]) -> None:
        """Write sealed blocks with rising numbers to their slots; durable after ``sync``."""
        for run in self._runs(blocks):
            self.high = max(self.high, run[-1].number + 1)
            data = b"".join(block.data for block in run)
            self._write(data, self._offset(run[0].number % self.blocks))

    def sync(self) -> None:
        """Return when all that was written is on the device."""
        self._file.sync()
        self.begun_anew = False

    @property
    def in_place(self) -> bool:
        """The path still leads to the file that is open. OSError if that cannot be told."""
        return not isinstance(self._file, Placed) or self._file.in_place()

    def reopen(self) -> None:
        """Take a new file descriptor after an error: the old one may never tell the truth again.

        A file that was removed, or replaced by another, begins anew with this ring's super block:
        then ``begun_anew`` is set, and what memory still has is to be written again.
        """
        replaced = not self.in_place
        file = self._open_file(self.path)
        try:
            found = self._own_super(file)
            if replaced and found is None:
                file = self._cleared(file)
        except OSError:
            file.close()
            raise
        with contextlib.suppress(OSError):
            self._file.close()
        self._file = file
        if replaced:
            logger.error(
                "the ring file was removed or replaced; a new one begins with what memory still has"
            )
            self._begin_anew(copy_of_ours=found is not None)
        if replaced or found is None:
            generation = max(self.content.generation, found.generation if found else 0) + 1
            self.write_super(replace(self.content, generation=generation))

    def _begin_anew(self, *, copy_of_ours: bool) -> None:
        self.begun_anew = True
        self.oldest = None
        self._bad_numbers.clear()
        if not copy_of_ours:  # of an earlier copy of this ring, what it holds stays readable
            self._begins_at = self.high

    def write_again(self, blocks: Sequence[Block]) -> None:
        """Bring sealed blocks that were durable in the lost file to the new one."""
        kept = [block for block in blocks if block.number >= max(0, self.high - self.blocks)]
        if kept:
            self.write(kept)
            self._begins_at = min(self._begins_at, kept[0].number)

    def _own_super(self, file: BlockFile) -> Super | None:
        """Return the newest super block of this very ring, None if the file is not of this ring."""
        found = (decode_super(file.pread(BLOCK_SIZE, at)) for at in (0, BLOCK_SIZE))
        own = [one for one in found if one is not None and one.salt == self.content.salt]
        return max(own, key=lambda one: one.generation, default=None)

    def _cleared(self, file: BlockFile) -> BlockFile:
        """Return an empty file at our path; a strange one that may hold readings is kept aside."""
        if file.size() > self._offset(0):
            file.close()
            target = self.damaged.keep_file(self.path)
            logger.error("the file in the place of the ring was moved to %s", target)
            file = self._open_file(self.path)
        file.pwrite(bytes(self._offset(0)), 0)
        return file

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

    @contextlib.contextmanager
    def tolerance(self, blocks: int) -> Iterator[None]:
        """Take up to so many blocks that cannot be read as damaged, for the time being."""
        self._allowance = blocks
        try:
            yield
        finally:
            self._allowance = 0
            self._unreadable_slots.clear()

    def purge(self, number: int, count: int, series: Collection[int]) -> int:
        """Remove the readings of these series from so many blocks; return how many there were.

        Each block goes to the scratch block first, durable: a power cut leaves the old block, or
        the new one, or a torn one and the new one beside it.
        """
        removed = 0
        for _, block, _ in self.run(number, count):
            if block is None:
                continue
            slot = block.number % self.blocks
            found = remove_readings(block, self.seed, series)
            if not found and slot not in self._unsure:
                continue
            self._unsure.add(slot)
            for target in (SCRATCH_SLOT - FIRST_DATA_SLOT, slot):
                self._write(bytes(block.data), self._offset(target))
                self._file.sync()
            self._unsure.remove(slot)
            removed += found
        return removed

    def purge_slots(self, first: int, count: int) -> int:
        """Remove all readings from neighbouring slots, at once, and what is not valid there.

        ``content.purged_before`` has to say so already: then a torn block is just a removed one.
        """
        removed = 0
        for slot, (block, data) in enumerate(self.slots(first, count), first):
            if block is None:
                if data.strip(b"\x00"):
                    self._write(ZERO_BLOCK, self._offset(slot))
            elif block.end <= self.content.purged_before:
                removed += remove_readings(block, self.seed, None)
                self._write(bytes(block.data), self._offset(slot))
        self._file.sync()
        return removed

    def end_purge(self) -> None:
        """Clear the scratch block, so that no power cut brings back what stands there."""
        self._write(ZERO_BLOCK, SCRATCH_SLOT * BLOCK_SIZE)
        self._file.sync()
        if self.oldest is not None:
            self.oldest = None
            self.find_oldest()

    def finish_purge(self) -> None:
        """Complete, when opening, what a power cut interrupted."""
        data = self._file.pread(BLOCK_SIZE, SCRATCH_SLOT * BLOCK_SIZE)
        decoded = decode_block(data, self.seed, self.content.version)
        if decoded is not None:
            slot = decoded[0].number % self.blocks
            present, old = next(self.slots(slot, 1))
            if old != data and (present is None or present.number == decoded[0].number):
                self._write(data, self._offset(slot))
                self._file.sync()
        if data.strip(b"\x00"):
            self.end_purge()
        if self.content.purging:
            for first in range(0, self.blocks, MAX_UNSYNCED_BLOCKS):
                self.purge_slots(first, min(MAX_UNSYNCED_BLOCKS, self.blocks - first))
            self.content = replace(self.content, purging=False)

    @property
    def free(self) -> int:
        """Bytes that the file system has to spare."""
        return self._file.free()

    def blank(self) -> None:
        """Begin an empty file: no super block yet."""
        self._file.pwrite(bytes(self._offset(0)), 0)

    def scrub(self, slot: int, data: bytes) -> None:
        """Zero a slot that holds no valid block, so that no accident can complete it later."""
        self.damaged.keep(f"block-slot-{slot}", data)
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
            decoded = decode_block(data, self.seed, self.content.version)
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
            self._refused.clear()

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
            if not (self._forgiving or self._allowance):
                raise
            self._unreadable = error
        if count == 1:
            if self._forgiving:
                self._refused.add(first)
            if self._allowance:
                self._note_unreadable(first)
            return b""
        parts = (self._pread(slot, 1) for slot in range(first, first + count))
        return b"".join(part.ljust(BLOCK_SIZE, b"\x00") for part in parts)

    def _note_unreadable(self, slot: int) -> None:
        self._unreadable_slots.add(slot)
        if len(self._unreadable_slots) > self._allowance:
            raise self._unreadable or OSError(errno.EIO, os.strerror(errno.EIO))

    def _write(self, data: bytes, offset: int) -> None:
        self._file.pwrite(data, offset)
        self.written_bytes += len(data)

    def _runs(self, blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
        begin = 0
        for index in range(1, len(blocks) + 1):
            if (
                index == len(blocks)
                or blocks[index].number % self.blocks == 0
                or blocks[index].number != blocks[index - 1].number + 1
            ):
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
        cut_off = self._begins_at > max(0, self.high - self.blocks)
        reason: DropReason = "corrupt" if cut_off else "overwritten"
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
        if self._unreadable is not None and (after is None or self._answers_again()):
            raise self._unreadable
        if position < self.content.purged_before:
            last = min(until, after.first if after else until, self.content.purged_before) - 1
            return Ahead(hole=Hole(position, last, "purged"))
        for number, data in missing:
            self._note_damage(number, data)
        last = until - 1 if after is None else min(after.first, until) - 1
        hole = Hole(
            position,
            last,
            reason,
            None if before is None else _stamp(before, before.count - 1),
            None if after is None else _stamp(after, 0),
        )
        return Ahead(hole=hole, next_number=-1 if after is None else after.number)

    def _answers_again(self) -> bool:
        """Tell whether a slot that could not be read just now can be read: the disk came back.

        Then the later block that was found says nothing about those before it.
        """
        for slot in self._refused:
            with contextlib.suppress(OSError):
                self._file.pread(BLOCK_SIZE, self._offset(slot))
                return True
        return False

    def _note_damage(self, number: int, data: bytes) -> None:
        if number in self._bad_numbers:
            return
        if len(self._bad_numbers) < MAX_REMEMBERED_DAMAGE:
            self._bad_numbers.add(number)
        self.damaged_blocks += 1
        logger.error("block %d of the ring cannot be read; its readings are lost", number)
        if data.strip(b"\x00"):
            self.damaged.keep(f"block-{number}", data)


def _stamp(block: Block, index: int) -> Stamp | None:
    """Date one reading; where that was removed, the next one of the block, or the one before."""
    view = memoryview(block.data)
    at, step = (HEADER_SIZE + 16) // 4, READING_SIZE // 4
    series = view.cast("I")[at : at + step * block.count : step].tolist()
    order = (*range(max(index, 0), block.count), *range(index - 1, -1, -1))
    found = next((one for one in order if series[one] != REMOVED_SERIES), None)
    if found is None:
        return None
    time_ns = view.cast("q")[(HEADER_SIZE // 8) + 3 * found]
    return Stamp(block.boot, time_ns, block.offset_ns, block.synced)
