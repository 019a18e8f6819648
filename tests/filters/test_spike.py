import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.reading import Flag
from tests.filters.readings import EXACT_VALUES, SECOND_NS, readings, run

SIGMA_PER_MAD = 1.4826


def judge(last: list[float], sigmas: float, least: float) -> tuple[bool, bool, float]:
    """Say the definition with numpy: is it a spike, is it close to the limit, the median."""
    values = np.array(last)
    median = float(np.median(values))
    mad = float(np.median(np.abs(values - median)))
    deviation = abs(last[-1] - median)
    limit = max(sigmas * SIGMA_PER_MAD * mad, least)
    near = deviation == pytest.approx(limit, rel=1e-9)
    return deviation > limit and (mad > 0 or least > 0), near, median


def check(fed: list[Passed], n: int, sigmas: float, least: float, action: str) -> int:
    options = {"n": n, "sigmas": sigmas, "least": least, "action": action}
    out = run({"spike": options}, fed)
    spikes = 0
    for index, (time_ns, value, flags) in enumerate(fed):
        result = out[index]
        if index < n - 1:
            assert result == fed[index]
            continue
        spike, near, median = judge(
            [each[1] for each in fed[index - n + 1 : index + 1]], sigmas, least
        )
        if near:
            continue
        spikes += spike
        if not spike:
            assert result == fed[index]
        elif action == "flag":
            assert result == (time_ns, value, flags | Flag.SPIKE)
        elif action == "replace":
            assert result == (time_ns, median, flags | Flag.SPIKE | Flag.SUBSTITUTED)
        else:
            assert result is None
    return spikes


@given(
    fed=readings(EXACT_VALUES),
    n=st.sampled_from([3, 5, 7, 31]),
    sigmas=st.sampled_from([0.5, 3, 10]),
    least=st.sampled_from([0, 0.25, 20]),
    action=st.sampled_from(["flag", "drop", "replace"]),
)
def test_it_is_the_hampel_identifier(
    fed: list[Passed], n: int, sigmas: float, least: float, action: str
) -> None:
    check(fed, n, sigmas, least, action)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("n", [3, 7, 31])
def test_spikes_in_noise_are_found(seed: int, n: int) -> None:
    rng = random.Random(seed)
    fed = []
    for number in range(2000):
        value = rng.gauss(20, 1) + (50 if rng.random() < 0.01 else 0)
        fed.append((number * SECOND_NS, value, 0))
    assert check(fed, n, 3.0, 2.0, "flag") > 10


def test_a_steady_value_makes_no_spike_of_a_small_step_unless_least_says_so() -> None:
    values = [20.0] * 10 + [20.1, 20.0, 60.0] + [20.0] * 5
    fed = [(number * SECOND_NS, value, 0) for number, value in enumerate(values)]
    assert not any(r and r[2] for r in run({"spike": {}}, fed))
    flagged = [r[1] for r in run({"spike": {"least": 1}}, fed) if r and r[2]]
    assert flagged == [60.0]


def test_values_at_the_end_of_the_floats_do_not_upset_it() -> None:
    fed = [(n, value, 0) for n, value in enumerate([1.7e308, -1.7e308, 5e-324, 0.0, -0.0] * 20)]
    assert len([r for r in run({"spike": {"n": 5}}, fed) if r is not None]) == len(fed)


@pytest.mark.parametrize("raw", [{"n": 4}, {"n": 1}, {"n": 33}, {"sigmas": 0}, {"least": -1}, 7])
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("spike", raw)
