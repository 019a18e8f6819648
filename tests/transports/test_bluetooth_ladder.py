"""The recovery ladder of the scan, without a radio."""

from gateway.transports.bluetooth_ladder import POWER_CYCLE_INTERVAL_S, ScanLadder
from gateway.transports.stats import AdapterStats


def climb(ladder: ScanLadder, now: float) -> str | None:
    """Take one fruitless scan, and do what the ladder says, as the scan does."""
    step = ladder.fruitless(now)
    if step == "power_cycle":
        ladder.power_cycled(now, skipped=False)
    return step


def test_the_steps_in_their_order() -> None:
    stats = AdapterStats()
    ladder = ScanLadder(stats, patience_s=90.0)
    assert [climb(ladder, 90.0 * number) for number in range(1, 6)] == [
        "restart",
        "power_cycle",
        "report",
        None,
        None,
    ]
    assert stats.recoveries == {"restart": 1, "power_cycle": 1, "report": 1}
    assert stats.recovery_step == 3


def test_it_begins_at_the_ground_when_something_was_heard() -> None:
    stats = AdapterStats()
    ladder = ScanLadder(stats, patience_s=90.0)
    climb(ladder, 90.0)
    climb(ladder, 180.0)
    assert stats.recovery_step == 2
    ladder.heard()
    assert stats.recovery_step == 0
    assert climb(ladder, 270.0) == "restart"


def test_a_deaf_adapter_is_switched_off_and_on_once_an_hour() -> None:
    stats = AdapterStats()
    ladder = ScanLadder(stats, patience_s=90.0)
    for number in range(1, 81):  # two hours
        climb(ladder, 90.0 * number)
    assert stats.recoveries["power_cycle"] == 1 + int((7200.0 - 180.0) // POWER_CYCLE_INTERVAL_S)
    assert stats.recoveries["report"] == 1
    assert stats.recovery_step == 3


def test_what_was_refused_is_counted_and_not_asked_for_all_the_time() -> None:
    stats = AdapterStats()
    ladder = ScanLadder(stats, patience_s=90.0)
    ladder.fruitless(90.0)
    assert ladder.fruitless(180.0) == "power_cycle"
    ladder.power_cycled(180.0, skipped=True)
    assert stats.recoveries["power_cycle_skipped"] == 1
    assert "power_cycle" not in stats.recoveries
    assert ladder.fruitless(270.0) == "report"
    assert ladder.fruitless(360.0) is None


def test_an_adapter_that_stays_away_is_reported_once() -> None:
    stats = AdapterStats()
    ladder = ScanLadder(stats, patience_s=90.0)
    assert [ladder.absent(now) for now in (0.0, 30.0, 89.0, 90.0, 120.0)] == [
        None,
        None,
        None,
        "report",
        None,
    ]
    ladder.heard()
    assert ladder.absent(1000.0) is None
    assert ladder.absent(1090.0) == "report"
    assert stats.recoveries == {"report": 2}
