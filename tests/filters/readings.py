"""What the property tests of the filters feed: readings with event times that may go back."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import strategies as st

from gateway.filters import Passed, build_chain

SECOND_NS = 1_000_000_000

# Multiples of a quarter, so that the arithmetic of filters and definitions is exact.
EXACT_VALUES = st.integers(-400, 400).map(lambda quarters: quarters / 4)
ANY_VALUES = st.floats(allow_nan=False, allow_infinity=False)
FLAGS = st.sampled_from([0, 0, 0, 1, 16, 17])


def readings(values: st.SearchStrategy[float]) -> st.SearchStrategy[list[Passed]]:
    """Draw readings whose time mostly rises, sometimes stands, sometimes goes back."""
    steps = st.one_of(
        st.integers(0, 5 * SECOND_NS),
        st.integers(0, 300 * SECOND_NS),
        st.integers(-20 * SECOND_NS, 0),
    )
    return st.lists(st.tuples(steps, values, FLAGS), max_size=60).map(_accumulate)


def _accumulate(drawn: Iterable[tuple[int, float, int]]) -> list[Passed]:
    time_ns = 1000 * SECOND_NS
    result = []
    for step_ns, value, flags in drawn:
        time_ns = max(time_ns + step_ns, 0)
        result.append((time_ns, value, flags))
    return result


def run(
    filters: Mapping[str, Any], fed: Iterable[Passed], quantity: str = ""
) -> list[Passed | None]:
    """Feed readings through a fresh chain and return what came out at each."""
    apply = build_chain(filters, quantity)().apply
    return [apply(*reading) for reading in fed]


def near(value: float, *, rel: float = 1e-6, within: float = 1e-12) -> Any:
    """Return what equals every number close to ``value``, also inside a reading."""
    return pytest.approx(value, rel=rel, abs=within)
