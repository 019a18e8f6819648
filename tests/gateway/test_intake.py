import math
import random
from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import pytest

from gateway.driver import DriverInfo, Restarted
from gateway.filters import Environment, Output, chain_builder
from gateway.intake import (
    LEARNT_GAPS,
    LEAST_GAPS,
    MAX_AHEAD_NS,
    MAX_SERIES_PER_SENSOR,
    SPACING_NS,
    ChainBuilder,
    Intake,
)
from gateway.reading import Dims, Fault, Flag, Measured, PrivacyClass, Series, SeriesKey

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS

INFO = DriverInfo(
    name="sds011",
    title="a particle sensor",
    domain="air",
    quantities=("air.pm25", "air.pm10", "traffic.count"),
    interval_s=1.0,
    document="none",
)


class Store:
    """A buffer that only remembers."""

    def __init__(self) -> None:
        self.known: dict[SeriesKey, Series] = {}
        self.rows: list[tuple[int, int, float, int]] = []
        self.notified = 0

    def series_id(
        self,
        key: SeriesKey,
        *,
        unit: str,
        privacy: PrivacyClass,
        calibration: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        if key not in self.known:
            self.known[key] = Series(len(self.known) + 1, key, unit, privacy, calibration)
        return self.known[key].id

    def series(self, series_id: int) -> Series:
        return next(series for series in self.known.values() if series.id == series_id)

    def append(self, series_id: int, time_ns: int, value: float, flags: int) -> int:
        self.rows.append((series_id, time_ns, value, flags))
        return len(self.rows) - 1

    def notify(self) -> None:
        self.notified += 1


class DropAbove:
    """A filter chain of one filter, as simple as it can be."""

    dropped_by = ""
    outputs: tuple[Output, ...] = ()
    ticks = False
    expired = 0

    def __init__(self, limit: float, quantity: str) -> None:
        self.limit = limit
        self.output = Output(quantity, (), "instant", "ug/m3", {})
        self.pending: list[tuple[int, int, float, int]] = []

    def tick(self, now_ns: int) -> None: ...

    def close(self, now_ns: int | None) -> None: ...

    def apply(self, time_ns: int, value: float, flags: int) -> tuple[int, float, int] | None:
        if value > self.limit:
            self.dropped_by = "range"
            return None
        return time_ns + 3, value, flags | Flag.CALIBRATING


def no_filters(quantity: str, dims: Dims) -> None:
    return None


def intake_with(store: Store, build_chain: ChainBuilder = no_filters) -> Intake:
    intake = Intake(store)
    intake.add_sensor("air-roof", INFO, privacy="P1", build_chain=build_chain)
    return intake


def test_a_reading_is_stored_with_its_series_time_and_flags() -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept("air-roof", [Measured("air.pm25", 8.4, (), 2.0, Flag.WARM_UP)], 10_000_000_000)
    assert store.rows == [(1, 8_000_000_000, 8.4, Flag.WARM_UP)]
    key = SeriesKey("air-roof", "air.pm25")
    assert store.known[key].unit == "ug/m3"
    assert store.known[key].privacy == "P1"
    assert store.notified == 1


def test_dims_make_series_of_their_own() -> None:
    store = Store()
    intake = intake_with(store)
    for lane in ("1", "2", "1"):
        intake.accept("air-roof", [Measured("traffic.count", 1.0, (("lane", lane),))], 5)
    assert [row[0] for row in store.rows] == [1, 2, 1]


def test_readings_of_one_read_keep_apart_in_time_and_in_order() -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept("air-roof", [Measured("air.pm25", float(n)) for n in range(4)], 1_000)
    intake.accept("air-roof", [Measured("air.pm25", 9.0)], SECOND_NS)
    times = [row[1] for row in store.rows]
    assert times == [1_000 + n * SPACING_NS for n in range(4)] + [SECOND_NS]


def times_of(reads: list[tuple[int, list[float]]]) -> list[int]:
    """Return the stamps of one series; a read is its time and the ages of what it brought."""
    store = Store()
    intake = intake_with(store)
    for received_ns, ages_s in reads:
        outcomes = [Measured("air.pm25", 1.0, (), age_s) for age_s in ages_s]
        intake.accept("air-roof", outcomes, received_ns)
    return [row[1] for row in store.rows]


def test_a_burst_does_not_run_into_the_next_read() -> None:
    reads: list[tuple[int, list[float]]] = [(MINUTE_NS, [0.0] * 500)]
    reads += [(MINUTE_NS + n * SECOND_NS // 10, [0.0]) for n in range(1, 10)]
    times = times_of(reads)
    assert all(b - a >= SPACING_NS for a, b in pairwise(times))
    assert times[-1] == reads[-1][0]  # and then it is on time again


def test_the_spacing_never_runs_further_ahead_than_the_limit() -> None:
    times = times_of([(MINUTE_NS, [0.0] * 3000)])
    assert times == sorted(times)
    assert max(times) == MINUTE_NS + MAX_AHEAD_NS
    assert len(set(times)) == MAX_AHEAD_NS // SPACING_NS + 1


def test_an_older_reading_keeps_its_place() -> None:
    times = times_of([(MINUTE_NS, [0.0]), (MINUTE_NS + SECOND_NS, [30.0, 30.0, 0.0])])
    late_ns = 31 * SECOND_NS
    assert times == [MINUTE_NS, late_ns, late_ns + SPACING_NS, MINUTE_NS + SECOND_NS]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_two_readings_in_order_share_a_millisecond(seed: int) -> None:
    rng = random.Random(seed)
    received_ns = MINUTE_NS
    reads: list[tuple[int, list[float]]] = []
    for _ in range(300):
        received_ns += rng.choice([0, 1, 999_999, 1_000_000, 20_000_000])
        reads.append((received_ns, [0.0] * rng.randint(1, 4)))
    times = times_of(reads)
    stamps = [time_ns // 1_000_000 for time_ns in times]
    assert stamps == sorted(set(stamps))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_and_counted(value: float) -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept("air-roof", [Measured("air.pm25", value)], 1)
    assert store.rows == []
    assert intake.stats["air-roof"].refused == 1


def test_a_quantity_that_the_driver_did_not_declare_is_refused() -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept("air-roof", [Measured("air.no2", 1.0)], 1)
    assert store.rows == []
    assert intake.stats["air-roof"].refused == 1


def test_dimensions_without_end_are_stopped() -> None:
    store = Store()
    intake = intake_with(store)
    outcomes = [
        Measured("traffic.count", 1.0, (("channel", str(n)),))
        for n in range(MAX_SERIES_PER_SENSOR + 3)
    ]
    intake.accept("air-roof", outcomes, 1)
    assert len(store.known) == MAX_SERIES_PER_SENSOR
    assert intake.stats["air-roof"].refused == 3


def test_faults_and_restarts_are_counted_by_kind() -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept(
        "air-roof",
        [Fault("noise", "7 bytes"), Fault("checksum", "frame"), Fault("noise", "2 bytes")],
        1,
    )
    intake.accept("air-roof", [Restarted("power on")], 2)
    stats = intake.stats["air-roof"]
    assert stats.faults == {"noise": 2, "checksum": 1}
    assert stats.restarts == 1
    assert stats.last_fault == "noise: 2 bytes"
    assert stats.last_reading_ns is None
    assert store.notified == 0


def test_what_a_filter_drops_is_counted_by_filter_and_the_sensor_is_alive() -> None:
    store = Store()
    intake = intake_with(store, lambda quantity, dims: DropAbove(5.0, quantity))
    intake.accept("air-roof", [Measured("air.pm25", 9.0), Measured("air.pm10", 4.0)], 7)
    stats = intake.stats["air-roof"]
    assert stats.filtered == {"range": 1}
    assert [row[1:] for row in store.rows] == [(10, 4.0, Flag.CALIBRATING)]
    assert stats.last_reading_ns == 7
    assert stats.readings == 1


def test_the_live_view_has_the_newest_value_of_each_series() -> None:
    store = Store()
    intake = intake_with(store)
    intake.accept("air-roof", [Measured("air.pm25", 1.0), Measured("air.pm10", 2.0)], 10)
    intake.accept("air-roof", [Measured("air.pm25", 3.0)], 20)
    live = {item.series.key.quantity: item.value for item in intake.stats["air-roof"].live.values()}
    assert live == {"air.pm25": 3.0, "air.pm10": 2.0}


WARM = DriverInfo(
    name="sds011",
    title="a particle sensor",
    domain="air",
    quantities=("air.pm25", "air.humidity"),
    interval_s=1.0,
    warm_up_s=30.0,
    document="none",
)


def test_readings_after_a_start_and_a_restart_are_of_a_sensor_that_warms_up() -> None:
    store = Store()
    intake = Intake(store)
    intake.add_sensor("air-roof", WARM, privacy="P0", build_chain=no_filters)
    seconds = [100, 129, 130, 200, 229, 230]
    for second in seconds:
        outcomes = [Measured("air.pm25", 1.0)]
        if second == 200:
            intake.accept("air-roof", [Restarted("power"), *outcomes], second * SECOND_NS)
        else:
            intake.accept("air-roof", outcomes, second * SECOND_NS)
    warm = [bool(row[3] & Flag.WARM_UP) for row in store.rows]
    assert warm == [True, True, False, True, True, False]


def test_the_interval_is_learnt_and_an_outage_does_not_spoil_it() -> None:
    intake = intake_with(Store())
    stats = intake.stats["air-roof"]
    second = 0
    for number in range(200):
        second += 3600 if number == 100 else 10
        both = [Measured("air.pm25", 1.0), Measured("air.pm10", 1.0)]
        intake.accept("air-roof", both, second * SECOND_NS)
        intake.accept("air-roof", [Fault("noise", "1 byte")], second * SECOND_NS + 5)
        assert stats.learnt_interval_s == (None if number < LEAST_GAPS else 10.0)
    assert len(stats.gaps_ns) == LEARNT_GAPS


def windows(store: Store, aggregation: str) -> list[tuple[int, float, int]]:
    ids = {one.id for key, one in store.known.items() if key.aggregation == aggregation}
    return [row[1:] for row in store.rows if row[0] in ids]


def window_intake(store: Store, options: object, *, quantity: str = "air.pm25") -> Intake:
    environment = Environment(wall_ns=lambda time_ns: time_ns, synced=lambda: True)
    builder = chain_builder({quantity: {"window": options}}, environment)
    return intake_with(store, builder)


def test_the_figures_of_a_window_are_series_of_their_own() -> None:
    store = Store()
    intake = window_intake(store, {"every": "1 min", "give": ["mean", "count"]})
    for second in range(0, 120, 10):
        outcomes = [Measured("air.pm25", float(second))]
        intake.accept("air-roof", outcomes, MINUTE_NS + second * SECOND_NS)
    assert windows(store, "instant") == []
    cut = Flag.RESTART | Flag.ESTIMATED
    assert windows(store, "mean") == [(2 * MINUTE_NS, 25.0, cut)]
    assert windows(store, "count") == [(2 * MINUTE_NS, 6.0, cut)]
    mean = store.known[SeriesKey("air-roof", "air.pm25", (), "mean")]
    count = store.known[SeriesKey("air-roof", "air.pm25", (), "count")]
    assert (mean.unit, mean.calibration) == ("ug/m3", {"window_s": "60"})
    assert (count.unit, count.privacy) == ("1", "P1")
    stats = intake.stats["air-roof"]
    assert (stats.readings, stats.absorbed, stats.filtered) == (2, 12, {})
    assert {item.series.key.aggregation for item in stats.live.values()} == {"mean", "count"}


def test_a_window_of_a_silent_sensor_ends_by_itself() -> None:
    store = Store()
    intake = window_intake(store, {"every": "1 min", "settle": "5 s"})
    intake.accept("air-roof", [Measured("air.pm25", 4.0)], MINUTE_NS + SECOND_NS)
    intake.tick(2 * MINUTE_NS + 4 * SECOND_NS)
    assert store.rows == []
    woken = store.notified
    intake.tick(2 * MINUTE_NS + 5 * SECOND_NS)
    assert [row[1:3] for row in store.rows] == [(2 * MINUTE_NS, 4.0)]
    assert store.notified == woken + 1


@pytest.mark.parametrize("how", ["close", "remove"])
def test_a_stop_puts_out_the_window_that_is_open(how: str) -> None:
    store = Store()
    intake = window_intake(store, "1 min", quantity="traffic.count")
    intake.accept("air-roof", [Measured("traffic.count", 2.0)], MINUTE_NS + SECOND_NS)
    intake.accept("air-roof", [Measured("traffic.count", 3.0)], MINUTE_NS + 9 * SECOND_NS)
    if how == "close":
        intake.close(MINUTE_NS + 10 * SECOND_NS)
    else:
        intake.remove_sensor("air-roof")
    second = 10 if how == "close" else 9
    cut = Flag.RESTART | Flag.ESTIMATED
    assert windows(store, "sum") == [(MINUTE_NS + second * SECOND_NS, 5.0, cut)]


def test_the_raw_series_is_beside_the_calibrated_one() -> None:
    store = Store()
    linear = {"b": 2, "id": "c17", "date": "2026-01-01", "keep_raw": True}
    intake = intake_with(store, chain_builder({"air.pm25": {"linear": linear}}))
    intake.accept("air-roof", [Measured("air.pm25", 3.0)], MINUTE_NS)
    raw = store.known[SeriesKey("air-roof", "air.pm25", (("channel", "raw"),))]
    own = store.known[SeriesKey("air-roof", "air.pm25")]
    assert {row[0]: row[2] for row in store.rows} == {raw.id: 3.0, own.id: 6.0}
    assert own.calibration["id"] == "c17"
    assert own.calibration["date"] == "2026-01-01"
    assert raw.calibration == {}


def test_an_expired_calibration_is_a_figure_and_a_flag() -> None:
    store = Store()
    wall_ns = [0]
    environment = Environment(wall_ns=lambda time_ns: time_ns + wall_ns[0], synced=lambda: True)
    linear = {"b": 2, "expires": "1970-01-02"}
    intake = intake_with(store, chain_builder({"air.pm25": {"linear": linear}}, environment))
    intake.accept("air-roof", [Measured("air.pm25", 3.0)], MINUTE_NS)
    intake.tick(MINUTE_NS)
    assert intake.stats["air-roof"].expired_calibrations == 0
    wall_ns[0] = 86_400 * SECOND_NS
    intake.tick(2 * MINUTE_NS)
    intake.accept("air-roof", [Measured("air.pm25", 3.0)], 2 * MINUTE_NS)
    assert intake.stats["air-roof"].expired_calibrations == 1
    assert [row[3] for row in store.rows] == [0, Flag.CALIBRATING]


def test_a_filter_may_use_another_quantity_of_the_sensor() -> None:
    store = Store()
    builder = chain_builder({"air.pm25": {"expression": "x - 'air.humidity' / 10"}})
    intake = Intake(store)
    intake.add_sensor("air-roof", WARM, privacy="P0", build_chain=builder)
    both = [Measured("air.humidity", 50.0), Measured("air.pm25", 30.0)]
    intake.accept("air-roof", both, MINUTE_NS)
    assert [row[2] for row in store.rows] == [50.0, 25.0]


def test_purged_series_are_asked_for_anew_and_windows_forget_what_they_had() -> None:
    store = Store()
    intake = window_intake(store, "1 min")
    intake.accept("air-roof", [Measured("air.pm25", 4.0)], MINUTE_NS)
    intake.forget_series("air-roof")
    intake.accept("air-roof", [Measured("air.pm25", 6.0)], MINUTE_NS + SECOND_NS)
    intake.tick(3 * MINUTE_NS)
    assert [row[2] for row in store.rows] == [6.0]
