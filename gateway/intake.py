"""From what a driver said to what the ring stores: series, time, filters, and all their counts.

``Intake.accept`` is the hot path: it is synchronous, logs nothing, and looks up one dictionary
entry a reading.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

from gateway.driver import DriverInfo, Outcome, Restarted
from gateway.quantities import registry
from gateway.reading import Dims, Fault, FaultKind, Measured, PrivacyClass, Series, SeriesKey

__all__ = ["Intake", "LiveValue", "SensorStats"]

SAME_READ_SPACING_NS = 1_000
"""Readings of one series that came in one read are stamped so far apart, in their order.

A port hands over several frames at once; without this they would share one time, and a consumer
that keys by time would keep only the last of them.
"""
MAX_SERIES_PER_SENSOR = 512
"""A driver that invents dimensions without end is stopped here; the surplus counts as refused."""


class FilterChain(Protocol):
    """What intake needs of a filter chain (gateway.filters has the real one)."""

    @property
    def dropped_by(self) -> str:
        """Name the filter that dropped the last reading for which nothing came out."""
        ...

    @property
    def apply(self) -> Callable[[int, float, int], tuple[int, float, int] | None]:
        """Take time, value and flags; return those to store, or None where nothing comes out."""
        ...


class SeriesStore(Protocol):
    """What intake needs of the buffer."""

    def series_id(self, key: SeriesKey, *, unit: str, privacy: PrivacyClass) -> int: ...

    def series(self, series_id: int) -> Series: ...

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int: ...

    def notify(self) -> None: ...


ChainBuilder = Callable[[str], FilterChain | None]
"""Makes the chain of one quantity, or None where nothing is configured for it."""


@dataclass(slots=True)
class LiveValue:
    """The newest reading of one series, for people who look; it has no cursor."""

    series: Series
    time_ns: int = 0
    value: float = 0.0
    flags: int = 0


@dataclass(slots=True)
class SensorStats:
    """The counts of one sensor since start; times are boot time in ns."""

    sensor: str
    driver: str
    domain: str
    privacy: PrivacyClass
    interval_s: float
    readings: int = 0
    faults: dict[FaultKind, int] = field(default_factory=dict)
    filtered: dict[str, int] = field(default_factory=dict)
    """By the name of the filter that dropped them."""
    refused: int = 0
    """Not finite, or of a quantity that the driver did not declare."""
    restarts: int = 0
    last_reading_ns: int | None = None
    last_fault: str = ""
    """Kind and detail; never a value."""
    live: dict[int, LiveValue] = field(default_factory=dict)


@dataclass(slots=True)
class _Channel:
    """One series of one sensor as intake sees it."""

    series_id: int
    live: LiveValue
    chain: FilterChain | None
    received_ns: int = -1
    repeats: int = 0


@dataclass(slots=True)
class _Sensor:
    stats: SensorStats
    quantities: frozenset[str]
    build_chain: ChainBuilder
    channels: dict[tuple[str, Dims], _Channel] = field(default_factory=dict)


class Intake:
    """Accepts what drivers decoded; one for all transports."""

    def __init__(self, store: SeriesStore) -> None:
        self._store = store
        self._sensors: dict[str, _Sensor] = {}

    @property
    def stats(self) -> dict[str, SensorStats]:
        """Return the counts by sensor name."""
        return {name: sensor.stats for name, sensor in self._sensors.items()}

    def add_sensor(
        self,
        name: str,
        info: DriverInfo,
        *,
        privacy: PrivacyClass,
        build_chain: ChainBuilder,
    ) -> None:
        """Get ready for a sensor; one that is there already starts anew with empty filters."""
        stats = SensorStats(
            sensor=name,
            driver=info.name,
            domain=info.domain,
            privacy=privacy,
            interval_s=info.interval_s,
        )
        self._sensors[name] = _Sensor(stats, frozenset(info.quantities), build_chain)

    def remove_sensor(self, name: str) -> None:
        """Forget a sensor's filters and counts; its readings stay in the ring."""
        del self._sensors[name]

    def forget_series(self, sensor: str | None) -> None:
        """Ask for the series ids of a sensor (None: of all) anew, because they were purged.

        Filters begin anew, too, and the live view is empty until the next reading.
        """
        for name, state in self._sensors.items():
            if sensor in (None, name):
                state.channels.clear()
                state.stats.live.clear()

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        """Judge and store what one read of one sensor gave.

        ``received_ns`` is CLOCK_BOOTTIME at the read. Never raises for what a device sent.
        """
        state = self._sensors[sensor]
        stats = state.stats
        channels = state.channels
        append = self._store.append
        stored = 0
        for outcome in outcomes:
            if not isinstance(outcome, Measured):
                self._count(stats, outcome)
                continue
            quantity, value, dims, age_s, flags = outcome
            channel = channels.get((quantity, dims))
            if channel is None:
                channel = self._new_channel(state, quantity, dims)
            if channel is None or not isfinite(value):
                stats.refused += 1
                continue
            time_ns = received_ns - int(age_s * 1e9) if age_s else received_ns
            if channel.received_ns == received_ns:
                channel.repeats += 1
                time_ns += channel.repeats * SAME_READ_SPACING_NS
            else:
                channel.received_ns = received_ns
                channel.repeats = 0
            if channel.chain is not None:
                judged = channel.chain.apply(time_ns, value, flags)
                if judged is None:
                    name = channel.chain.dropped_by
                    stats.filtered[name] = stats.filtered.get(name, 0) + 1
                    stats.last_reading_ns = received_ns
                    continue
                time_ns, value, flags = judged
            append(channel.series_id, time_ns, value, flags)
            live = channel.live
            live.time_ns = time_ns
            live.value = value
            live.flags = flags
            stored += 1
        if stored:
            stats.readings += stored
            stats.last_reading_ns = received_ns
            self._store.notify()

    def _new_channel(self, state: _Sensor, quantity: str, dims: Dims) -> _Channel | None:
        if quantity not in state.quantities or len(state.channels) >= MAX_SERIES_PER_SENSOR:
            return None
        stats = state.stats
        key = SeriesKey(stats.sensor, quantity, dims)
        series_id = self._store.series_id(
            key, unit=registry()[quantity].ucum, privacy=stats.privacy
        )
        live = stats.live[series_id] = LiveValue(self._store.series(series_id))
        channel = _Channel(series_id, live, state.build_chain(quantity))
        state.channels[quantity, dims] = channel
        return channel

    @staticmethod
    def _count(stats: SensorStats, outcome: Fault | Restarted) -> None:
        if isinstance(outcome, Restarted):
            stats.restarts += 1
            return
        stats.faults[outcome.kind] = stats.faults.get(outcome.kind, 0) + 1
        stats.last_fault = f"{outcome.kind}: {outcome.detail}"
