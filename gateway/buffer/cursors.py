"""Readers: what each link has read, what of it is settled, and what is still owed to it."""

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.backoff import Backoff
from gateway.buffer.batch import DROP_REASONS, Batch, DropReason, Gap
from gateway.buffer.boots import Boots
from gateway.buffer.layout import EMPTY_SLOT, LINKS, REMOVED_SERIES, Block, LinkSlot, link_id
from gateway.buffer.retention import Retention
from gateway.buffer.ring import Ring, gather
from gateway.buffer.store import Ahead, Hole, Stamp

__all__ = ["Fetch", "Links", "Reader", "Settled", "Source"]

logger = logging.getLogger("citylab_gateway.buffer")

READ_ATTEMPTS = 4
"""A place on disk that answers with an error so many times in a row counts as corrupt."""
READ_RETRY_FIRST_S = 0.5
READ_RETRY_MAX_S = 8.0


class Fetch(Protocol):
    """Asks the disk; see ``Store.fetch``."""

    async def __call__(
        self, position: int, hint: int, memory: tuple[int, int], *, give_up: bool
    ) -> Ahead:
        """Return what the disk holds at ``position``. OSError if it cannot be read now."""


@dataclass(slots=True)
class Source:
    """What all readers read from."""

    ring: Ring
    boots: Boots
    fetch: Fetch
    wakeup: asyncio.Event
    retention: Retention
    held: bool = False
    """Readers give out nothing new, so that what is on its way is settled."""

    def date(self, batch: Batch) -> None:
        """Give the batch the best offset that is known of its boot."""
        batch.offset_ns, batch.synced = self.boots.offset(
            batch.boot, batch.offset_ns, stored_synced=batch.synced
        )

    def stamp_ns(self, stamp: Stamp | None) -> int | None:
        """Return wall ns of a stamp, None of none."""
        if stamp is None:
            return None
        offset_ns, _ = self.boots.offset(stamp.boot, stamp.offset_ns, stored_synced=stamp.synced)
        return stamp.time_ns + offset_ns

    def stamp(self, sequence: int, ahead: Sequence[Block] = ()) -> Stamp | None:
        """Return when one reading was measured that is in memory or among ``ahead``, else None."""
        found: Batch | Gap | None = None
        index = _holding(ahead, sequence)
        if self.ring.memory_first <= sequence < self.ring.next_sequence:
            found = self.ring.read(sequence, sequence + 1)
        elif index >= 0:
            found = gather(ahead, index, sequence, sequence + 1)
        if not isinstance(found, Batch) or found.series[0] == REMOVED_SERIES:
            return None
        return Stamp(found.boot, found.times_ns[0], found.offset_ns, found.synced)


