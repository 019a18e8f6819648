"""What may leave for one broker: an allow-list, decided once per series, and how often."""

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from gateway.buffer import Batch
from gateway.config.model import SelectSection, rounded, terms
from gateway.forward.formats.base import FormatContext, SensorFacts, SeriesLookup
from gateway.quantities import COORDINATES, SUPPRESSED_COUNTS, registry
from gateway.reading import PrivacyClass, Series

__all__ = ["Policy", "allows", "coarse", "may_know"]

NS_PER_S = 1_000_000_000
REMEMBERED_INTERVALS = 64
"""Per series; what is read again from further back may bring out one reading more."""

SMALLEST_COUNT = 3
"""No count between zero and this leaves of class P2, whatever a driver or a filter made of it."""
ADDED_UP = ("instant", "sum")
"""What may be made of counts of class P2: a sum of hidden and known counts tells no more."""

Sensors = Mapping[str, SensorFacts]
NOBODY: Sensors = MappingProxyType({})


def allows(select: SelectSection, series: Series, sensors: Sensors = NOBODY) -> bool:
    """Say whether the readings of a series may leave.

    Sensor and quantity must each match one of the patterns, and the broker must be open to the
    privacy class. What is attributable to somebody (P3) leaves only while its sensor is one of
    the ``sensors`` that are configured: only there stands why it may. Where identifiers were in
    memory (P2), only counts leave whose driver hides the small ones.
    """
    sensor = series.key.sensor
    return (
        select.admits(series.privacy)
        and (series.privacy != "P2" or _is_suppressed_count(series))
        and (series.privacy != "P3" or sensor in sensors)
        and any(fnmatchcase(sensor, pattern) for pattern in select.sensors)
        and any(fnmatchcase(series.key.quantity, pattern) for pattern in select.quantities)
    )


def _is_suppressed_count(series: Series) -> bool:
    return series.key.quantity in SUPPRESSED_COUNTS and series.key.aggregation in ADDED_UP


def may_know(select: SelectSection, sensor: str, privacy: PrivacyClass) -> bool:
    """Say whether the broker may be told that a sensor of that class exists."""
    return select.admits(privacy) and any(
        fnmatchcase(sensor, pattern) for pattern in select.sensors
    )


def coarse(context: FormatContext, select: SelectSection) -> FormatContext:
    """Return the context with places as precise as the broker may know them, and no more.

    A sensor that stands at the gateway is listed, too: it may be told less precisely.
    """
    places = {}
    for name in (*context.sensors, *context.locations):
        place = context.location_of(name)
        if place is not None:
            facts = context.sensors.get(name)
            privacy = "P0" if facts is None else facts.privacy
            places[name] = rounded(place, terms(select, facts, privacy).location_decimals)
    own = context.location
    return replace(
        context,
        location=None if own is None else rounded(own, select.location_decimals),
        locations=places,
    )


class _Decisions(dict[int, bool | None]):
    """Series id -> may leave; None for an id that the catalogue does not know."""

    def __init__(self, select: SelectSection, series: SeriesLookup) -> None:
        super().__init__()
        self.sensors = NOBODY
        self.decimals: dict[int, int] = {}
        """Of the series that may leave and are coordinates."""
        self._select = select
        self._series = series

    def __missing__(self, series_id: int) -> bool | None:
        try:
            one = self._series(series_id)
        except LookupError:
            return None  # not remembered: the catalogue may learn it
        decision = self[series_id] = allows(self._select, one, self.sensors)
        if decision and one.key.quantity in COORDINATES and one.key.aggregation != "count":
            facts = self.sensors.get(one.key.sensor)
            self.decimals[series_id] = terms(self._select, facts, one.privacy).location_decimals
        return decision


class _Counted(dict[int, bool]):
    """Series id -> is of class P2."""

    def __init__(self, series: SeriesLookup) -> None:
        super().__init__()
        self._series = series

    def __missing__(self, series_id: int) -> bool:
        self[series_id] = self._series(series_id).privacy == "P2"
        return self[series_id]


