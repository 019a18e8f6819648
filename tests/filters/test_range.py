import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.reading import Flag
from tests.filters.readings import ANY_VALUES, readings, run


@given(
    fed=readings(ANY_VALUES),
    limits=st.tuples(ANY_VALUES, ANY_VALUES).map(sorted),
    action=st.sampled_from(["flag", "drop"]),
)
def test_a_reading_is_flagged_or_dropped_exactly_when_it_is_outside(
    fed: list[Passed], limits: list[float], action: str
) -> None:
    low, high = limits
    out = run({"range": {"min": low, "max": high, "action": action}}, fed)
    for (time_ns, value, flags), result in zip(fed, out, strict=True):
        outside = value < low or value > high
        if not outside:
            assert result == (time_ns, value, flags)
        elif action == "drop":
            assert result is None
        else:
            assert result == (time_ns, value, flags | Flag.RANGE)


def test_one_limit_is_enough_and_the_limits_are_inside() -> None:
    fed = [(0, -1e300, 0), (0, 0.0, 0), (0, 5.0, 0), (0, 5.5, 0), (0, 1e300, 0)]
    flagged = [bool(r and r[2]) for r in run({"range": {"max": 5}}, fed)]
    assert flagged == [False, False, False, True, True]
    flagged = [bool(r and r[2]) for r in run({"range": {"min": 0}}, fed)]
    assert flagged == [True, False, False, False, False]


@pytest.mark.parametrize(
    "raw", [{}, {"min": 2, "max": 1}, {"min": float("nan")}, {"max": 1, "action": "keep"}, 5, "5"]
)
def test_what_makes_no_sense_is_refused(raw: object) -> None:
    with pytest.raises(ValidationError):
        parse_options("range", raw)
