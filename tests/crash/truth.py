"""What the world outside knows of a buffer, and the promises that follow from it.

Kept beside the real buffer by whoever drives it, from what was asked and what was answered alone:
no field of the buffer goes in here that a caller could not have noted. A ``Mark`` is the truth at
one moment, ``Truth.after`` what it is once the power was cut there, and ``examine`` holds an opened
buffer against it.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from gateway.buffer import Batch, Buffer, Gap, Reader
from gateway.reading import SeriesKey

__all__ = [
    "Changing",
    "Columns",
    "Link",
    "Mark",
    "Meaning",
    "Purge",
    "Truth",
    "Violation",
    "examine",
]

HOLE, PURGED = -1, -2
"""Stand for the epoch of a sequence whose reading is known to be lost, or was removed."""
VOLATILE_EPOCH = 1 << 31
LIMIT = 1000


class Violation(Exception):
    """A promise was broken; ``kind`` says which."""

    def __init__(self, kind: str, detail: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {detail}")


class Columns:
    """What was appended, by sequence. Only ever grows, so a length is enough to go back."""

    __slots__ = ("epochs", "flags", "series", "times", "values")

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.series: list[int] = []
        self.times: list[int] = []
        self.values: list[float] = []
        self.flags: list[int] = []

    def __len__(self) -> int:
        return len(self.epochs)

    def copy(self, length: int) -> "Columns":
        twin = Columns()
        twin.epochs = self.epochs[:length]
        twin.series = self.series[:length]
        twin.times = self.times[:length]
        twin.values = self.values[:length]
        twin.flags = self.flags[:length]
        return twin

    def append(self, epoch: int, row: tuple[int, int, float, int]) -> None:
        self.epochs.append(epoch)
        self.series.append(row[0])
        self.times.append(row[1])
        self.values.append(row[2])
        self.flags.append(row[3])

    def hold(self, batch: Batch) -> bool:
        """Say whether each reading of the batch is the one that was appended, bit by bit."""
        first, end = batch.first, batch.first + len(batch)
        return (
            end <= len(self.epochs)
            and self.epochs[first:end] == [batch.epoch] * len(batch)
            and self.series[first:end] == batch.series
            and self.times[first:end] == batch.times_ns
            and self.values[first:end] == batch.values
            and self.flags[first:end] == batch.flags
        )

    def living(self, first: int, end: int) -> list[int]:
        """Return the sequences of the range whose readings are not known to be gone."""
        return [first + i for i, epoch in enumerate(self.epochs[first:end]) if epoch >= 0]

    def bury(self, first: int, end: int) -> None:
        self.epochs[first:end] = [HOLE] * (min(end, len(self.epochs)) - first)


class Changing(NamedTuple):
    """Something that was changed: all its values, and from which on one of them must be found."""

    values: tuple[object, ...]
    floor: int = 0

    def set(self, value: object) -> "Changing":
        return self if self.values[-1] == value else Changing((*self.values, value), self.floor)

    def stored(self, length: int) -> "Changing":
        """Only the last of so many values, or a later one, may be found from now on."""
        return Changing(self.values, max(self.floor, length - 1))

    @property
    def allowed(self) -> tuple[object, ...]:
        return self.values[self.floor :]


class Meaning(NamedTuple):
    """What a series id means."""

    key: SeriesKey
    unit: str
    privacy: Changing


class Link(NamedTuple):
    """One life of a link: it was added at ``first``; the next life begins after a removal."""

    first: int
    cursor: int
    floor: int
    """The cursor that a finished flush stored."""
    sure: bool = False
    """A flush finished after it was added."""
    removed: bool = False


Lives = tuple[Link, ...]


class Purge(NamedTuple):
    """A removal that was begun: what it covers may be there or not, until it returned."""

    end: int
    """Sequences below."""
    ids: frozenset[int] | None
    """Of these series; None: of all."""

    def covers(self, sequence: int, series: int) -> bool:
        return sequence < self.end and (self.ids is None or series in self.ids)


class Mark(NamedTuple):
    """The truth at one moment of one process."""

    truth: "Truth"
    columns: Columns
    length: int
    durable_end: int
    floor: int
    epoch: int
    epoch_first: int
    links: dict[str, Lives]
    offsets: dict[int, Changing]
    meanings: dict[int, Meaning]
    boots: dict[int, bytes]
    purge: Purge | None


@dataclass(slots=True)
class Truth:
    """What is known while one process runs."""

    blocks: int
    """Of the ring; a durable reading may go once its slot is being written again."""
    columns: Columns = field(default_factory=Columns)
    epoch: int = 0
    epoch_first: int = 0
    given: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    """For each earlier epoch the runs of sequences that were given, first and end."""
    durable_end: int = 0
    floor: int = 0
    """What lies below may be overwritten."""
    ends: dict[int, int] = field(default_factory=dict)
    """Block number: end of its readings, from what was written."""
    links: dict[str, Lives] = field(default_factory=dict)
    offsets: dict[int, Changing] = field(default_factory=dict)
    """Boot number: wall - boot time."""
    boots: dict[int, bytes] = field(default_factory=dict)
    meanings: dict[int, Meaning] = field(default_factory=dict)
    purge: Purge | None = None

    def mark(self, readers: dict[str, Reader]) -> Mark:
        """Return this moment. Cursors are asked of the readers, as a link would know them."""
        for name, reader in readers.items():
            lives = self.links[name]
            if lives[-1].cursor != reader.cursor:
                self.links[name] = (*lives[:-1], lives[-1]._replace(cursor=reader.cursor))
        return Mark(
            self,
            self.columns,
            len(self.columns),
            self.durable_end,
            self.floor,
            self.epoch,
            self.epoch_first,
            dict(self.links),
            dict(self.offsets),
            dict(self.meanings),
            dict(self.boots),
            self.purge,
        )

    @staticmethod
    def after(mark: Mark) -> "Truth":
        """Return what is known when this process ended at ``mark``."""
        before = mark.truth
        given = {epoch: list(runs) for epoch, runs in before.given.items()}
        if mark.length > mark.epoch_first:
            given.setdefault(mark.epoch, []).append((mark.epoch_first, mark.length))
        return Truth(
            before.blocks,
            mark.columns.copy(mark.length),
            mark.epoch,
            mark.length,
            given,
            mark.durable_end,
            mark.floor,
            dict(before.ends),
            dict(mark.links),
            dict(mark.offsets),
            dict(mark.boots),
            dict(mark.meanings),
            mark.purge,
        )

    def note_append(self, sequence: int, row: tuple[int, int, float, int]) -> None:
        """Note a reading that the buffer took."""
        if sequence != len(self.columns):
            raise Violation("numbers", f"reading {len(self.columns)} was numbered {sequence}")
        for first, end in self.given.get(self.epoch, ()):
            if first <= sequence < end:
                raise Violation("identity", f"({self.epoch}, {sequence}) was given before")
        self.columns.append(self.epoch, row)

    def note_purged(self) -> None:
        """The removal returned: nothing that it covers may be seen again."""
        purge, columns = self.purge, self.columns.copy(len(self.columns))
        assert purge is not None
        for sequence, series in enumerate(columns.series):
            if purge.covers(sequence, series):
                columns.epochs[sequence] = PURGED
        self.columns, self.purge = columns, None

    def kept(self, first: int, end: int) -> list[int]:
        """Return the sequences of the range that were flushed, are not too old, and not removed."""
        found = self.columns.living(max(first, self.floor), min(end, self.durable_end))
        purge, series = self.purge, self.columns.series
        if purge is not None:
            found = [one for one in found if not purge.covers(one, series[one])]
        return found

    def note_block(self, number: int, end: int) -> None:
        """Note that a block is about to be written: what its slot held may be gone from now on."""
        self.ends[number] = end
        self.floor = max(self.floor, self.ends.get(number - self.blocks, 0))

    def note_meaning(self, series: int, key: SeriesKey, unit: str, privacy: str) -> None:
        known = self.meanings.get(series)
        if known is not None and (known.key, known.unit) == (key, unit):
            self.meanings[series] = Meaning(key, unit, known.privacy.set(privacy))
        elif known is not None and series in self.columns.series[self.floor :]:
            raise Violation("meaning", f"series {series} was {known.key} and now is {key}")
        else:
            self.meanings[series] = Meaning(key, unit, Changing((privacy,)))


async def examine(buffer: Buffer, truth: Truth, boot_id: bytes) -> None:
    """Hold a buffer that was just opened against what is known; Violation if a promise is broken.

    Afterwards ``truth`` is about the process that opened it.
    """
    if buffer.stats.degraded or buffer.epoch >= VOLATILE_EPOCH:
        raise Violation("opening", f"the buffer opened degraded: {buffer.stats.degraded_reason}")
    if truth.boots.setdefault(buffer.boot, boot_id) != boot_id:
        raise Violation("boot", f"boot number {buffer.boot} was given to another boot")
    offset = buffer._boots.current.offset_ns
    offsets = truth.offsets.get(buffer.boot, Changing((offset,))).set(offset)
    truth.offsets[buffer.boot] = offsets
    visible_end = await _examine_readings(buffer, truth)
    _examine_links(buffer, truth, visible_end)
    truth.durable_end = buffer.next_sequence
    truth.epoch = buffer.epoch
    truth.epoch_first = buffer.next_sequence
    truth.offsets[buffer.boot] = offsets.stored(len(offsets.values))


async def _examine_readings(buffer: Buffer, truth: Truth) -> int:
    """Read everything; return one above the last reading that is there."""
    columns = truth.columns
    if buffer.next_sequence > len(columns):
        raise Violation("numbers", f"goes on at {buffer.next_sequence} after {len(columns)}")
    missing = truth.kept(buffer.next_sequence, len(columns))
    if missing:
        raise Violation("lost", f"{missing[0]} and {len(missing) - 1} more were flushed")
    columns = truth.columns = columns.copy(buffer.next_sequence)
    probe = Reader("probe", 0, buffer._source)
    position = visible_end = 0
    ids: set[int] = set()
    while (item := await probe.read(LIMIT)) is not None:
        _examine_jump(truth, position, item.first)
        position = item.last + 1
        if isinstance(item, Gap):
            missing = truth.kept(item.first, position)
            if missing:
                raise Violation("lost", f"{item.reason}: {missing[0]} and {len(missing) - 1} more")
            columns.bury(item.first, position)
            continue
        visible_end = position
        _examine_batch(truth, item, running=buffer.boot)
        ids.update(item.series)
    _examine_jump(truth, position, buffer.next_sequence)
    truth.purge = None
    _examine_meanings(buffer, truth, ids)
    return visible_end


def _examine_jump(truth: Truth, position: int, following: int) -> None:
    """Only what was removed on request may be passed over without a word."""
    columns, purge = truth.columns, truth.purge
    if following < position:
        raise Violation("order", f"{following} came after {position}")
    for sequence in range(position, following):
        covered = purge is not None and purge.covers(sequence, columns.series[sequence])
        if columns.epochs[sequence] != PURGED and not covered:
            raise Violation("order", f"{sequence} was passed over")
        columns.epochs[sequence] = PURGED


def _examine_batch(truth: Truth, batch: Batch, *, running: int) -> None:
    if not truth.columns.hold(batch):
        raise Violation(
            "invented", f"{batch.first}..{batch.last} of epoch {batch.epoch} never came"
        )
    offsets = truth.offsets.get(batch.boot)
    if batch.estimated:  # placed between its neighbours, of which later ones learn more
        if offsets is None or batch.synced or batch.boot == running:
            raise Violation("time", f"boot {batch.boot} is no boot to be estimated: {offsets}")
        return
    if offsets is None or batch.offset_ns not in offsets.allowed:
        raise Violation("time", f"offset {batch.offset_ns} of boot {batch.boot}: {offsets}")
    if batch.boot != running:
        truth.offsets[batch.boot] = Changing((batch.offset_ns,))  # nobody will learn more


def _examine_meanings(buffer: Buffer, truth: Truth, ids: set[int]) -> None:
    for series in ids:
        found, known = buffer.series(series), truth.meanings[series]
        if (found.key, found.unit) != (known.key, known.unit):
            raise Violation("meaning", f"series {series} was {known.key} and now is {found.key}")
        if found.privacy not in known.privacy.allowed:
            raise Violation("meaning", f"series {series} has privacy {found.privacy} again")
        truth.meanings[series] = known._replace(privacy=Changing((found.privacy,)))


def _examine_links(buffer: Buffer, truth: Truth, visible_end: int) -> None:
    found = buffer.readers
    for name in set(found) - set(truth.links):
        raise Violation("link", f"link {name} was invented")
    for name, lives in truth.links.items():
        reader, last = found.get(name), lives[-1]
        if reader is None:
            if not last.removed and (last.sure or visible_end > last.first):
                raise Violation("link", f"link {name} is gone")
            continue
        if all(life.removed and life.sure for life in lives):
            raise Violation("link", f"link {name} is back")
        upper = max(life.cursor for life in lives)
        if reader.cursor > upper:
            raise Violation("cursor_ahead", f"{name} is at {reader.cursor}, settled to {upper}")
        if reader.cursor > buffer.next_sequence:
            raise Violation("cursor_ahead", f"{name} is at {reader.cursor}, behind the last one")
        if last.sure and not last.removed and reader.cursor < last.floor:
            raise Violation("cursor_behind", f"{name} is at {reader.cursor}, stored {last.floor}")
        if reader.pending != buffer.next_sequence - reader.cursor:
            raise Violation("account", f"{name} is owed {reader.pending}")
    truth.links = {
        name: (Link(reader.cursor, reader.cursor, reader.cursor, sure=True),)
        for name, reader in found.items()
    }