class _Intervals(dict[int, int]):
    """Series id -> ns in which at most one reading leaves, 0 for all."""

    def __init__(self, select: SelectSection, series: SeriesLookup) -> None:
        super().__init__()
        self.sensors = NOBODY
        self._select = select
        self._series = series

    def __missing__(self, series_id: int) -> int:
        one = self._series(series_id)
        quantity = registry().get(one.key.quantity)
        interval_ns = 0
        # What counts what happened since the reading before is never thinned: the sum would be
        # wrong.
        if quantity is None or quantity.kind != "delta":
            facts = self.sensors.get(one.key.sensor)
            interval_s = terms(self._select, facts, one.privacy).min_interval_s
            interval_ns = round(interval_s * NS_PER_S)
        self[series_id] = interval_ns
        return interval_ns


class Policy:
    """Applies ``select`` to batches; outlives the connections of its link.

    A series is judged once, until the configured sensors change. With a minimum interval, boot
    time is divided into intervals, and of each series the first reading in each may leave. It is
    remembered which one that was, so that the same leaves again when it is read again.
    """

    def __init__(
        self, select: SelectSection, series: SeriesLookup, sensors: Sensors = NOBODY
    ) -> None:
        self._select = select
        self._decisions = _Decisions(select, series)
        self._intervals = _Intervals(select, series)
        self._counted = _Counted(series)
        self._chosen: dict[int, dict[tuple[int, int], int]] = {}
        """Series id -> boot and number of the interval -> boot time of the reading that leaves."""
        self._is_thinned = False
        self.configure(sensors)

    def configure(self, sensors: Sensors) -> None:
        """Judge anew, by the sensors that are configured now."""
        for table in (self._decisions, self._intervals):
            table.clear()
            table.sensors = sensors
        self._decisions.decimals.clear()
        self._is_thinned = (
            self._select.interval > 0
            or self._select.admits("P3")
            or any(terms(self._select, one, one.privacy).min_interval_s for one in sensors.values())
        )

    def select(self, batch: Batch) -> tuple[list[int], int]:
        """Return the positions that may leave, and how many readings no series is known for."""
        decisions = self._decisions
        may_leave = [decisions[series_id] for series_id in batch.series]
        selected = [i for i, may in enumerate(may_leave) if may]
        if self._select.suppressed_counts:
            counted, values = self._counted, batch.values
            selected = [
                i for i in selected if not counted[batch.series[i]] or _may_be_known(values[i])
            ]
        if self._is_thinned:
            selected = self._thinned(batch, selected)
        return selected, may_leave.count(None)

    def coarsen(self, batch: Batch) -> None:
        """Round the coordinates in a selected batch to what the broker may know (PRIV-12)."""
        decimals = self._decisions.decimals
        if not decimals or decimals.keys().isdisjoint(batch.series):
            return
        batch.values[:] = [
            round(value, decimals[series_id]) + 0.0 if series_id in decimals else value
            for series_id, value in zip(batch.series, batch.values, strict=True)
        ]

    def _thinned(self, batch: Batch, selected: list[int]) -> list[int]:
        kept, intervals = [], self._intervals
        for position in selected:
            series_id, time_ns = batch.series[position], batch.times_ns[position]
            interval_ns = intervals[series_id]
            if interval_ns:
                chosen = self._chosen.setdefault(series_id, {})
                if chosen.setdefault((batch.boot, time_ns // interval_ns), time_ns) != time_ns:
                    continue
                if len(chosen) > REMEMBERED_INTERVALS:
                    del chosen[next(iter(chosen))]
            kept.append(position)
        return kept


def _may_be_known(count: float) -> bool:
    return count == 0 or (count >= SMALLEST_COUNT and count.is_integer())
