"""Readings of one sensor out of the ring, beside a running daemon; nothing is written."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from gateway.buffer.inspect import BootTimes, Names, RingView
from gateway.buffer.layout import REMOVED_SERIES, Block
from gateway.cli.buffer.figures import columns
from gateway.filters.calibrating import raw_dims
from gateway.reading import Dims, Flag, PrivacyClass, Series

__all__ = ["Stored", "StoredReading", "inputs", "is_raw"]

BLOCKS_AT_ONCE = 64
SEARCHED_BLOCKS = 4096
"""How far back the newest reading of a sensor is looked for: 16 MiB."""
AHEAD_NS = 600_000_000_000
"""Blocks are in the order of writing, but clocks of boots are better and worse."""
RAW = "raw"
JUDGEMENTS = int(Flag.RANGE | Flag.RATE | Flag.SPIKE | Flag.STUCK)
"""Flags that only filters set; they are taken off, so that the chain judges anew."""


class StoredReading(NamedTuple):
    """One reading that was stored."""

    series: Series
    wall_ns: int
    value: float
    flags: int
    synced: bool


def is_raw(dims: Dims) -> bool:
    """Tell whether a series was kept as it was before a calibration."""
    channel = dict(dims).get("channel", "")
    return channel == RAW or channel.endswith(f"-{RAW}")


class Stored:
    """What the ring holds of one sensor since ``since_ns`` (wall), as it was when this began."""

    def __init__(
        self, view: RingView, sensor: str, since_ns: int, limits_ns: Mapping[PrivacyClass, int]
    ) -> None:
        """``limits_ns``: readings of a class that are older (wall ns) have expired."""
        self._view = view
        self._sensor = sensor
        self._since_ns = since_ns
        self._limits_ns = limits_ns
        self._names = Names(view.directory)
        self._times = BootTimes(view.directory)
        self._head = view.head()
        self._first = self._find_first()
        self.suppressed = 0
        """Hidden counts; whatever number stands there is not looked at (PRIV-05)."""

    def series(self) -> dict[int, Series]:
        """Return the series that have a reading, by id."""
        found = {reading.series.id: reading.series for reading in self._all()}
        return dict(sorted(found.items()))

    def readings(self) -> Iterator[StoredReading]:
        """Yield the readings in the order in which they were accepted."""
        self.suppressed = 0
        for reading in self._all():
            if reading.flags & Flag.SUPPRESSED:
                self.suppressed += 1
            else:
                yield reading._replace(flags=reading.flags & ~JUDGEMENTS)

    def newest_ns(self) -> int | None:
        """Return when the sensor measured last (wall ns), None if that is too far back."""
        head = self._head
        if head is None:
            return None
        stop = head.number + 1
        low = max(self._view.low(head), stop - SEARCHED_BLOCKS)
        while stop > low:
            start = max(low, stop - BLOCKS_AT_ONCE)
            blocks = self._view.walk_valid(start, stop)
            found = [each.wall_ns for block in blocks for each in self._of_block(block)]
            if found:
                return max(found)
            stop = start
        return None

    def _all(self) -> Iterator[StoredReading]:
        if self._head is None:
            return
        for block in self._view.walk_valid(self._first, self._head.number + 1):
            for reading in self._of_block(block):
                if reading.wall_ns >= self._since_ns:
                    yield reading

    def _of_block(self, block: Block) -> Iterator[StoredReading]:
        """Yield what the sensor has in one block and what has not expired (PRIV-10)."""
        batch = columns(block, self._times)
        mine = {
            series_id: self._names.series(series_id)
            for series_id in set(batch.series)
            if self._is_mine(series_id)
        }
        if not mine:
            return
        for index, series_id in enumerate(batch.series):
            if series_id not in mine:
                continue
            series = mine[series_id]
            wall_ns = batch.times_ns[index] + batch.offset_ns
            if wall_ns >= self._limits_ns.get(series.privacy, wall_ns):
                yield StoredReading(
                    series, wall_ns, batch.values[index], batch.flags[index], batch.synced
                )

    def _is_mine(self, series_id: int) -> bool:
        if series_id == REMOVED_SERIES:
            return False
        return self._names.series(series_id).key.sensor == self._sensor

    def _find_first(self) -> int:
        """Go back from the newest block until all readings are too old."""
        if self._head is None:
            return 0
        low, stop = self._view.low(self._head), self._head.number + 1
        while stop > low:
            start = max(low, stop - BLOCKS_AT_ONCE)
            batches = [columns(block, self._times) for block in self._view.walk_valid(start, stop)]
            newest = [max(each.times_ns) + each.offset_ns for each in batches if each.times_ns]
            if newest and max(newest) < self._since_ns - AHEAD_NS:
                return stop
            stop = start
        return low


def inputs(
    series: Mapping[int, Series], declared: frozenset[str]
) -> tuple[dict[int, tuple[str, Dims]], list[Series]]:
    """Return which stored series can be fed (id -> quantity, dimensions), and the others.

    Where a raw series was kept it stands for the calibrated one, which is not fed then.
    """
    feedable = [
        each
        for each in series.values()
        if each.key.aggregation == "instant" and each.key.quantity in declared
    ]
    raw = {(each.key.quantity, each.key.dims): each for each in feedable if is_raw(each.key.dims)}
    found: dict[int, tuple[str, Dims]] = {}
    for each in feedable:
        quantity, dims = each.key.quantity, each.key.dims
        if is_raw(dims):
            found[each.id] = quantity, _plain_dims(dims)
        elif (quantity, raw_dims(dims)) not in raw:
            found[each.id] = quantity, dims
    return found, [each for each in series.values() if each.id not in found]


def _plain_dims(dims: Dims) -> Dims:
    """Return the dimensions of the series whose raw one this is."""
    table = dict(dims)
    channel = table.pop("channel").removesuffix(RAW).removesuffix("-")
    if channel:
        table["channel"] = channel
    return tuple(sorted(table.items()))