class Settled:
    """Disjoint inclusive ranges of settled sequences above a cursor, which moves over a prefix."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    @property
    def count_above(self) -> int:
        """How many sequences above the cursor are settled."""
        return sum(self._lasts) - sum(self._firsts) + len(self._firsts)

    def add(self, first: int, last: int) -> None:
        """Settle one range. ValueError if any part of it was settled before."""
        index = bisect_left(self._firsts, first)
        below = self._lasts[index - 1] if index else self.cursor - 1
        above = self._firsts[index] if index < len(self._firsts) else last + 1
        if not below < first <= last < above:
            raise ValueError(f"{first}..{last} is empty or overlaps what was settled before")
        self._firsts.insert(index, first)
        self._lasts.insert(index, last)
        self._join(index)
        if self._firsts[0] == self.cursor:
            self.cursor = self._lasts.pop(0) + 1
            del self._firsts[0]

    def skip(self, position: int) -> tuple[int, int | None]:
        """Return the first unsettled sequence from ``position`` on, and where the next range is."""
        position = max(position, self.cursor)
        index = bisect_right(self._firsts, position)
        if index and position <= self._lasts[index - 1]:
            position = self._lasts[index - 1] + 1
        return position, self._firsts[index] if index < len(self._firsts) else None

    def _join(self, index: int) -> None:
        """Make one range of neighbours, so that the list stays as short as the window."""
        for left in (index, index - 1):
            if (
                0 <= left < len(self._firsts) - 1
                and self._lasts[left] + 1 == self._firsts[left + 1]
            ):
                self._lasts[left] = self._lasts.pop(left + 1)
                del self._firsts[left + 1]


class Reader:
    """One link's view of the ring: it reads ahead, and its cursor follows what is settled.

    At all times ``accepted == acknowledged + pending + sum(dropped.values())``.
    """

    def __init__(
        self, name: str, cursor: int, source: Source, *, oldest: Stamp | None = None
    ) -> None:
        """``oldest``: when the reading at ``cursor`` was measured, if that is known."""
        self.name = name
        self.acknowledged = 0
        self.dropped: dict[DropReason, int] = dict.fromkeys(DROP_REASONS, 0)
        self._first_owed = cursor
        self._settled = Settled(cursor)
        self._position = cursor
        self._source = source
        self._ring = source.ring
        self._ahead = Ahead()
        self._oldest = oldest
        self._numbering = 0

    @property
    def first_owed(self) -> int:
        """Sequence from which on this link is owed everything."""
        return self._first_owed

    @property
    def idle(self) -> bool:
        """Nothing that was read waits to be settled."""
        return self._position <= self.cursor and not self._settled.count_above

    @property
    def cursor(self) -> int:
        """Lowest unsettled sequence."""
        return self._settled.cursor

    @property
    def accepted(self) -> int:
        """Readings that this link is owed: pending when it was opened, and appended since."""
        return self._ring.next_sequence - self._first_owed

    @property
    def pending(self) -> int:
        """Readings that are not settled, from positions alone and not from the counters."""
        return self._ring.next_sequence - self.cursor - self._settled.count_above

    @property
    def oldest_pending_time_ns(self) -> int | None:
        """Wall time of the oldest unsettled reading, None if there is none.

        A reading that left memory is dated as it was while it was there; while a backlog is being
        settled the time may lag by what is read ahead.
        """
        if not self.pending:
            return None
        self._oldest = self._source.stamp(self.cursor, self._ahead.blocks) or self._oldest
        return self._source.stamp_ns(self._oldest)

    async def wait(self) -> None:
        """Return as soon as something at or after the read position exists."""
        while (
            self._source.held or self._settled.skip(self._position)[0] >= self._ring.next_sequence
        ):
            await self._source.wakeup.wait()

    async def read(self, limit: int) -> Batch | Gap | None:
        """Return the next run of at most ``limit`` readings, or a gap, or None: nothing now.

        The read position moves behind it. A batch never crosses an epoch, a boot, a settled range
        or a gap. Storage that answers with errors is asked again with growing pauses, for about
        ten seconds; then the place counts as corrupt.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        backoff = Backoff(first_s=READ_RETRY_FIRST_S, max_s=READ_RETRY_MAX_S)
        while True:
            found = self._read_memory(limit)
            if found == "again":
                continue
            if found != "disk":
                return found
            position = self._settled.skip(self._position)[0]
            memory = self._ring.blocks[0]
            hint, known = self._ahead.next_number, (memory.first, memory.number)
            give_up = backoff.attempts >= READ_ATTEMPTS
            numbering = self._numbering
            try:
                ahead = await self._source.fetch(position, hint, known, give_up=give_up)
                if numbering == self._numbering:
                    self._ahead = ahead
            except OSError as error:
                logger.warning("link %s cannot read the ring now: %s", self.name, error)
                await asyncio.sleep(backoff.next_s())

    def rewind(self) -> None:
        """Read again from the cursor; what is settled above it is not read again."""
        self._position = self.cursor
        self._source.wakeup.set()
        self._source.wakeup.clear()

    def settle(
        self,
        first: int,
        last: int,
        *,
        acknowledged: int = 0,
        dropped: Mapping[DropReason, int] | None = None,
    ) -> None:
        """Account for readings ``first`` .. ``last``, each exactly once; moves the cursor.

        ValueError if the counts do not add up to the range, or if any of it was settled before or
        was never appended.
        """
        lost = dropped or {}
        if acknowledged + sum(lost.values()) != last - first + 1 or min(
            acknowledged, *lost.values(), 0
        ):
            raise ValueError(
                f"{first}..{last} is not the same as {acknowledged} acknowledged and {dict(lost)}"
            )
        if last >= self._ring.next_sequence:
            raise ValueError(f"{last} was never appended")
        self._settled.add(first, last)
        self.acknowledged += acknowledged
        for reason, count in lost.items():
            self.dropped[reason] += count

    def forget_ahead(self) -> None:
        """Let go of what was read ahead, also of what is just being read."""
        self._ahead = Ahead()
        self._oldest = None
        self._numbering += 1

    def renumber(self, by: int, cursor: int | None, oldest: Stamp | None = None) -> None:
        """Raise all sequences by ``by``; ``cursor``: where the disk says that this link stands.

        What was owed, settled and counted so far stays so, behind what the disk still owes. Only
        while ``idle``.
        """
        first, done = self._first_owed + by, self.cursor + by
        self._first_owed = first if cursor is None else cursor
        self._settled = Settled(done if cursor is None else cursor)
        if cursor is not None and done > first:
            self._settled.add(first, done - 1)
        self._position = self.cursor
        self.forget_ahead()
        self._oldest = oldest

    def _read_memory(self, limit: int) -> Batch | Gap | Literal["disk", "again"] | None:
        """Return what memory knows, or that the disk has to be asked.

        Readings that nobody may have any more are settled here: look again behind them.
        """
        ring = self._ring
        position, settled_from = self._settled.skip(self._position)
        if position >= ring.next_sequence or self._source.held:
            return None
        stop = position + limit
        if settled_from is not None and settled_from < stop:
            stop = settled_from
        found = self._find(position, stop)
        if found is None:
            return "disk"
        if isinstance(found, Gap):
            if settled_from is not None and found.last >= settled_from:
                found = Gap(
                    position,
                    settled_from - 1,
                    found.reason,
                    found.first_time_ns,
                    found.last_time_ns,
                )
            if found.reason == "purged":
                return self._drop(position, found.last, "purged")
        else:
            reason, count = self._source.retention.first_run(found)
            if reason is not None:
                return self._drop(position, position + count - 1, reason)
            if count < len(found):
                found.keep(count)
            self._source.date(found)
        self._position = found.last + 1
        return found

    def _find(self, position: int, stop: int) -> Batch | Gap | None:
        """Return what memory, or what was read ahead, has at a position; None: neither has it."""
        if position >= self._ring.memory_first:
            return self._ring.read(position, stop)
        ahead = self._ahead
        index = _holding(ahead.blocks, position)
        if index >= 0:
            return gather(ahead.blocks, index, position, stop)
        if ahead.hole is not None and ahead.hole.first <= position <= ahead.hole.last:
            return self._gap(ahead.hole, position)
        return None

    def _drop(self, first: int, last: int, reason: DropReason) -> Literal["again"]:
        self.settle(first, last, dropped={reason: last - first + 1})
        self._position = last + 1
        return "again"

    def _gap(self, hole: Hole, position: int) -> Gap:
        wall_ns = self._source.stamp_ns
        return Gap(position, hole.last, hole.reason, wall_ns(hole.before), wall_ns(hole.after))


