import logging

import pytest

from gateway.clock_checks import LEAST_TOLD, LIMIT_S, MAX_AGE_S, ClockChecks, ToldTime
from gateway.driver import TimeTold
from gateway.intake import SensorStats
from tests.gateway.test_intake import Store, intake_with

SECOND_NS = 1_000_000_000
UTC_NS = 1_800_000_000 * SECOND_NS
"""What the device says at boot time 0."""


def told(count: int, *, delay_s: float = 0.0, start_s: int = 0) -> ToldTime:
    """Return what a device told once a second, in sentences that came ``delay_s`` late."""
    device = ToldTime()
    for second in range(start_s, start_s + count):
        now_ns = second * SECOND_NS
        device.add(UTC_NS + now_ns - round(delay_s * SECOND_NS), now_ns)
    return device


def sensors(**devices: ToldTime | None) -> dict[str, SensorStats]:
    return {
        name: SensorStats(name, "nmea", "site", "P0", 30.0, told_time=device)
        for name, device in devices.items()
    }


def test_the_delay_of_the_line_makes_our_clock_seem_ahead() -> None:
    assert told(10, delay_s=0.4).ahead_s(10 * SECOND_NS, UTC_NS) == 0.4


def test_a_few_told_times_say_nothing() -> None:
    assert told(LEAST_TOLD - 1).ahead_s(SECOND_NS, UTC_NS) is None
    assert told(LEAST_TOLD).ahead_s(SECOND_NS, UTC_NS) == 0.0


def test_one_wrong_time_among_many_does_not_count() -> None:
    device = told(10)
    device.add(UTC_NS + 10**6 * SECOND_NS, 10 * SECOND_NS)
    assert device.ahead_s(10 * SECOND_NS, UTC_NS) == 0.0


def test_what_was_told_long_ago_says_nothing() -> None:
    device = told(10)
    last_ns, limit_ns = 9 * SECOND_NS, round(MAX_AGE_S * SECOND_NS)
    assert device.ahead_s(last_ns + limit_ns, UTC_NS) == 0.0
    assert device.ahead_s(last_ns + limit_ns + 1, UTC_NS) is None
    device.add(UTC_NS, last_ns + limit_ns + 1)
    assert device.ahead_s(last_ns + limit_ns + 1, UTC_NS) is None, "it has to be told anew"


def test_memory_does_not_grow() -> None:
    device = told(10_000)
    assert len(device._offsets_ns) < 100


def test_a_clock_that_is_set_is_right_at_once() -> None:
    device = told(10)
    assert device.ahead_s(10 * SECOND_NS, UTC_NS - 3600 * SECOND_NS) == -3600.0
    assert device.ahead_s(10 * SECOND_NS, UTC_NS) == 0.0


def looks(checks: ClockChecks, device: ToldTime | None, ahead_s: float) -> None:
    offset_ns = UTC_NS + round(ahead_s * SECOND_NS)
    checks.look(sensors(gnss=device, air=None), 10 * SECOND_NS, offset_ns)


def test_a_wrong_clock_is_told_once_and_so_is_a_right_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    checks, device = ClockChecks(), told(10)
    with caplog.at_level(logging.INFO):
        for ahead_s in (0.0, LIMIT_S, -LIMIT_S):
            looks(checks, device, ahead_s)
        assert caplog.messages == []
        for ahead_s in (7.5, 8.0, 7.0):
            looks(checks, device, ahead_s)
        looks(checks, None, 8.0)
        assert caplog.messages == ["clock check: the wall clock is 7.5 s ahead of the time of gnss"]
        for ahead_s in (0.3, 0.2):
            looks(checks, device, ahead_s)
        looks(checks, device, -90.0)
    assert caplog.messages[1:] == [
        "clock check: the wall clock agrees with gnss again",
        "clock check: the wall clock is 90.0 s behind the time of gnss",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_sensor_that_is_gone_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    checks, device = ClockChecks(), told(10)
    looks(checks, device, 60.0)
    checks.look({}, 10 * SECOND_NS, UTC_NS)
    looks(checks, device, 60.0)
    assert len(caplog.messages) == 2


def test_weeks_that_rolled_over_are_the_receivers_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    looks(ClockChecks(), told(10), 1024 * 7 * 86_400 + 0.4)
    (message,) = caplog.messages
    assert message.startswith("clock check: the date of gnss is wrong by 1024 weeks")


def test_the_intake_hands_on_what_is_told_and_stores_nothing() -> None:
    store = Store()
    intake = intake_with(store)
    assert intake.told_times == {}
    for second in range(LEAST_TOLD):
        now_ns = second * SECOND_NS
        intake.accept("air-roof", [TimeTold(UTC_NS + now_ns)], now_ns)
    assert intake.told_times["air-roof"].ahead_s(now_ns, UTC_NS + 2 * SECOND_NS) == 2.0
    stats = intake.stats["air-roof"]
    assert (store.rows, stats.faults, stats.restarts, stats.last_reading_ns) == ([], {}, 0, None)
