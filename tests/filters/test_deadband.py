from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.filters.deadband_options import DEFAULT_HEARTBEAT_S
from tests.filters.readings import EXACT_VALUES, SECOND_NS, readings, run


def passes(
    last: Passed | None, reading: Passed, *, absolute: float, percent: float, heartbeat_s: int
) -> bool:
    """Say the definition of the filter once more, in the plainest way."""
    if last is None:
        return True
    band = max(absolute, abs(last[1]) * percent / 100)
    return (
        abs(reading[1] - last[1]) > band
        or reading[2] != last[2]
        or reading[0] - last[0] >= heartbeat_s * SECOND_NS
    )


@given(
    fed=readings(EXACT_VALUES),
    absolute=st.sampled_from([0, 0.25, 1, 10]),
    percent=st.sampled_from([0, 12.5, 25, 50]),
    heartbeat_s=st.sampled_from([1, 10, 60]),
)
def test_what_passes_is_what_the_definition_says(
    fed: list[Passed], absolute: float, percent: float, heartbeat_s: int
) -> None:
    options = {"absolute": absolute, "percent": percent, "heartbeat": f"{heartbeat_s} s"}
    last: Passed | None = None
    for reading, result in zip(fed, run({"deadband": options}, fed), strict=True):
        expected = passes(
            last, reading, absolute=absolute, percent=percent, heartbeat_s=heartbeat_s
        )
        assert (result is not None) == expected
        if result is not None:
            assert result == reading
            last = reading


def test_the_default_heartbeat_lets_an_unchanged_value_through_once_a_minute() -> None:
    fed = [(second * SECOND_NS, 20.0, 0) for second in range(181)]
    passed = [result for result in run({"deadband": 1}, fed) if result is not None]
    assert [time_ns // SECOND_NS for time_ns, _, _ in passed] == [0, 60, 120, 180]
    assert DEFAULT_HEARTBEAT_S == 60


def test_zero_passes_every_change_and_nothing_else() -> None:
    values = [1.0, 1.0, 2.0, 2.0, 1.0]
    fed = [(number * SECOND_NS, value, 0) for number, value in enumerate(values)]
    passed = [result is not None for result in run({"deadband": 0}, fed)]
    assert passed == [True, False, True, False, True]


def test_a_change_of_flags_passes() -> None:
    fed = [(0, 1.0, 0), (1, 1.0, 0), (2, 1.0, 1), (3, 1.0, 1), (4, 1.0, 0)]
    passed = [result is not None for result in run({"deadband": 5}, fed)]
    assert passed == [True, False, True, False, True]


def test_values_at_the_end_of_the_floats_do_not_upset_it() -> None:
    fed = [(0, 1.7e308, 0), (1, -1.7e308, 0), (2, -1.7e308, 0)]
    assert [r is not None for r in run({"deadband": "100 %"}, fed)] == [True, True, False]


@pytest.mark.parametrize(
    ("shorthand", "table"),
    [
        (0.5, {"absolute": 0.5}),
        (2, {"absolute": 2}),
        ("5 %", {"percent": 5}),
        ("2.5%", {"percent": 2.5}),
    ],
)
def test_a_shorthand_means_its_table(shorthand: object, table: dict[str, Any]) -> None:
    assert parse_options("deadband", shorthand) == parse_options("deadband", table)


@pytest.mark.parametrize(
    "raw",
    [-1, True, "5", "five %", {}, {"heartbeat": "10 s"}, {"absolute": 1, "heartbeat": 10}, "101 %"],
)
def test_what_makes_no_sense_is_refused(raw: object) -> None:
    with pytest.raises(ValidationError):
        parse_options("deadband", raw)
