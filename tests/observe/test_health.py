"""One word of health, with reasons; and what the watchdog may be fed by."""

from collections.abc import Callable

import pytest

from gateway.observe import Progress, health
from tests.observe.figures import SECOND, Room


def test_all_is_well(room: Room) -> None:
    assert health(room.look()).state == "ok"
    assert health(room.look()).reasons == ()


def _disk_fails(room: Room) -> None:
    room.buffer.degraded = True
    room.buffer.degraded_reason = "No space left on device"


def _flusher_hangs(room: Room) -> None:
    room.flush_watch.look(room.buffer.unflushed_readings)
    room.now_ns += 31 * SECOND
    for sensor in room.sensors.values():
        sensor.last_reading_ns = room.now_ns


def _loop_slow(room: Room) -> None:
    room.loop_lag.observe(1.5, 10.0)


def _loop_blocked(room: Room) -> None:
    room.loop_lag.observe(6.0, 10.0)


def _nothing_measured(room: Room) -> None:
    room.now_ns += 601 * SECOND
    for link in room.links.values():
        link.last_acknowledged_ns = room.now_ns


def _all_links_down(room: Room) -> None:
    for link in room.links.values():
        link.state = "waiting"
        link.last_acknowledged_ns = room.now_ns - 301 * SECOND


@pytest.mark.parametrize(
    ("cause", "state", "reason"),
    [
        (_disk_fails, "degraded", "in memory only (No space left on device)"),
        (_flusher_hangs, "failing", "no flush for 31 s while 12 readings wait"),
        (_loop_slow, "degraded", "1.5 s late"),
        (_loop_blocked, "failing", "stood still for 6.0 s"),
        (_nothing_measured, "failing", "no sensor has given a reading for 10 min"),
        (_all_links_down, "degraded", "no broker can be reached, the last answer came 5 min ago"),
    ],
)
def test_each_trouble_is_named(
    room: Room, cause: Callable[[Room], None], state: str, reason: str
) -> None:
    cause(room)
    verdict = health(room.look())
    assert verdict.state == state
    assert len(verdict.reasons) == 1
    assert reason in verdict.reasons[0]


def test_failing_comes_before_degraded(room: Room) -> None:
    _all_links_down(room)
    _loop_blocked(room)
    verdict = health(room.look())
    assert verdict.state == "failing"
    assert "stood still" in verdict.reasons[0]
    assert len(verdict.reasons) == 2


def test_one_link_that_works_is_enough(room: Room) -> None:
    _all_links_down(room)
    room.links["vejle"].state = "online"
    assert health(room.look()).state == "ok"


def test_a_gateway_that_just_started_is_not_yet_blamed(room: Room) -> None:
    room.started_ns = room.now_ns - 10 * SECOND
    for sensor in room.sensors.values():
        sensor.last_reading_ns = None
    for link in room.links.values():
        link.state, link.last_acknowledged_ns = "connecting", None
    assert health(room.look()).state == "ok"


def test_an_hourly_sensor_is_not_silent_after_ten_minutes(room: Room) -> None:
    for sensor in room.sensors.values():
        sensor.interval_s = 3600.0
    _nothing_measured(room)
    assert health(room.look()).state == "ok"


def test_a_clock_that_is_not_right_is_named_once_readings_go_out_with_it(room: Room) -> None:
    room.clock.sync_source = ""
    room.started_ns = room.now_ns - 59 * SECOND
    assert health(room.look()).state == "ok"
    room.started_ns = room.now_ns - 61 * SECOND
    verdict = health(room.look())
    assert verdict.state == "degraded"
    assert "clock" in verdict.reasons[0]


def test_a_gateway_without_sensors_or_links_is_well(room: Room) -> None:
    room.sensors.clear()
    room.links.clear()
    room.now_ns += 3600 * SECOND
    assert health(room.look()).state == "ok"


def test_a_reading_after_a_quiet_hour_does_not_count_as_a_late_flush(room: Room) -> None:
    progress = Progress()
    room.buffer.unflushed_readings = 0
    room.loop_lag.observe(0.0, 1.0)
    assert progress(room.look())
    room.now_ns += 3600 * SECOND
    room.buffer.unflushed_readings = 1
    room.loop_lag.observe(0.0, 2.0)
    assert progress(room.look())


def test_the_watchdog_is_fed_by_flushes_and_not_by_a_timer(room: Room) -> None:
    progress = Progress()
    answers = []
    for _ in range(5):
        room.now_ns += 10 * SECOND
        room.loop_lag.observe(0.0, 1.0)
        answers.append(progress(room.look()))
    assert answers == [True, True, True, True, False]
    assert "no flush for" in progress.reason
    room.flush_watch.observe_flush(40.0)
    room.loop_lag.observe(0.0, 1.0)
    assert progress(room.look())
    assert progress.reason == ""


def test_the_watchdog_needs_a_loop_sampler_that_runs(room: Room) -> None:
    progress = Progress()
    room.loop_lag.observe(0.0, 1.0)
    assert progress(room.look())
    assert not progress(room.look())
    assert "sampler" in progress.reason


@pytest.mark.parametrize("cause", [_disk_fails, _nothing_measured, _all_links_down])
def test_what_a_restart_cannot_mend_does_not_starve_the_watchdog(
    room: Room, cause: Callable[[Room], None]
) -> None:
    progress = Progress()
    cause(room)
    for _ in range(20):
        room.now_ns += 10 * SECOND
        room.loop_lag.observe(0.0, 1.0)
        if cause is _nothing_measured:
            room.flush_watch.observe_flush(0.01)
        if cause is _all_links_down:
            room.flush_watch.observe_flush(0.01)
        assert progress(room.look()), progress.reason
