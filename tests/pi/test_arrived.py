"""What arrived is understood as docs/payloads.md tells a consumer to."""

import json
from typing import Any, cast

import pytest

from tests.end_to_end.subscriber import Received, Subscriber
from tests.pi.arrived import arrivals
from tests.pi.tools import Failed

FIX = {"epoch": 1, "from": 0, "to": 9, "correction_s": 3600.0, "bound_s": 2.0, "estimated": False}


class Listener:
    """What is asked of a subscriber here."""

    def __init__(self, rows: list[dict[str, Any]], fixes: list[dict[str, Any]]) -> None:
        self._rows = rows
        self._fixes = fixes

    def readings(self) -> list[dict[str, Any]]:
        return self._rows

    def messages(self, ending: str) -> list[Received]:
        fixes = self._fixes if ending == "/time-fix" else []
        return [Received(ending, False, json.dumps(fix).encode(), "") for fix in fixes]


def listener(rows: list[dict[str, Any]], *fixes: dict[str, Any]) -> Subscriber:
    return cast("Subscriber", Listener(rows, list(fixes)))


def report(hour: int, *flags: str, value: float = 0.8) -> list[dict[str, Any]]:
    """Return the two readings of report number 7."""
    common = {"epoch": 1, "boot": 3, "boottime_ns": 5_000_000_000, "sensor": "air"}
    common |= {"time": f"2026-11-22T{hour:02}:00:00Z", "flags": list(flags)}
    return [
        {**common, "sequence": 0, "quantity": "air.pm25", "value": value},
        {**common, "sequence": 1, "quantity": "air.pm10", "value": 0.1},
    ]


def hours(wall_s: float) -> float:
    return wall_s % 86_400 / 3600


def test_a_doubtful_time_is_mended() -> None:
    found = arrivals(listener(report(9, "clock_unsynced"), FIX)).reports[7]
    assert (hours(found.wall_s), found.sure) == (10.0, True)
    found = arrivals(listener(report(9, "clock_unsynced"), {**FIX, "estimated": True})).reports[7]
    assert (hours(found.wall_s), found.sure, found.bound_s) == (10.0, False, 2.0)


def test_what_is_right_already_is_not_mended() -> None:
    rows = report(9, "clock_unsynced") + report(10)
    found = arrivals(listener(rows, FIX))
    assert (hours(found.reports[7].wall_s), found.reports[7].sure) == (10.0, True)
    assert found.repeats == 2


def test_another_range_is_left_alone() -> None:
    found = arrivals(listener(report(9, "clock_unsynced"), {**FIX, "epoch": 2})).reports[7]
    assert (hours(found.wall_s), found.sure) == (9.0, False)


def test_half_a_report_is_counted() -> None:
    found = arrivals(listener(report(9)[:1]))
    assert (found.halves, dict(found.reports)) == (1, {})


def test_one_name_for_two_readings_is_found() -> None:
    with pytest.raises(Failed, match="two readings"):
        arrivals(listener(report(9) + report(9, value=0.9)))
