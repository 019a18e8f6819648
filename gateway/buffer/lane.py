"""Reading the ring in order from one position, and the account of what is settled."""

import asyncio
import logging
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.backoff import Backoff
from gateway.buffer.batch import Batch, DropReason, Gap
from gateway.buffer.boots import Boots
from gateway.buffer.hold import Hold
from gateway.buffer.layout import REMOVED_SERIES, Block
from gateway.buffer.retention import Retention
from gateway.buffer.ring import Ring, gather
from gateway.buffer.store import Ahead, Hole, Stamp

__all__ = ["Fetch", "Lane", "Owner", "Settled", "Source"]

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
    hold: Hold
    held: bool = False
    """Readers give out nothing new, so that what is on its way is settled."""

    def date(self, batch: Batch) -> None:
        """Give the batch the best offset that is known of its boot."""
        batch.offset_ns, batch.synced, batch.estimated = self._offset(
            batch.boot, batch.offset_ns, stored_synced=batch.synced
        )

    def stamp_ns(self, stamp: Stamp | None) -> int | None:
        """Return wall ns of a stamp, None of none."""
        if stamp is None:
            return None
        return (
            stamp.time_ns + self._offset(stamp.boot, stamp.offset_ns, stored_synced=stamp.synced)[0]
        )

    def _offset(self, boot: int, stored_ns: int, *, stored_synced: bool) -> tuple[int, bool, bool]:
        """Return the best offset, whether the clock was right, and whether it is an estimate."""
        offset_ns, is_synced = self.boots.offset(boot, stored_ns, stored_synced=stored_synced)
        estimate_ns = None if is_synced else self.boots.estimate(boot)
        if estimate_ns is None:
            return offset_ns, is_synced, False
        return estimate_ns, False, True

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
        self.count_above = 0
        """How many sequences above the cursor are settled."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    @property
    def ranges(self) -> int:
        """How many ranges there are above the cursor."""
        return len(self._firsts)

    def add(self, first: int, last: int) -> None:
        """Settle one range. ValueError if any part of it was settled before."""
        index = bisect_left(self._firsts, first)
        below = self._lasts[index - 1] if index else self.cursor - 1
        above = self._firsts[index] if index < len(self._firsts) else last + 1
        if not below < first <= last < above:
            raise ValueError(f"{first}..{last} is empty or overlaps what was settled before")
        self._firsts.insert(index, first)
        self._lasts.insert(index, last)
        self.count_above += last - first + 1
        self._join(index)
        if self._firsts[0] == self.cursor:
            self.count_above -= self._lasts[0] - self.cursor + 1
            self.cursor = self._lasts.pop(0) + 1
            del self._firsts[0]

    def skip(self, position: int) -> tuple[int, int | None]:
        """Return the first unsettled sequence from ``position`` on, and where the next range is."""
        position = max(position, self.cursor)
        index = bisect_right(self._firsts, position)
        if index and position <= self._lasts[index - 1]:
            position = self._lasts[index - 1] + 1
        return position, self._firsts[index] if index < len(self._firsts) else None

    def raised(self, by: int, first_owed: int, cursor: int | None) -> "Settled":
        """Return the same account with all sequences higher by ``by``.

        With ``cursor`` it begins there, and what was settled from ``first_owed`` on stays so.
        """
        raised = Settled(self.cursor + by if cursor is None else cursor)
        if cursor is not None and self.cursor > first_owed:
            raised.add(first_owed + by, self.cursor + by - 1)
        for first, last in zip(self._firsts, self._lasts, strict=True):
            raised.add(first + by, last + by)
        return raised

    def _join(self, index: int) -> None:
        """Make one range of neighbours, so that the list stays as short as the window."""
        for left in (index, index - 1):
            if (
                0 <= left < len(self._firsts) - 1
                and self._lasts[left] + 1 == self._firsts[left + 1]
            ):
                self._lasts[left] = self._lasts.pop(left + 1)
                del self._firsts[left + 1]


class Owner(Protocol):
    """The reader whose account a lane reads by."""

    name: str
    boundary: int
    """No batch has readings of both sides of it."""
    holds: bool
    """Readings of a boot whose clock is not right are kept back for a while."""

    @property
    def settled(self) -> Settled:
        """What is settled; another object after a renumbering."""

    def settle(
        self,
        first: int,
        last: int,
        *,
        acknowledged: int = 0,
        dropped: Mapping[DropReason, int] | None = None,
    ) -> None:
        """Account for readings ``first`` .. ``last``."""


class Lane:
    """One read position: gives out what is not settled, from ``begin`` up to ``end``, in order."""

    def __init__(self, owner: Owner, source: Source, begin: int, end: int | None = None) -> None:
        """``end`` None: whatever is appended belongs to this lane."""
        self.begin = begin
        self.position = begin
        self.end = end
        self.ahead = Ahead()
        self._owner = owner
        self._source = source
        self._ring = source.ring
        self._numbering = 0
        self._moved = asyncio.Event()
        self._held_from: int | None = None

    @property
    def idle(self) -> bool:
        """Nothing that was read waits to be settled."""
        return self._owner.settled.skip(self.begin)[0] >= self.position

    @property
    def unread(self) -> int:
        """Readings from the position on; those settled among them count too."""
        return max(0, self._stop - self.position)

    @property
    def held_from(self) -> int | None:
        """Where it waits for the clock to become right; None: it does not."""
        if self._held_from is None or not self._source.hold.is_on or not self._owner.holds:
            return None
        return self._held_from if self._next == self._held_from else None

    @property
    def _next(self) -> int:
        return self._owner.settled.skip(self.position)[0]

    @property
    def finished(self) -> bool:
        """There is an end, and nothing is left to give out before it."""
        return self.end is not None and self._next >= self.end

    @property
    def _stop(self) -> int:
        appended = self._ring.next_sequence
        return appended if self.end is None else min(self.end, appended)

    async def wait(self) -> None:
        """Return as soon as something at or after the read position exists."""
        while True:
            if self.finished:  # only other numbers can give it more to do
                self._moved.clear()
                await self._moved.wait()
            elif (
                self._source.held
                or self.held_from is not None
                or self._next >= self._ring.next_sequence
            ):
                await self._source.wakeup.wait()
            else:
                return

    async def read(self, limit: int) -> Batch | Gap | None:
        """Return the next run of at most ``limit`` readings, or a gap, or None: nothing now.

        The read position moves behind it. A batch never crosses an epoch, a boot, a settled range,
        the reader's boundary or a gap. Storage that answers with errors is asked again with growing
        pauses, for about ten seconds; then the place counts as corrupt.
        """
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        backoff: Backoff | None = None
        while True:
            found = self._read_memory(limit)
            if found == "again":
                continue
            if found != "disk":
                return found
            backoff = backoff or Backoff(first_s=READ_RETRY_FIRST_S, max_s=READ_RETRY_MAX_S)
            position = self._next
            memory = self._ring.blocks[0]
            hint, known = self.ahead.next_number, (memory.first, memory.number)
            give_up = backoff.attempts >= READ_ATTEMPTS
            numbering = self._numbering
            try:
                ahead = await self._source.fetch(position, hint, known, give_up=give_up)
                if numbering == self._numbering:
                    self.ahead = ahead
            except OSError as error:
                logger.warning("link %s cannot read the ring now: %s", self._owner.name, error)
                await asyncio.sleep(backoff.next_s())

    def restart(self, begin: int, end: int | None = None) -> None:
        """Read again from ``begin``, up to ``end``."""
        self.begin = self.position = begin
        self.end = end
        self._held_from = None
        self._moved.set()

    def forget_ahead(self) -> None:
        """Let go of what was read ahead, also of what is just being read."""
        self.ahead = Ahead()
        self._numbering += 1

    def _read_memory(self, limit: int) -> Batch | Gap | Literal["disk", "again"] | None:
        """Return what memory knows, or that the disk has to be asked.

        Readings that nobody may have any more are settled here: look again behind them.
        """
        position, settled_from = self._owner.settled.skip(self.position)
        bound = self._stop
        if position >= bound or self._source.held:
            return None
        if settled_from is not None and settled_from < bound:
            bound = settled_from
        stop = min(position + limit, bound)
        if position < self._owner.boundary < stop:
            stop = self._owner.boundary
        found = self._find(position, stop)
        if found is None:
            return "disk"
        if isinstance(found, Gap):
            if found.last >= bound:
                times_ns = found.first_time_ns, found.last_time_ns
                found = Gap(position, bound - 1, found.reason, *times_ns)
            if found.reason == "purged":
                return self._drop(position, found.last, "purged")
        else:
            reason, count = self._source.retention.first_run(found)
            if reason is not None:
                return self._drop(position, position + count - 1, reason)
            if self._owner.holds and self._source.hold.keeps(found.boot):
                self._held_from = position
                return None
            found.keep(count)
            self._source.date(found)
        self.position = found.last + 1
        return found

    def _find(self, position: int, stop: int) -> Batch | Gap | None:
        """Return what memory, or what was read ahead, has at a position; None: neither has it."""
        if position >= self._ring.memory_first:
            return self._ring.read(position, stop)
        ahead = self.ahead
        index = _holding(ahead.blocks, position)
        if index >= 0:
            return gather(ahead.blocks, index, position, stop)
        if ahead.hole is not None and ahead.hole.first <= position <= ahead.hole.last:
            return self._gap(ahead.hole, position)
        return None

    def _drop(self, first: int, last: int, reason: DropReason) -> Literal["again"]:
        self._owner.settle(first, last, dropped={reason: last - first + 1})
        self.position = last + 1
        return "again"

    def _gap(self, hole: Hole, position: int) -> Gap:
        wall_ns = self._source.stamp_ns
        return Gap(position, hole.last, hole.reason, wall_ns(hole.before), wall_ns(hole.after))


def _holding(blocks: Sequence[Block], position: int) -> int:
    """Return the index of the block that holds ``position``, or -1."""
    for index, block in enumerate(blocks):
        if block.first <= position < block.end:
            return index
    return -1
