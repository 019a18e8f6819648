"""From what a driver said to what the ring stores: series, time, filters, and all their counts.

``Intake.accept`` is the hot path: it is synchronous, logs nothing, and looks up one dictionary
entry a reading. ``Intake.tick`` lets filters end what is over although no reading comes.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from statistics import median
from types import MappingProxyType
from typing import Protocol

from gateway.clock_checks import ToldTime
from gateway.driver import DriverInfo, Outcome, Restarted, TimeTold
from gateway.quantities import registry
from gateway.reading import (
    Aggregation,
    Dims,
    Fault,
    FaultKind,
    Flag,
    Measured,
    PrivacyClass,
    Series,
    SeriesKey,
)

__all__ = ["Intake", "LiveValue", "SensorStats"]

SPACING_NS = 1_000_000
"""Readings of one series are stamped at least so far apart, in their order.

A port hands over several frames at once; without this they would share one time. A millisecond is
what most consumers store: two readings in one of theirs overwrite each other there.
"""
MAX_AHEAD_NS = 1_000_000_000
"""The spacing never moves a reading further than this behind the time at which it was received.

From a series that brings more than a thousand readings a second for longer than that, the rest
share the time of the last one.
"""
MAX_SERIES_PER_SENSOR = 512
"""A driver that invents dimensions without end is stopped here; the surplus counts as refused."""
LEARNT_GAPS = 31
"""The learnt interval is the median of so many gaps between reads with readings."""
LEAST_GAPS = 5
"""Fewer gaps teach nothing."""
WARMING_UP = int(Flag.WARM_UP)
LONG_AGO_NS = -(1 << 62)
FAR_AHEAD_NS = 1 << 62


class ChainOutput(Protocol):
    """One series that comes out of a filter chain."""

    @property
    def quantity(self) -> str: ...

    @property
    def dims(self) -> Dims: ...

    @property
    def aggregation(self) -> Aggregation: ...

    @property
    def unit(self) -> str: ...

    @property
    def calibration(self) -> Mapping[str, str]: ...


class FilterChain(Protocol):
    """What intake needs of a filter chain (gateway.filters has the real one)."""

    @property
    def dropped_by(self) -> str:
        """Name the filter that dropped the last reading for which nothing came out.

        Empty: it was not dropped, a filter took it in (a window).
        """
        ...

    @property
    def apply(self) -> Callable[[int, float, int], tuple[int, float, int] | None]:
        """Take time, value and flags; return those to store, or None where nothing comes out."""
        ...

    @property
    def output(self) -> ChainOutput | None:
        """The series of what ``apply`` returns, or None if it never returns anything."""
        ...

    @property
    def outputs(self) -> Sequence[ChainOutput]:
        """Other series that come out."""
        ...

    @property
    def pending(self) -> list[tuple[int, int, float, int]]:
        """What came out of them: index in ``outputs``, time, value, flags; the caller clears it."""
        ...

    @property
    def ticks(self) -> bool:
        """``tick`` does something."""
        ...

    @property
    def expired(self) -> int:
        """How many of its calibrations are too old."""
        ...

    def tick(self, now_ns: int) -> None:
        """Let windows end and calibrations expire."""
        ...

    def close(self, now_ns: int | None) -> None:
        """Bring out what windows hold, because the chain ends now."""
        ...


class SeriesStore(Protocol):
    """What intake needs of the buffer."""

    def series_id(
        self,
        key: SeriesKey,
        *,
        unit: str,
        privacy: PrivacyClass,
        calibration: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Return the id of a series that came about exactly so."""
        ...

    def series(self, series_id: int) -> Series: ...

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int: ...

    def notify(self) -> None: ...


ChainBuilder = Callable[[str, Dims], FilterChain | None]
"""Makes the chain of one quantity with its dimensions, or None where nothing is configured."""


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
    """Stored, those that filters made (means, sums) with them."""
    absorbed: int = 0
    """Taken in by filters that make something else of them; not lost."""
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
    stale_after_s: float | None = None
    """The age of the last reading above which it is stale; None: by its rhythm."""
    expired_calibrations: int = 0
    """Calibrations in use now that are too old."""
    gaps_ns: deque[int] = field(default_factory=lambda: deque(maxlen=LEARNT_GAPS))
    """Between the last reads that had a reading."""
    told_time: ToldTime | None = None
    """Of a device that tells the time."""

    @property
    def learnt_interval_s(self) -> float | None:
        """How often this sensor really reports, whatever its driver says; None: not known yet."""
        gaps = list(self.gaps_ns)
        return median(gaps) / 1e9 if len(gaps) >= LEAST_GAPS else None


