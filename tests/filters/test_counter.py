import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import build_chain, parse_options
from gateway.reading import Flag
from tests.filters.readings import SECOND_NS, run

COUNTS = st.lists(st.integers(0, 4000).map(lambda quarters: quarters / 4), min_size=1, max_size=60)
ENERGY = "energy.active_import"


@given(counts=COUNTS)
def test_what_was_counted_comes_back_whatever_the_counter_did(counts: list[float]) -> None:
    """A counter that starts at 0 again at some readings, as a device without a memory does."""
    shown, flagged = [0.0], [False]
    rng = np.random.default_rng(len(counts))
    for count in counts:
        reset = bool(rng.random() < 0.2) and shown[-1] > count
        shown.append(count if reset else shown[-1] + count)
        flagged.append(reset)
    fed = [(n * SECOND_NS, value, 0) for n, value in enumerate(shown)]
    out = run({"counter": {}}, fed, ENERGY)
    assert out[0] is None
    passed = [r for r in out[1:] if r is not None]
    assert [value for _, value, _ in passed] == counts
    assert [bool(flags & Flag.COUNTER_RESET) for _, _, flags in passed] == flagged[1:]


@given(counts=COUNTS, digits=st.sampled_from([4, 6]))
def test_a_rollover_is_not_a_reset(counts: list[float], digits: int) -> None:
    most = 10.0**digits
    shown = np.mod(np.cumsum([most - 100, *counts]), most)
    fed = [(n * SECOND_NS, float(value), 0) for n, value in enumerate(shown)]
    passed = [r for r in run({"counter": {"rollover": most}}, fed, ENERGY)[1:] if r is not None]
    assert [value for _, value, _ in passed] == pytest.approx(counts)
    assert not any(flags for _, _, flags in passed)


def test_a_small_fall_is_a_reset_although_the_counter_can_roll_over() -> None:
    fed = [(0, 600.0, 0), (1, 500.0, 0), (2, 510.0, 0)]
    out = run({"counter": {"rollover": 1000}}, fed, ENERGY)
    assert out[1:] == [(1, 500.0, Flag.COUNTER_RESET), (2, 10.0, 0)]
    out = run({"counter": {"rollover": 1000, "after_reset": "nothing"}}, fed, ENERGY)
    assert out[1:] == [(1, 0.0, Flag.COUNTER_RESET), (2, 10.0, 0)]


@given(
    counts=COUNTS,
    gaps=st.lists(st.integers(1, 100), min_size=60, max_size=60),
)
def test_a_rate_is_in_the_unit_of_its_quantity(counts: list[float], gaps: list[int]) -> None:
    times = np.cumsum([0, *gaps[: len(counts)]]) * SECOND_NS
    shown = np.cumsum([5.0, *counts])
    fed = [(int(t), float(v), 0) for t, v in zip(times, shown, strict=True)]
    options = {"give": "rate", "to": "power.active"}
    passed = [r for r in run({"counter": options}, fed, ENERGY)[1:] if r is not None]
    watts = np.diff(shown) * 3.6e6 / np.diff(times / SECOND_NS)
    assert [value for _, value, _ in passed] == pytest.approx(list(watts))


def test_late_and_simultaneous_readings_lose_nothing() -> None:
    fed = [
        (0, 10.0, 0),
        (SECOND_NS, 20.0, 0),
        (500, 12.0, 1),
        (SECOND_NS, 21.0, 0),
        (2 * SECOND_NS, 30.0, 0),
    ]
    deltas = run({"counter": {}}, fed, ENERGY)
    assert [r and r[1] for r in deltas] == [None, 10.0, None, 1.0, 9.0]
    rates = run({"counter": {"give": "rate", "to": "water.flow"}}, fed, "water.volume")
    assert [r and r[1] for r in rates] == [None, 36000.0, None, None, 36000.0]


def test_the_series_are_named_for_what_they_are() -> None:
    for raw, quantity, expected, raw_dims in [
        ({"keep_raw": True}, ENERGY, (ENERGY, "sum", "kW.h"), ()),
        (
            {"keep_raw": True},
            "traffic.count",
            ("traffic.count", "instant", "{vehicle}"),
            (("channel", "raw"),),
        ),
        (
            {"give": "rate", "to": "power.active", "keep_raw": True},
            ENERGY,
            ("power.active", "instant", "W"),
            (),
        ),
    ]:
        chain = build_chain({"counter": raw}, quantity)()
        assert chain.output is not None
        assert (chain.output.quantity, chain.output.aggregation, chain.output.unit) == expected
        (kept,) = chain.outputs
        assert (kept.quantity, kept.aggregation, kept.dims) == (quantity, "instant", raw_dims)
        chain.apply(0, 5.0, 0)
        assert chain.pending == [(0, 0, 5.0, 0)]


def test_nothing_infinite_comes_out() -> None:
    fed = [(n, value, 0) for n, value in enumerate([-1.7e308, 1.7e308, 0.0, -1.7e308])]
    for options in ({}, {"rollover": 1e308}, {"give": "rate", "to": "power.active"}):
        passed = [r for r in run({"counter": options}, fed, ENERGY) if r is not None]
        assert all(math.isfinite(value) for _, value, _ in passed)


@pytest.mark.parametrize(
    "raw",
    [
        {"give": "rate"},
        {"to": "power.active"},
        {"give": "rate", "to": "power"},
        {"rollover": 0},
        {"after_reset": "guess"},
        5,
    ],
)
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("counter", raw)
