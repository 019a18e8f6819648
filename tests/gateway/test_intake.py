import math

import pytest

from gateway.driver import DriverInfo, Restarted
from gateway.intake import (
    MAX_SERIES_PER_SENSOR,
    SAME_READ_SPACING_NS,
    ChainBuilder,
    Intake,
)
from gateway.reading import Fault, Flag, Measured, PrivacyClass, Series, SeriesKey

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

    def series_id(self, key: SeriesKey, *, unit: str, privacy: PrivacyClass) -> int:
        if key not in self.known:
            self.known[key] = Series(len(self.known) + 1, key, unit, privacy)
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

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def apply(self, time_ns: int, value: float, flags: int) -> tuple[int, float, int] | None:
        if value > self.limit:
            self.dropped_by = "range"
            return None
        return time_ns + 3, value, flags | Flag.CALIBRATING


def no_filters(quantity: str) -> None:
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
    intake.accept("air-roof", [Measured("air.pm25", 9.0)], 2_000_000)
    times = [row[1] for row in store.rows]
    assert times == [1_000 + n * SAME_READ_SPACING_NS for n in range(4)] + [2_000_000]


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
    intake = intake_with(store, lambda quantity: DropAbove(5.0))
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
