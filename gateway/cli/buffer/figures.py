"""What ``buffer stat`` says, worked out from the file with few reads."""

from dataclasses import dataclass
from pathlib import Path

from gateway.buffer.batch import Batch
from gateway.buffer.inspect import BootTimes, Names, RingView
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, REMOVED_SERIES, Block
from gateway.buffer.ring import gather
from gateway.cli.buffer.words import time_text

__all__ = ["BootFigures", "Figures", "LinkFigures", "Rate", "columns", "figures"]

RATE_BLOCKS = 1024
"""The rate is measured over at most so many of the newest blocks: 4 MiB, 85 min at 5 s a flush."""
MIN_RATE_S = 60.0
"""Shorter than this says little; then readings of an earlier run of the same boot count, too."""
DAMAGED_FOLDER = "damaged"
S_PER_HOUR = 3600.0
S_PER_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast the ring fills, and what that was measured over."""

    blocks: int
    readings: int
    seconds: float
    epoch_only: bool
    """Measured within the newest run of the daemon; else within the newest boot."""

    @property
    def readings_per_s(self) -> float:
        """Readings a second."""
        return self.readings / self.seconds

    @property
    def blocks_per_h(self) -> float:
        """Blocks an hour; short ones count as much as full ones."""
        return self.blocks / self.seconds * S_PER_HOUR

    @property
    def bytes_per_reading(self) -> float:
        """Bytes of blocks for one reading: 25 in full blocks, more in short ones."""
        return self.blocks * BLOCK_SIZE / max(1, self.readings)

    @property
    def bytes_per_day(self) -> float:
        """Bytes of blocks a day, without side files and the file system's own writes."""
        return self.blocks * BLOCK_SIZE / self.seconds * S_PER_DAY


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What one link is owed, as far as the file knows: a running daemon may be further."""

    name: str
    cursor: int
    pending: int
    overwritten: int
    """Of the pending ones; the link will be told of the gap."""
    oldest_pending: str | None
    hours_until_loss: float | None
    """Until the first pending reading is overwritten at the present rate, None if none waits."""


@dataclass(frozen=True, slots=True)
class BootFigures:
    """One uptime of the machine."""

    number: int
    started: str | None
    clock: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """All of it; times are RFC 3339 text in UTC."""

    ring: str
    format_version: int
    epoch: int
    size_bytes: int
    file_bytes: int
    blocks: int
    blocks_used: int
    readings: int
    oldest_sequence: int
    next_sequence: int
    oldest_time: str | None
    newest_time: str | None
    rate: Rate | None
    hours_until_full: float | None
    hours_when_full: float | None
    links: list[LinkFigures]
    boots: list[BootFigures]
    series: int
    series_file: str
    boots_file: str
    damaged_super_blocks: int
    set_aside_blocks: int
    set_aside_files: int


def columns(block: Block, times: BootTimes) -> Batch:
    """Return the readings of one block, with the best offset that is known."""
    batch = gather([block], 0, block.first, block.end)
    times.date(batch)
    return batch


def figures(view: RingView) -> Figures:
    """Gather everything. OSError if the file cannot be read."""
    names, times = Names(view.directory), BootTimes(view.directory)
    head = view.head()
    rate = None if head is None else _rate(view, head, times)
    used = 0 if head is None else min(head.number + 1, view.blocks)
    place = None if head is None else view.locate(0, head)
    oldest = None if head is None else _alive(view, view.content.purged_before, head, times)
    per_h = rate.blocks_per_h if rate is not None else 0.0
    next_sequence = 0 if head is None else head.end
    oldest_sequence = next_sequence if oldest is None else oldest.sequence
    set_aside = _set_aside(view.directory)
    return Figures(
        ring=str(view.path),
        format_version=view.content.version,
        epoch=view.content.epoch,
        size_bytes=(FIRST_DATA_SLOT + view.blocks) * BLOCK_SIZE,
        file_bytes=view.size_bytes,
        blocks=view.blocks,
        blocks_used=used,
        readings=next_sequence - oldest_sequence,
        oldest_sequence=oldest_sequence,
        next_sequence=next_sequence,
        oldest_time=None if oldest is None else time_text(oldest.time_ns),
        newest_time=None if head is None else _newest_time(view, head, times),
        rate=rate,
        hours_until_full=(view.blocks - used) / per_h if per_h else None,
        hours_when_full=view.blocks / per_h if per_h else None,
        links=[] if head is None else _links(view, head, place, times, per_h),
        boots=_boots(times),
        series=len(names),
        series_file=names.state,
        boots_file=times.state,
        damaged_super_blocks=view.supers.count(None),
        set_aside_blocks=sum(name.startswith("block-") for name in set_aside),
        set_aside_files=sum(not name.startswith("block-") for name in set_aside),
    )


def _rate(view: RingView, head: Block, times: BootTimes) -> Rate | None:
    """Measure over the newest blocks of the newest run, or if that is short of the same boot."""
    begin = max(view.low(head), head.number + 1 - RATE_BLOCKS)
    of_boot: Block | None = None
    of_epoch: Block | None = None
    last: Block | None = None
    for block in view.walk_valid(begin, head.number + 1):
        if _times_ns(block, times) is None:
            continue
        if last is not None and block.boot != last.boot:
            of_boot = of_epoch = None
        if last is not None and block.epoch != last.epoch:
            of_epoch = None
        of_boot, of_epoch, last = of_boot or block, of_epoch or block, block
    for first, epoch_only in ((of_epoch, True), (of_boot, False)):
        if first is None or last is None:
            continue
        begun, ended = _times_ns(first, times), _times_ns(last, times)
        seconds = (ended[1] - begun[0]) / 1e9 if begun and ended else 0.0
        if seconds >= MIN_RATE_S:
            blocks = last.number + 1 - first.number
            return Rate(blocks, last.end - first.first, seconds, epoch_only)
    return None


@dataclass(frozen=True, slots=True)
class _Alive:
    """A reading that is there: its block, its place, and when it was measured (wall ns)."""

    block: Block
    sequence: int
    time_ns: int


def _alive(view: RingView, sequence: int, head: Block, times: BootTimes) -> _Alive | None:
    """Return the first reading at or after ``sequence`` that was not purged."""
    block = view.locate(sequence, head)
    if block is None:
        return None
    for later in view.walk_valid(block.number, head.number + 1):
        batch = columns(later, times)
        for index, series_id in enumerate(batch.series):
            if series_id != REMOVED_SERIES and later.first + index >= sequence:
                return _Alive(later, later.first + index, batch.times_ns[index] + batch.offset_ns)
    return None


def _links(
    view: RingView, head: Block, place: Block | None, times: BootTimes, blocks_per_h: float
) -> list[LinkFigures]:
    """``place`` is the oldest block with readings; what is before it was overwritten."""
    found = []
    for name, cursor in view.cursors(head).items():
        pending = max(0, head.end - cursor)
        begin = max(cursor, view.content.purged_before)
        waits = _alive(view, begin, head, times) if pending else None
        hours = None
        if waits is not None and blocks_per_h:
            hours = (waits.block.number + view.blocks - head.number - 1) / blocks_per_h
        overwritten = 0 if place is None else min(pending, max(0, place.first - cursor))
        oldest = None if waits is None else time_text(waits.time_ns)
        found.append(LinkFigures(name, cursor, pending, overwritten, oldest, hours))
    return found


def _boots(times: BootTimes) -> list[BootFigures]:
    """Return the boots, newest last; boot time 0 is when the machine started."""
    return [BootFigures(boot.number, time_text(boot.offset_ns), boot.state) for boot in times.boots]


def _times_ns(block: Block, times: BootTimes) -> tuple[int, int] | None:
    """Return wall ns of the earliest and the latest reading that was not purged, None of none."""
    batch = columns(block, times)
    alive = [
        time_ns
        for time_ns, series_id in zip(batch.times_ns, batch.series, strict=True)
        if series_id != REMOVED_SERIES
    ]
    if not alive:
        return None
    return min(alive) + batch.offset_ns, max(alive) + batch.offset_ns


def _newest_time(view: RingView, head: Block, times: BootTimes) -> str | None:
    """Return when the newest block with readings ends; a purge may have left none there."""
    block = head if head.count else view.locate(head.end - 1, head)
    span = None if block is None else _times_ns(block, times)
    return None if span is None else time_text(span[1])


def _set_aside(directory: Path) -> list[str]:
    """Return the names of what the daemon found damaged and kept."""
    try:
        return [path.name for path in (directory / DAMAGED_FOLDER).iterdir()]
    except OSError:
        return []
