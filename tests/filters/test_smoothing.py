import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.reading import Flag
from tests.filters.readings import ANY_VALUES, EXACT_VALUES, SECOND_NS, near, readings, run

BAD = Flag.RANGE | Flag.STUCK


def good(fed: list[Passed]) -> list[Passed]:
    return [each for each in fed if not each[2] & BAD]


@given(fed=readings(ANY_VALUES), n=st.sampled_from([3, 5, 99]))
def test_median_is_that_of_the_last_good_readings(fed: list[Passed], n: int) -> None:
    for index, (reading, result) in enumerate(
        zip(fed, run({"median": n}, fed), strict=True), start=1
    ):
        if reading[2] & BAD:
            assert result == reading
            continue
        last = [each[1] for each in good(fed[:index])][-n:]
        lower = float(np.percentile(last, 50, method="lower"))
        assert result == (reading[0], lower, reading[2])


@given(fed=readings(EXACT_VALUES), n=st.sampled_from([2, 7, 100]))
def test_mean_is_that_of_the_last_good_readings(fed: list[Passed], n: int) -> None:
    for index, (reading, result) in enumerate(
        zip(fed, run({"mean": n}, fed), strict=True), start=1
    ):
        assert result is not None
        last = [each[1] for each in good(fed[:index])][-n:]
        expected = reading[1] if reading[2] & BAD else float(np.mean(last))
        assert result == (reading[0], near(expected, within=1e-9), reading[2])


@given(fed=readings(EXACT_VALUES), tau_s=st.sampled_from([0.5, 10, 1000]))
def test_ewma_over_a_time_is_the_integral_of_what_held_between_readings(
    fed: list[Passed], tau_s: float
) -> None:
    """With weights exp(-age / tau): the first value from for ever, each other since the one before.

    That is another way to write y += (1 - exp(-dt / tau)) · (x - y).
    """
    out = run({"ewma": f"{tau_s:g} s"}, fed)
    seen: list[Passed] = []
    for reading, result in zip(fed, out, strict=True):
        assert result is not None
        if reading[2] & BAD:
            assert result == reading
            continue
        seen.append(reading)
        newest = -math.inf
        kept = []
        for time_ns, value, _ in seen:  # a late reading has no time of its own
            if time_ns > newest:
                kept.append((time_ns, value))
                newest = time_ns
        times = np.array([each[0] for each in kept], dtype=np.float64)
        values = np.array([each[1] for each in kept])
        decay = np.exp(-(times[-1] - times) / (tau_s * SECOND_NS))
        weights = np.diff(decay, prepend=0.0)
        assert result[1] == near(float(weights @ values), within=1e-6)


@given(fed=readings(EXACT_VALUES), n=st.sampled_from([1, 9, 100]))
def test_ewma_over_readings_weighs_by_their_number(fed: list[Passed], n: int) -> None:
    values = [each[1] for each in good(fed)]
    alpha = 2 / (n + 1)
    out = [r for r in run({"ewma": n}, fed) if r is not None and not r[2] & BAD]
    for index, result in enumerate(out):
        ages = np.arange(index, -1, -1)
        weights = alpha * (1 - alpha) ** ages
        weights[0] = (1 - alpha) ** index
        assert result[1] == near(float(weights @ np.array(values[: index + 1])), within=1e-6)


@pytest.mark.parametrize("filters", [{"mean": 3}, {"ewma": 3}, {"ewma": "3 s"}, {"median": 3}])
def test_nothing_infinite_comes_out(filters: dict[str, Any]) -> None:
    fed = [(n * SECOND_NS, value, 0) for n, value in enumerate([1.7e308, 1.7e308, -1.7e308] * 9)]
    passed = [r for r in run(filters, fed) if r is not None]
    assert passed
    assert all(math.isfinite(value) for _, value, _ in passed)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("median", 4),
        ("median", 1),
        ("median", 101),
        ("mean", 1),
        ("mean", True),
        ("mean", 101),
        ("ewma", {}),
        ("ewma", {"n": 3, "time": "3 s"}),
        ("ewma", 0),
        ("ewma", "0 s"),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options(name, raw)
