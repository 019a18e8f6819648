"""Reading a ring file without touching it: beside a running daemon, in a copy, or on its own.

Nothing here writes, locks or moves anything. What a daemon is writing at this moment may look torn,
so whatever does not fit is read again before it counts. docs/ring-format.md is the page of record.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from gateway.buffer.batch import Batch
from gateway.buffer.boots import FILE_NAME as BOOTS_FILE
from gateway.buffer.boots import Boot, parse_boots, place_boots
from gateway.buffer.catalogue import FILE_NAME as SERIES_FILE
from gateway.buffer.catalogue import Catalogue, parse_series
from gateway.buffer.files import BACKUP_SUFFIX, JsonState, read_checked
from gateway.buffer.layout import (
    BLOCK_SIZE,
    EMPTY_SLOT,
    FIRST_DATA_SLOT,
    READABLE_VERSIONS,
    Block,
    LinkSlot,
    Super,
    block_seed,
    decode_block,
    decode_super,
    header_cursors,
    super_version,
)
from gateway.errors import NotARing
from gateway.reading import Series

__all__ = [
    "BOOTS_FILE",
    "RING_FILE",
    "SERIES_FILE",
    "BootTimes",
    "Names",
    "Place",
    "RingView",
]

RING_FILE = "ring"
CHUNK_BLOCKS = 64
PROBED_SLOTS = 257
MAX_PROBES = 4
SAMPLED_SLOTS = 64
"""The same as in recovery, for the same reasons."""
NEWEST_BLOCKS = 200
"""The cursors are the highest that stand in so many newest blocks."""
REREADS = 2
REREAD_PAUSE_S = 0.02
MAX_PAUSES = 40
"""What does not fit is read again after a pause, but all pauses together end: 0.8 s."""

T = TypeVar("T")


class Place(NamedTuple):
    """What one slot holds: ``block`` if that is a valid block of this ring that belongs there."""

    slot: int
    block: Block | None
    boot_id: bytes
    data: bytes
    problem: str
    """Why the bytes cannot be had or do not belong there; empty for a plain invalid block."""

    @property
    def blank(self) -> bool:
        """Nothing was ever written here, or it was cleared."""
        return not self.problem and not self.data.strip(b"\x00")

    @property
    def offset(self) -> int:
        """Where the slot begins in the file, in bytes."""
        return (FIRST_DATA_SLOT + self.slot) * BLOCK_SIZE


class RingView:
    """One ring file, open for reading. OSError if it cannot be opened, NotARing if it is none."""

    def __init__(self, path: Path) -> None:
        """``path`` is a data directory, or a ring file wherever it lies and whatever its name."""
        self.path = path / RING_FILE if path.is_dir() else path
        self.directory = self.path.parent
        self._pauses_left = MAX_PAUSES
        self._fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.size_bytes = os.fstat(self._fd).st_size
            self.supers = self._read_supers()
            self.content = self._newest_super()
        except BaseException:
            os.close(self._fd)
            raise
        self.blocks = self.content.blocks
        self._seed = block_seed(self.content.salt)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def max_unsynced(self) -> int:
        """How many slots ahead of the newest block an unfinished flush may have touched."""
        return max(1, min(PROBED_SLOTS - 1, self.blocks // 4))

    # -- blocks -----------------------------------------------------------------------------

    def slots(self, first: int, count: int) -> Iterator[Place]:
        """Read neighbouring slots in chunks; those behind the end of the file are blank."""
        while count > 0:
            part = min(count, CHUNK_BLOCKS)
            try:
                raw = self._pread(part * BLOCK_SIZE, (FIRST_DATA_SLOT + first) * BLOCK_SIZE)
            except OSError:
                yield from (self._place(slot) for slot in range(first, first + part))
            else:
                for index in range(part):
                    data = raw[index * BLOCK_SIZE : (index + 1) * BLOCK_SIZE]
                    place = self._decode(first + index, data)
                    if place.block is None and not place.blank:
                        place = self._again(place)
                    yield place
            first += part
            count -= part

    def walk(self, number: int, stop: int) -> Iterator[tuple[int, Place]]:
        """Read the slots of blocks ``number`` .. ``stop - 1`` in that order.

        A place may hold a block of another lap by then: compare its number.
        """
        while number < stop:
            slot = number % self.blocks
            part = min(stop - number, self.blocks - slot)
            for index, place in enumerate(self.slots(slot, part)):
                yield number + index, place
            number += part

    def walk_valid(self, number: int, stop: int) -> Iterator[Block]:
        """Read the blocks ``number`` .. ``stop - 1`` that are there and whole, oldest first."""
        for wanted, place in self.walk(number, stop):
            if place.block is not None and place.block.number == wanted:
                yield place.block

    def head(self) -> Block | None:
        """Return the newest block, with few reads if the file looks as it should; else None."""
        first = self._place(0).block
        if first is None:
            return self.scan_head()
        head = self._end_of_lap(first)
        for _ in range(MAX_PROBES):
            newer = self._newest(head.number + 1, min(PROBED_SLOTS, self.blocks - 1))
            if newer is None or newer.number < head.number:
                return self.scan_head() if self._newer_elsewhere(head) else head
            head = newer
        return self.scan_head()

    def scan_head(self, tick: Callable[[int], None] = lambda _: None) -> Block | None:
        """Return the newest block after reading the whole file; ``tick`` gets slots done."""
        head: Block | None = None
        for place in self.slots(0, self.blocks):
            if place.block is not None and (head is None or place.block.number > head.number):
                head = place.block
            tick(place.slot)
        return head

    def low(self, head: Block) -> int:
        """Lowest block number that the ring can still hold."""
        return max(0, head.number + 1 - self.blocks)

    def locate(self, sequence: int, head: Block) -> Block | None:
        """Return the first block that holds readings at or after ``sequence``, or None."""
        low, high = self.low(head), head.number + 1
        while low < high:
            middle = (low + high) // 2
            block = next(self.walk_valid(middle, high), None)
            if block is None or block.end > sequence:
                high = middle
            else:
                low = block.number + 1
        later = self.walk_valid(low, head.number + 1)
        return next((block for block in later if block.end > sequence and block.count), None)

    def cursors(self, head: Block) -> dict[str, int]:
        """Return the lowest unsettled sequence of each link, as far as the file knows."""
        links = [(i, link) for i, link in enumerate(self.content.links) if link != EMPTY_SLOT]
        found = {link.name: link.first_sequence for _, link in links}
        for block in self.walk_valid(max(self.low(head), head.number - NEWEST_BLOCKS), head.number):
            _raise_cursors(found, block, links)
        _raise_cursors(found, head, links)
        return found

    # -- inside -----------------------------------------------------------------------------

    def _read_supers(self) -> list[Super | None]:
        """Read both; one that is being written is read again."""
        for attempt in range(REREADS + 1):
            found = [decode_super(self._pread(BLOCK_SIZE, at)) for at in (0, BLOCK_SIZE)]
            if None not in found or attempt == REREADS:
                break
            time.sleep(REREAD_PAUSE_S)
        return found

    def _newest_super(self) -> Super:
        found = [content for content in self.supers if content is not None]
        if not found:
            raise NotARing(str(self.path), self._why_no_super())
        return max(found, key=lambda content: content.generation)

    def _why_no_super(self) -> str:
        known = ", ".join(map(str, sorted(READABLE_VERSIONS)))
        for at in (0, BLOCK_SIZE):
            version = super_version(self._pread(BLOCK_SIZE, at))
            if version is not None and version not in READABLE_VERSIONS:
                return f"format version {version}; this program reads {known}"
        return "no ring, or both of its super blocks are destroyed"

    def _pread(self, size: int, offset: int) -> bytes:
        parts = []
        while size > 0 and (part := os.pread(self._fd, size, offset)):
            parts.append(part)
            size -= len(part)
            offset += len(part)
        return b"".join(parts)

    def _place(self, slot: int) -> Place:
        place = self._read(slot)
        return place if place.block is not None or place.blank else self._again(place)

    def _read(self, slot: int) -> Place:
        try:
            data = self._pread(BLOCK_SIZE, (FIRST_DATA_SLOT + slot) * BLOCK_SIZE)
        except OSError as error:
            return Place(slot, None, b"", b"", f"cannot be read: {error.strerror}")
        return self._decode(slot, data)

    def _decode(self, slot: int, data: bytes) -> Place:
        decoded = decode_block(data, self._seed, self.content.version)
        if decoded is None:
            return Place(slot, None, b"", data, "")
        block, boot_id = decoded
        if block.number % self.blocks != slot:
            return Place(slot, None, b"", data, f"holds block {block.number}, not of this place")
        return Place(slot, block, boot_id, data, "")

    def _again(self, place: Place) -> Place:
        """Read a slot again that may just be being written."""
        for _ in range(REREADS):
            if self._pauses_left > 0:
                self._pauses_left -= 1
                time.sleep(REREAD_PAUSE_S)
            place = self._read(place.slot)
            if place.block is not None:
                break
        return place

    def _end_of_lap(self, first: Block) -> Block:
        """Return the last block that was written in the same lap as the one in slot 0."""
        lap, head = first.number // self.blocks, first
        low, high = 1, self.blocks
        while low < high:
            middle = (low + high) // 2
            block = self._place(middle).block
            if block is not None and block.number // self.blocks == lap:
                head, low = block, middle + 1
            else:
                high = middle
        return head

    def _newest(self, number: int, count: int) -> Block | None:
        places = (place.block for _, place in self.walk(number, number + count))
        valid = (block for block in places if block is not None)
        return max(valid, key=lambda block: block.number, default=None)

    def _newer_elsewhere(self, head: Block) -> bool:
        begin = head.number % self.blocks + PROBED_SLOTS
        room = self.blocks - begin
        if room <= 0:
            return False
        slots = {begin + room * step // SAMPLED_SLOTS for step in range(SAMPLED_SLOTS)}
        blocks = (self._place(slot).block for slot in sorted(slots))
        return any(block is not None and block.number > head.number for block in blocks)


def _raise_cursors(found: dict[str, int], block: Block, links: list[tuple[int, LinkSlot]]) -> None:
    cursors = header_cursors(block)
    for place, link in links:
        if block.number >= link.from_block:
            found[link.name] = max(found[link.name], cursors[place])


# -- the side files -----------------------------------------------------------------------------


class Names:
    """What the series ids mean, as series.json beside the ring says; read again when it changed."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / SERIES_FILE
        self._read()

    def __len__(self) -> int:
        return len(self._ids)

    def known(self, series_id: int) -> bool:
        """Say whether the catalogue has the id; a daemon may have added it a moment ago."""
        if series_id not in self._ids and _changed_ns(self._path) != self._changed_ns:
            self._read()
        return series_id in self._ids

    def series(self, series_id: int) -> Series:
        """Return what an id means; one that nobody knows is ``unknown-<id>`` of class P3."""
        self.known(series_id)
        return self._catalogue.series(series_id)

    def _read(self) -> None:
        self._changed_ns = _changed_ns(self._path)
        series, self.state = _load(self._path, parse_series)
        self._catalogue = Catalogue(series or ())
        self._ids = {one.id for one in series or ()}