@dataclass(slots=True)
class _Channel:
    """One series of one sensor as it comes from the driver, and what is made of it."""

    series_id: int
    live: LiveValue
    """Of the main series; a blank one if only derived series come out."""
    chain: FilterChain | None
    derived: dict[int, LiveValue] = field(default_factory=dict)
    """By index in the outputs of the chain; from the first reading on."""
    measured_ns: int = LONG_AGO_NS
    """When the newest reading was measured, as far as is known."""
    time_ns: int = LONG_AGO_NS
    """How it was stamped."""
    late_ns: int = LONG_AGO_NS
    """How the last reading was stamped that is older than that."""

    def stamp(self, measured_ns: int, received_ns: int) -> int:
        """Return the time of a reading that is not clearly later than the one before.

        That is when it was measured, but so that both keep apart.
        """
        if measured_ns <= self.measured_ns - SPACING_NS:  # an older one, which keeps its place
            if abs(measured_ns - self.late_ns) < SPACING_NS:
                measured_ns = self.late_ns + SPACING_NS
            self.late_ns = measured_ns
            return measured_ns
        if self.time_ns + SPACING_NS - received_ns <= MAX_AHEAD_NS:
            self.time_ns += SPACING_NS
        self.measured_ns = measured_ns
        return self.time_ns


