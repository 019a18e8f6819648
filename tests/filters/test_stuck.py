import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.reading import Flag
from tests.filters.readings import SECOND_NS, readings, run

FEW_VALUES = st.sampled_from([1.0, 1.0, 1.0, 2.0])


@given(
    fed=readings(FEW_VALUES),
    longer_s=st.sampled_from([1, 10, 100]),
    action=st.sampled_from(["flag", "drop"]),
)
def test_a_value_that_stays_longer_is_stuck(fed: list[Passed], longer_s: int, action: str) -> None:
    out = run({"stuck": {"longer": f"{longer_s} s", "action": action}}, fed)
    for index, (time_ns, value, flags) in enumerate(fed):
        first = index
        while first > 0 and fed[first - 1][1] == value:
            first -= 1
        if time_ns - fed[first][0] <= longer_s * SECOND_NS:
            assert out[index] == fed[index]
        else:
            assert out[index] == (
                None if action == "drop" else (time_ns, value, flags | Flag.STUCK)
            )


def quiet(fed: list[Passed], longer_s: int, limit: float) -> list[bool]:
    """Say the definition with numpy: stretches from the first reading on, and their variance."""
    numbers: list[int] = []
    for time_ns, _, _ in fed:  # one that is late counts in the stretch that is running
        number = (time_ns - fed[0][0]) // (longer_s * SECOND_NS)
        numbers.append(max([number, *numbers[-1:]]))
    found: list[bool] = []
    for index, number in enumerate(numbers):
        before = [fed[i][1] for i in range(index) if numbers[i] == number - 1]
        now = [
            [fed[i][1] for i in range(last + 1) if numbers[i] == number]
            for last in range(index + 1)
        ]
        now = [values for values in now if values]
        was_quiet = len(before) >= 3 and float(np.var(before)) < limit
        found.append(was_quiet and all(float(np.var(values)) < limit for values in now))
    return found


@pytest.mark.parametrize("seed", range(10))
def test_noise_that_is_gone_is_noticed_and_so_is_its_return(seed: int) -> None:
    rng = random.Random(seed)
    fed: list[Passed] = []
    time_ns = 0
    for number in range(400):
        time_ns += rng.choice([SECOND_NS, 2 * SECOND_NS, 40 * SECOND_NS, -SECOND_NS])
        width = 0.001 if 100 < number < 250 else 1.0
        fed.append((time_ns, rng.gauss(20, width), 0))
    out = run({"stuck": {"longer": "60 s", "variance": 0.01}}, fed)
    flagged = [bool(r and r[2] & Flag.STUCK) for r in out]
    assert flagged == quiet(fed, 60, 0.01)
    assert any(flagged)
    assert not all(flagged)


def test_the_shorthand_is_how_long() -> None:
    assert parse_options("stuck", "1 h") == parse_options("stuck", {"longer": "1 h"})


@pytest.mark.parametrize("raw", [{}, 5, "1 ms", {"longer": "1 h", "variance": 0}, "40 d"])
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("stuck", raw)