class Links:
    """The 16 places for links in super block and headers, and the reader in each."""

    def __init__(self, slots: Sequence[LinkSlot], readers: Sequence[Reader | None]) -> None:
        self._slots = list(slots)
        self._readers = list(readers)
        self._stored = self.positions()
        self._dirty = False

    def __iter__(self) -> Iterator[Reader]:
        return (reader for reader in self._readers if reader is not None)

    @property
    def places(self) -> list[tuple[LinkSlot, Reader]]:
        """The places that are taken, each with its reader."""
        pairs = zip(self._slots, self._readers, strict=True)
        return [(slot, reader) for slot, reader in pairs if reader is not None]

    @property
    def by_name(self) -> dict[str, Reader]:
        """All readers by the name of their link."""
        return {reader.name: reader for reader in self}

    def add(self, reader: Reader, *, from_block: int) -> None:
        """Give the reader a free place. ValueError if all 16 are taken."""
        slot = LinkSlot(link_id(reader.name), reader.cursor, from_block, reader.name)
        free = [place for place in range(LINKS) if self._readers[place] is None]
        if not free:
            raise ValueError(f"all {LINKS} places for links are taken; forget one first")
        self._slots[free[0]] = slot
        self._readers[free[0]] = reader
        self._stored[free[0]] = reader.cursor
        self._dirty = True

    def remove(self, name: str) -> None:
        """Free the place of a link; a name that has none is fine."""
        for place, reader in enumerate(self._readers):
            if reader is not None and reader.name == name:
                self._slots[place] = EMPTY_SLOT
                self._readers[place] = None
                self._stored[place] = 0
                self._dirty = True

    def rename(self, old: str, new: str) -> None:
        """Give the link another name. KeyError if there is none, ValueError if that cannot be."""
        identity = link_id(new)
        for place, reader in enumerate(self._readers):
            if reader is not None and reader.name == old:
                if new in self.by_name and new != old:
                    raise ValueError(f"there is a link {new!r} already")
                self._slots[place] = self._slots[place]._replace(id=identity, name=new)
                reader.name = new
                self._dirty = True
                return
        raise KeyError(old)

    def adopt(self, slots: Sequence[LinkSlot], readers: Sequence[Reader | None]) -> None:
        """Take over the places that were found on disk, with these readers in them."""
        self._slots, self._readers, self._stored = list(slots), list(readers), []
        self._dirty = True

    def positions(self) -> list[int]:
        """Return the cursor of every place, 0 where there is none."""
        return [0 if reader is None else reader.cursor for reader in self._readers]

    def cursors(self, end: int) -> list[int]:
        """Return the cursors for a header; none is newer than the data up to ``end``."""
        return [min(cursor, end) for cursor in self.positions()]

    @property
    def moved(self) -> bool:
        """A cursor moved since the last block that carries the cursors was written."""
        return self._stored != self.positions()

    def stored(self, cursors: list[int]) -> None:
        """Note that a header with these cursors goes to the disk."""
        self._stored = cursors

    @property
    def dirty(self) -> bool:
        """A link came or went since the last ``take_changes``."""
        return self._dirty

    def take_changes(self) -> tuple[LinkSlot, ...] | None:
        """Return the places if a link came or went since the last call; else None."""
        if not self._dirty:
            return None
        self._dirty = False
        return tuple(self._slots)

    def not_saved(self) -> None:
        """Make what ``take_changes`` gave due again, because saving it failed."""
        self._dirty = True


def _holding(blocks: Sequence[Block], position: int) -> int:
    """Return the index of the block that holds ``position``, or -1."""
    for index, block in enumerate(blocks):
        if block.first <= position < block.end:
            return index
    return -1