@dataclass(slots=True)
class _Sensor:
    stats: SensorStats
    quantities: frozenset[str]
    build_chain: ChainBuilder
    warm_up_ns: int
    warm_until_ns: int
    """``FAR_AHEAD_NS`` before the first reading."""
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

    @property
    def told_times(self) -> dict[str, ToldTime]:
        """Return what the sensors say that tell the time, by name."""
        return {
            name: sensor.stats.told_time
            for name, sensor in self._sensors.items()
            if sensor.stats.told_time is not None
        }

    def add_sensor(
        self,
        name: str,
        info: DriverInfo,
        *,
        privacy: PrivacyClass,
        build_chain: ChainBuilder,
        stale_after_s: float | None = None,
    ) -> None:
        """Get ready for a sensor; one that is there already starts anew with empty filters."""
        if name in self._sensors:
            self.remove_sensor(name)
        stats = SensorStats(
            sensor=name,
            driver=info.name,
            domain=info.domain,
            privacy=privacy,
            interval_s=info.interval_s,
            stale_after_s=stale_after_s,
        )
        self._sensors[name] = _Sensor(
            stats,
            frozenset(info.quantities),
            build_chain,
            round(info.warm_up_s * 1e9),
            FAR_AHEAD_NS,
        )

    def remove_sensor(self, name: str) -> None:
        """Forget a sensor's filters and counts; its readings stay in the ring.

        What its filters hold is stored first.
        """
        self._close(self._sensors.pop(name), None)

    def close(self, now_ns: int) -> None:
        """Store what filters hold, because the daemon stops; boot time. Sensors stay."""
        for state in self._sensors.values():
            self._close(state, now_ns)

    def tick(self, now_ns: int) -> None:
        """Let filters do what time alone makes due; boot time, about once a second."""
        for state in self._sensors.values():
            before = state.stats.readings
            expired = 0
            for channel in state.channels.values():
                chain = channel.chain
                if chain is None or not chain.ticks:
                    continue
                chain.tick(now_ns)
                expired += chain.expired
                if chain.pending:
                    self._store_derived(state.stats, channel, chain)
            state.stats.expired_calibrations = expired
            if state.stats.readings != before:
                self._store.notify()

    def forget_series(self, sensor: str | None) -> None:
        """Ask for the series ids of a sensor (None: of all) anew, because they were purged.

        Filters begin anew, too, and the live view is empty until the next reading.
        """
        for name, state in self._sensors.items():
            if sensor in (None, name):
                state.channels.clear()
                state.stats.live.clear()

    def accept(  # noqa: C901 - the hot path is one piece: each call in it costs a tenth of it
        self, sensor: str, outcomes: Iterable[Outcome], received_ns: int
    ) -> None:
        """Judge and store what one read of one sensor gave.

        ``received_ns`` is CLOCK_BOOTTIME at the read. Never raises for what a device sent.
        """
        state = self._sensors[sensor]
        stats = state.stats
        channels = state.channels
        append = self._store.append
        before = stats.readings
        stored = 0
        heard = False
        for outcome in outcomes:
            if not isinstance(outcome, Measured):
                self._count(state, outcome, received_ns)
                continue
            quantity, value, dims, age_s, flags = outcome
            channel = channels.get((quantity, dims))
            if channel is None:
                channel = self._new_channel(state, quantity, dims)
            if channel is None or not isfinite(value):
                stats.refused += 1
                continue
            heard = True
            time_ns = received_ns - int(age_s * 1e9) if age_s else received_ns
            if time_ns >= channel.time_ns + SPACING_NS:
                channel.time_ns = channel.measured_ns = time_ns
            else:
                time_ns = channel.stamp(time_ns, received_ns)
            if received_ns < state.warm_until_ns and self._is_warming_up(state, received_ns):
                flags |= WARMING_UP
            chain = channel.chain
            if chain is not None:
                judged = self._judge(stats, channel, chain, (time_ns, value, flags))
                if judged is None:
                    continue
                time_ns, value, flags = judged
            live = channel.live
            append(channel.series_id, time_ns, value, flags)
            live.time_ns = time_ns
            live.value = value
            live.flags = flags
            stored += 1
        if heard:
            self._learn(stats, received_ns)
        stats.readings += stored
        if stats.readings != before:
            self._store.notify()

    def _judge(
        self,
        stats: SensorStats,
        channel: _Channel,
        chain: FilterChain,
        reading: tuple[int, float, int],
    ) -> tuple[int, float, int] | None:
        """Let the filters have a reading, and store what they made beside the main series."""
        judged = chain.apply(*reading)
        if chain.pending:
            self._store_derived(stats, channel, chain)
        if judged is None:
            name = chain.dropped_by
            if name:
                stats.filtered[name] = stats.filtered.get(name, 0) + 1
            else:
                stats.absorbed += 1
            return None
        if isfinite(judged[1]):
            return judged
        stats.refused += 1
        return None

    @staticmethod
    def _learn(stats: SensorStats, received_ns: int) -> None:
        """Note when the sensor was heard."""
        if stats.last_reading_ns is not None and received_ns > stats.last_reading_ns:
            stats.gaps_ns.append(received_ns - stats.last_reading_ns)
        stats.last_reading_ns = received_ns

    @staticmethod
    def _is_warming_up(state: _Sensor, received_ns: int) -> bool:
        """Tell whether the sensor was started so short a time ago that it is not right yet."""
        if state.warm_until_ns == FAR_AHEAD_NS:
            state.warm_until_ns = received_ns + state.warm_up_ns
        return received_ns < state.warm_until_ns

    def _new_channel(self, state: _Sensor, quantity: str, dims: Dims) -> _Channel | None:
        if quantity not in state.quantities or len(state.channels) >= MAX_SERIES_PER_SENSOR:
            return None
        chain = state.build_chain(quantity, dims)
        key = SeriesKey(state.stats.sensor, quantity, dims)
        if chain is None:
            live = self._live(state.stats, key)
        elif chain.output is not None:
            live = self._live_of(state.stats, chain.output)
        else:
            live = LiveValue(Series(0, key, ""))
        channel = _Channel(live.series.id, live, chain)
        state.channels[quantity, dims] = channel
        return channel

    def _live_of(self, stats: SensorStats, output: ChainOutput) -> LiveValue:
        """Return the live view of a series that comes out of a chain."""
        key = SeriesKey(stats.sensor, output.quantity, output.dims, output.aggregation)
        return self._live(stats, key, unit=output.unit, calibration=output.calibration)

    def _live(
        self,
        stats: SensorStats,
        key: SeriesKey,
        *,
        unit: str = "",
        calibration: Mapping[str, str] = MappingProxyType({}),
    ) -> LiveValue:
        series_id = self._store.series_id(
            key,
            unit=unit or registry()[key.quantity].ucum,
            privacy=stats.privacy,
            calibration=calibration,
        )
        live = stats.live[series_id] = LiveValue(self._store.series(series_id))
        return live

    def _store_derived(self, stats: SensorStats, channel: _Channel, chain: FilterChain) -> None:
        """Store what came out of a chain beside its main series."""
        for index, time_ns, value, flags in chain.pending:
            if not isfinite(value):
                stats.refused += 1
                continue
            if index not in channel.derived:
                channel.derived[index] = self._live_of(stats, chain.outputs[index])
            live = channel.derived[index]
            self._store.append(live.series.id, time_ns, value, flags)
            live.time_ns, live.value, live.flags = time_ns, value, flags
            stats.readings += 1
        chain.pending.clear()

    def _close(self, state: _Sensor, now_ns: int | None) -> None:
        before = state.stats.readings
        for channel in state.channels.values():
            if channel.chain is not None and channel.chain.ticks:
                channel.chain.close(now_ns)
                self._store_derived(state.stats, channel, channel.chain)
        if state.stats.readings != before:
            self._store.notify()

    @staticmethod
    def _count(state: _Sensor, outcome: Fault | Restarted | TimeTold, received_ns: int) -> None:
        stats = state.stats
        if isinstance(outcome, TimeTold):
            if stats.told_time is None:
                stats.told_time = ToldTime()
            stats.told_time.add(outcome.utc_ns, received_ns)
            return
        if isinstance(outcome, Restarted):
            stats.restarts += 1
            state.warm_until_ns = received_ns + state.warm_up_ns
            return
        stats.faults[outcome.kind] = stats.faults.get(outcome.kind, 0) + 1
        stats.last_fault = f"{outcome.kind}: {outcome.detail}"
