"""Readers: what each link is owed, what of it is settled, and the lanes in which it reads."""

from collections.abc import Iterator, Mapping, Sequence

from gateway.buffer.batch import DROP_REASONS, Batch, DropReason, Gap
from gateway.buffer.boots import BootTime
from gateway.buffer.lane import Fetch, Lane, Settled, Source
from gateway.buffer.layout import EMPTY_SLOT, LINKS, LinkSlot, link_id
from gateway.buffer.store import Stamp

__all__ = ["Fetch", "Lane", "Links", "Reader", "Settled", "Source"]

MAX_RANGES = 1000
"""With so many settled ranges above the cursor nothing is read beside the backlog any more."""


class Reader:
    """One link's view of the ring: it reads ahead, and its cursor follows what is settled.

    At all times ``accepted == acknowledged + pending + sum(dropped.values())``, whatever lane a
    reading was read in.
    """

    def __init__(
        self, name: str, cursor: int, source: Source, *, oldest: Stamp | None = None
    ) -> None:
        """``oldest``: when the reading at ``cursor`` was measured, if that is known."""
        self.name = name
        self.acknowledged = 0
        self.dropped: dict[DropReason, int] = dict.fromkeys(DROP_REASONS, 0)
        self.boundary = cursor
        """Where the present connection began: what lies below is history."""
        self.holds = True
        """Readings wait for the clock to become right; False for a link that sends no times."""
        self._first_owed = cursor
        self._settled = Settled(cursor)
        self._source = source
        self._ring = source.ring
        self._lane = Lane(self, source, cursor)
        self._live: Lane | None = None
        self._oldest = oldest

    @property
    def settled(self) -> Settled:
        """The account; another object after ``renumber``."""
        return self._settled

    @property
    def held_readings(self) -> int:
        """Readings that wait for the clock to become right."""
        lanes = (self._lane,) if self._live is None else (self._lane, self._live)
        firsts = [lane.held_from for lane in lanes]
        first = min((one for one in firsts if one is not None), default=None)
        return 0 if first is None else self._ring.next_sequence - first

    def owes(self, first: int, last: int) -> bool:
        """Tell whether any of the readings ``first`` .. ``last`` is appended and not settled."""
        return self._settled.skip(first)[0] <= min(last, self._ring.next_sequence - 1)

    def boot_id(self, boot: int) -> bytes | None:
        """Return the id of a boot, None if nothing is known of it."""
        return self._source.boots.boot_id(boot)

    def boot_time(self, boot_id: bytes) -> BootTime | None:
        """Return where a boot lies for good; see ``Boots.settled_time``."""
        return self._source.boots.settled_time(boot_id)

    @property
    def first_owed(self) -> int:
        """Sequence from which on this link is owed everything."""
        return self._first_owed

    @property
    def idle(self) -> bool:
        """Nothing that was read waits to be settled."""
        return self._lane.idle and (self._live is None or self._live.idle)

    @property
    def cursor(self) -> int:
        """Lowest unsettled sequence."""
        return self._settled.cursor

    @property
    def next_sequence(self) -> int:
        """Sequence of the next reading that will be appended."""
        return self._ring.next_sequence

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
        self._oldest = self._source.stamp(self.cursor, self._lane.ahead.blocks) or self._oldest
        return self._source.stamp_ns(self._oldest)

    def begin(self, *, beside: bool = False) -> tuple[Lane, ...]:
        """Begin a connection: return one lane from the cursor on, or two that share the account.

        With ``beside`` the first gives out what is unsettled now, the second what comes from now
        on. An account that is in too many pieces already is read in order all the same. Lanes of an
        earlier call must not be used any more.
        """
        self.rewind()
        self.boundary = self._ring.next_sequence
        if not beside or self._settled.ranges > MAX_RANGES:
            return (self._lane,)
        self._lane.restart(self.cursor, self.boundary)
        self._live = Lane(self, self._source, self.boundary)
        return self._lane, self._live

    async def wait(self) -> None:
        """Return as soon as something at or after the read position exists."""
        await self._lane.wait()

    async def read(self, limit: int) -> Batch | Gap | None:
        """Return the next run of at most ``limit`` readings; see ``Lane.read``."""
        return await self._lane.read(limit)

    def rewind(self) -> None:
        """Read again from the cursor, in one lane; what is settled above is not read again."""
        self._live = None
        self._lane.restart(self.cursor)
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

    def drop_below(self, sequence: int, reason: DropReason) -> int:
        """Settle all that is unsettled below ``sequence`` as dropped; return how many those are.

        Only while none of it is on its way.
        """
        count = 0
        while self.cursor < sequence:
            first, settled_from = self._settled.skip(self.cursor)
            last = (sequence if settled_from is None else min(settled_from, sequence)) - 1
            self.settle(first, last, dropped={reason: last - first + 1})
            count += last - first + 1
        return count

    def forget_ahead(self) -> None:
        """Let go of what was read ahead, also of what is just being read."""
        self._lane.forget_ahead()
        if self._live is not None:
            self._live.forget_ahead()
        self._oldest = None

    def renumber(self, by: int, cursor: int | None, oldest: Stamp | None = None) -> None:
        """Raise all sequences by ``by``; ``cursor``: where the disk says that this link stands.

        What was owed, settled and counted so far stays so, behind what the disk still owes. Only
        while ``idle``.
        """
        self._settled = self._settled.raised(by, self._first_owed, cursor)
        self._first_owed = self._first_owed + by if cursor is None else cursor
        self.boundary += by
        end = self._lane.end
        self._lane.restart(self.cursor, None if end is None else end + by)
        if self._live is not None:
            self._live.restart(self._live.position + by)
        self.forget_ahead()
        self._oldest = oldest


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
