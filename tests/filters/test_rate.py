from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.reading import Flag
from tests.filters.readings import EXACT_VALUES, SECOND_NS, readings, run


@given(
    fed=readings(EXACT_VALUES),
    most=st.sampled_from([0.25, 1, 8]),
    per_s=st.sampled_from([1, 4, 64]),
    action=st.sampled_from(["flag", "drop"]),
)
def test_a_reading_is_judged_by_the_last_one_that_was_good(
    fed: list[Passed], most: float, per_s: int, action: str
) -> None:
    options = {"max": most, "per": f"{per_s} s", "action": action}
    good: Passed | None = None
    for reading, result in zip(fed, run({"rate": options}, fed), strict=True):
        time_ns, value, flags = reading
        too_fast = False
        if good is not None:
            seconds = abs(time_ns - good[0]) / SECOND_NS
            change = abs(value - good[1])
            if change == pytest.approx(most / per_s * seconds, rel=1e-9):
                too_fast = result != reading  # a hair's breadth: either is right
            else:
                too_fast = change > most / per_s * seconds
        if not too_fast:
            good = reading
            assert result == reading
        else:
            assert result == (None if action == "drop" else (time_ns, value, flags | Flag.RATE))


def test_the_return_from_an_outlier_is_good_and_a_true_jump_is_in_time() -> None:
    values = [10.0, 90.0, 10.0, 20.0, 20.0, 20.0, 20.0]
    fed = [(number * SECOND_NS, value, 0) for number, value in enumerate(values)]
    flagged = [bool(r and r[2]) for r in run({"rate": {"max": 3}}, fed)]
    assert flagged == [False, True, False, True, True, True, False]


def test_two_values_at_one_time_are_infinitely_fast_and_one_value_twice_is_not() -> None:
    fed = [(0, 1.0, 0), (0, 1.0, 0), (0, 2.0, 0)]
    assert [bool(r and r[2]) for r in run({"rate": {"max": 1000}}, fed)] == [False, False, True]


@pytest.mark.parametrize("raw", [{}, {"max": 0}, {"max": -1}, {"max": 1, "per": 1}, 5])
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("rate", raw)