class BootTimes:
    """How boot time becomes wall time, as boots.json beside the ring says."""

    def __init__(self, directory: Path) -> None:
        boots, self.state = _load(directory / BOOTS_FILE, parse_boots)
        self.boots: list[Boot] = boots or []
        self._by_number = {boot.number: boot for boot in self.boots}
        # The newest one may still run: then its clock may become right.
        self._placed = place_boots(self.boots)
        self._placed.pop(max(self._by_number, default=0), None)

    def known(self, boot: int) -> bool:
        """Say whether the file has this boot."""
        return boot in self._by_number

    def date(self, batch: Batch) -> None:
        """Give readings of one block the best offset that is known of their boot."""
        record = self._by_number.get(batch.boot)
        if record is None or (batch.synced and record.state == "unsynced"):
            return
        placed = self._placed.get(batch.boot)
        batch.offset_ns = record.offset_ns if placed is None else placed.offset_ns
        batch.synced, batch.estimated = record.state == "synced", placed is not None


def _changed_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _load(path: Path, parse: Callable[[Any], list[T]]) -> tuple[list[T] | None, JsonState]:
    """Do what ``files.load_json`` does, and leave everything where it is."""
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    good: JsonState = "good"
    for candidate, state in ((path, good), (backup, "backup")):
        content = read_checked(candidate)
        try:
            if content is not None:
                return parse(content), "good" if state == "good" else "backup"
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return None, "lost" if path.exists() or backup.exists() else "missing"
