"""The last hour: bounded, of what may be shown, and gone with its series."""

import random
import sys
import tracemalloc
from math import isnan

import pytest

from gateway.observe import history
from gateway.observe.history import MINUTE_NS, MINUTES, NOTHING, History, Hour
from gateway.reading import Flag
from tests.observe.figures import HOUR, SECOND, Room, Sensor, live


def spans(hour: Hour) -> list[tuple[float, float] | None]:
    """Return the hour as pairs, None for a minute without a value."""
    assert len(hour.lows) == len(hour.highs) == MINUTES
    pairs = zip(hour.lows, hour.highs, strict=True)
    return [None if isnan(low) else (low, high) for low, high in pairs]


def is_empty(hour: Hour) -> bool:
    return isnan(hour.low) and isnan(hour.high) and not any(spans(hour))


def test_each_minute_has_its_lowest_and_highest(room: Room) -> None:
    """Against a plain list of all readings, over several hours, with pauses.

    The line is drawn anew once a minute, and at once where a value is outside of what it shows.
    """
    rng = random.Random(8)
    made = History()
    figures = room.sensors["air-roof"].live[1]
    seen: dict[int, list[float]] = {}
    drawn, redrawn, before = 0, 0, (0, NOTHING)
    for _ in range(3000):
        room.now_ns += rng.choice((2, 5, 5, 5, 200)) * SECOND
        if rng.random() < 0.9:
            figures.time_ns = room.now_ns - rng.randrange(2) * SECOND  # never the same again
            figures.value = rng.uniform(-50, 50)
            seen.setdefault(figures.time_ns // MINUTE_NS, []).append(figures.value)
        made.look(room.look())
        last = room.now_ns // MINUTE_NS
        hour = made.hour(1, room.now_ns)
        minutes = range(last - MINUTES + 1, last + 1)
        values = [value for minute in minutes for value in seen.get(minute, ())]
        if values:
            assert hour.low <= min(values)
            assert hour.high >= max(values)
        if hour is before[1]:
            assert last == before[0], "a new minute is a new line"
            redrawn += 1
            continue
        drawn += 1
        before = last, hour
        assert spans(hour) == [
            (min(seen[minute]), max(seen[minute])) if minute in seen else None for minute in minutes
        ]
        if values:
            assert (hour.low, hour.high) == (min(values), max(values))
    assert drawn > 500
    assert redrawn > 1000, "most looks find the line that is there"


def test_what_was_noted_grows_old_without_another_look(room: Room) -> None:
    made = History()
    made.look(room.look())
    told = spans(made.hour(1, room.now_ns))
    assert told[-1] is None  # it is a second old, and of the minute before
    assert told[-2] == (7.3, 7.3)
    assert spans(made.hour(1, room.now_ns + 30 * MINUTE_NS))[-32] == (7.3, 7.3)
    assert is_empty(made.hour(1, room.now_ns + 60 * MINUTE_NS))
    assert made.hour(99, room.now_ns) is NOTHING


def test_priv_14_only_what_may_be_shown_is_kept(room: Room) -> None:
    room.sensors["count"] = Sensor(
        privacy="P2", live={8: live(8, "count", "devices.count", "1", 7.0, privacy="P2")}
    )
    room.sensors["air-roof"].live[9] = live(9, "air-roof", "site.x", "1", 1.5, privacy="P3")
    # A class is inherited from the sensor: the series alone does not open it.
    room.sensors["meter"].live[4] = live(4, "meter", "energy.voltage", "V", 230.0)
    made = History()
    made.look(room.look())
    assert len(made) == 2
    for series_id in (3, 4, 8, 9):
        assert made.hour(series_id, room.now_ns) is NOTHING


def test_priv_05_a_suppressed_count_and_what_is_no_number_leave_no_trace(room: Room) -> None:
    room.sensors["air-roof"].live[1].flags = int(Flag.SUPPRESSED)
    room.sensors["air-roof"].live[2].value = float("nan")
    made = History()
    made.look(room.look())
    assert is_empty(made.hour(1, room.now_ns))
    assert is_empty(made.hour(2, room.now_ns))


@pytest.mark.parametrize("kept_s", [60.0, 150.0, 600.0, 3599.0, 3600.0, 1e6])
@pytest.mark.parametrize("by", ["class", "sensor"])
def test_priv_10_what_is_too_old_to_be_kept_is_forgotten(
    room: Room, kept_s: float, by: str
) -> None:
    if by == "class":
        room.retention_s = {"P0": kept_s, "P1": None}
    else:
        room.retention_s = {"P0": 1e9}
        room.sensor_retention_s = {"air-roof": kept_s}
    made = History()
    figures = room.sensors["air-roof"].live[1]
    for second in range(0, 4000, 10):
        room.now_ns += 10 * SECOND
        figures.time_ns, figures.value = room.now_ns, float(second)
        made.look(room.look())
        oldest = second - kept_s  # each value tells when it was taken
        known = [span for span in spans(made.hour(1, room.now_ns)) if span is not None]
        assert all(low >= oldest for low, _ in known)
        assert known, "what may be kept is shown"
    assert len(known) >= min(kept_s // 60, 60) - 1


def test_priv_10_a_shorter_retention_holds_for_what_is_there(room: Room) -> None:
    made = History()
    made.look(room.look())
    room.now_ns += 10 * MINUTE_NS
    made.look(room.look())
    assert not is_empty(made.hour(1, room.now_ns))
    room.sensor_retention_s = {"air-roof": 300.0}
    made.look(room.look())
    assert is_empty(made.hour(1, room.now_ns))
    room.sensor_retention_s = {}
    made.look(room.look())
    assert is_empty(made.hour(1, room.now_ns)), "gone is gone"


def test_priv_11_a_purged_series_is_forgotten(room: Room) -> None:
    made = History()
    made.look(room.look())
    figures = dict(room.sensors["air-roof"].live)
    room.sensors["air-roof"].live.clear()
    made.look(room.look())
    room.sensors["air-roof"].live.update(figures)
    room.sensors["air-roof"].live[1].flags = int(Flag.SUPPRESSED)
    made.look(room.look())
    assert is_empty(made.hour(1, room.now_ns))


def test_a_reading_from_long_ago_is_not_of_this_hour(room: Room) -> None:
    room.now_ns += HOUR
    made = History()
    made.look(room.look())
    assert is_empty(made.hour(1, room.now_ns))


def test_memory_is_bounded(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_SERIES", 100)
    room.sensors = {
        f"s{at}": Sensor(live={at: live(at, f"s{at}", "air.pm25", "ug/m3", 1.0)})
        for at in range(150)
    }
    made = History()
    tracemalloc.start()
    try:
        made.look(room.look())
        told = [made.hour(at, room.now_ns) for at in range(100)]
        bytes_each = tracemalloc.get_traced_memory()[0] / len(told)
    finally:
        tracemalloc.stop()
    assert len(made) == 100
    assert bytes_each < 2700, sys.version
