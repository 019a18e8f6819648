from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Passed, parse_options
from gateway.filters.suppress_small import DEFAULT_K
from gateway.reading import Flag, quality_of
from tests.filters.readings import readings, run


@given(fed=readings(st.integers(0, 20).map(float)), k=st.integers(3, 12))
def test_priv_05_small_counts_are_hidden_and_zero_is_not(fed: list[Passed], k: int) -> None:
    for (time_ns, value, flags), result in zip(fed, run({"suppress_small": k}, fed), strict=True):
        if 1 <= value <= k - 1:
            assert result == (time_ns, 0.0, flags | Flag.SUPPRESSED)
        else:
            assert result == (time_ns, value, flags)


@given(value=st.floats(allow_nan=False, allow_infinity=False), k=st.integers(3, 12))
def test_priv_05_nothing_between_zero_and_k_comes_out(value: float, k: int) -> None:
    (result,) = run({"suppress_small": k}, [(0, value, 0)])
    assert result is not None
    assert result[1] == 0 or result[1] >= k


def test_priv_05_all_small_counts_look_the_same() -> None:
    out = {run({"suppress_small": {}}, [(0, float(n), 0)])[0] for n in range(1, DEFAULT_K)}
    assert len(out) == 1
    assert quality_of(Flag.SUPPRESSED) == "uncertain"


@pytest.mark.parametrize("raw", [2, 0, -5, True, "5", {"k": 2}])
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("suppress_small", raw)
