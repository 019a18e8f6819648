from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from tests.filters.readings import ANY_VALUES, EXACT_VALUES, SECOND_NS, readings, run

LENGTHS_S = st.sampled_from([1, 10, 60])


def intervals(fed: list[Passed], length_s: int) -> list[list[Passed]]:
    """Return the readings of each interval in turn; a late one belongs to none."""
    found: list[list[Passed]] = []
    newest = -1
    for reading in fed:
        number = reading[0] // (length_s * SECOND_NS)
        if number > newest:
            newest = number
            found.append([])
        if number == newest:
            found[-1].append(reading)
    return found


@given(fed=readings(ANY_VALUES), length_s=LENGTHS_S)
def test_first_passes_the_first_of_each_interval_at_once(fed: list[Passed], length_s: int) -> None:
    out = run({"interval": f"{length_s} s"}, fed)
    assert [r for r in out if r is not None] == [group[0] for group in intervals(fed, length_s)]
    assert all(r in (None, reading) for r, reading in zip(out, fed, strict=True))


@given(fed=readings(ANY_VALUES), length_s=LENGTHS_S)
def test_last_brings_out_the_newest_of_each_interval_that_is_over(
    fed: list[Passed], length_s: int
) -> None:
    out = run({"interval": {"every": f"{length_s} s", "take": "last"}}, fed)
    expected = []
    for group in intervals(fed, length_s)[:-1]:
        newest_ns = max(time_ns for time_ns, _, _ in group)
        expected.append([each for each in group if each[0] == newest_ns][-1])
    assert [r for r in out if r is not None] == expected


@given(fed=readings(EXACT_VALUES), length_s=LENGTHS_S)
def test_mean_brings_out_the_mean_of_each_interval_that_is_over(
    fed: list[Passed], length_s: int
) -> None:
    out = run({"interval": {"every": f"{length_s} s", "take": "mean"}}, fed)
    passed = [r for r in out if r is not None]
    groups = intervals(fed, length_s)[:-1]
    assert len(passed) == len(groups)
    for (time_ns, value, flags), group in zip(passed, groups, strict=True):
        exact = sum(Fraction(each[1]) for each in group) / len(group)
        assert value == pytest.approx(float(exact), abs=1e-9)
        assert time_ns == max(each[0] for each in group)
        together = 0
        for each in group:
            together |= each[2]
        assert flags == together


@given(
    fed=readings(ANY_VALUES), length_s=LENGTHS_S, take=st.sampled_from(["first", "last", "mean"])
)
def test_at_most_one_reading_of_each_interval_in_order_of_time(
    fed: list[Passed], length_s: int, take: str
) -> None:
    out = run({"interval": {"every": f"{length_s} s", "take": take}}, fed)
    numbers = [r[0] // (length_s * SECOND_NS) for r in out if r is not None]
    assert all(earlier < later for earlier, later in pairwise(numbers))


def test_what_was_held_over_a_silence_keeps_its_own_time() -> None:
    fed = [(1 * SECOND_NS, 5.0, 0), (9000 * SECOND_NS, 7.0, 0)]
    out = run({"interval": {"every": "10 s", "take": "last"}}, fed)
    assert out == [None, (1 * SECOND_NS, 5.0, 0)]


def test_of_two_readings_of_the_same_time_the_later_one_is_the_last() -> None:
    fed = [(5, 1.0, 0), (5, 2.0, 0), (20 * SECOND_NS, 3.0, 0)]
    out = run({"interval": {"every": "10 s", "take": "last"}}, fed)
    assert out[-1] == (5, 2.0, 0)


def test_the_mean_of_huge_values_stays_finite() -> None:
    fed = [(0, 1.7e308, 0), (1, -1.7e308, 0), (20 * SECOND_NS, 0.0, 0)]
    out = run({"interval": {"every": "10 s", "take": "mean"}}, fed)
    assert out[-1] == (1, 0.0, 0)


def test_the_shorthand_takes_the_first() -> None:
    table = {"every": "10 s", "take": "first"}
    assert parse_options("interval", "10 s") == parse_options("interval", table)


@pytest.mark.parametrize("raw", [10, "10", "1 ms", {}, {"every": "10 s", "take": "median"}, "2 d"])
def test_what_makes_no_sense_is_refused(raw: object) -> None:
    with pytest.raises(ValidationError):
        parse_options("interval", raw)
