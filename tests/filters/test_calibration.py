import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Environment, Passed, build_chain, parse_options
from gateway.reading import Flag
from tests.filters.readings import ANY_VALUES, EXACT_VALUES, near, readings, run

DAY_NS = 86_400_000_000_000
POINTS = (
    st.lists(st.tuples(st.integers(-50, 50), st.integers(-90, 90)), min_size=2, max_size=9)
    .map(lambda found: sorted(dict(found).items()))
    .filter(lambda found: len(found) > 1)
)


@given(fed=readings(ANY_VALUES), a=EXACT_VALUES, b=EXACT_VALUES.filter(lambda b: b not in (0, 1)))
def test_linear_is_a_straight_line(fed: list[Passed], a: float, b: float) -> None:
    for (time_ns, value, flags), result in zip(
        fed, run({"linear": {"a": a, "b": b}}, fed), strict=True
    ):
        expected = a + b * value
        assert result == ((time_ns, expected, flags) if math.isfinite(expected) else None)


@given(fed=readings(EXACT_VALUES), points=POINTS)
def test_table_is_numpys_interpolation_inside(
    fed: list[Passed], points: list[tuple[int, int]]
) -> None:
    read, true = zip(*points, strict=True)
    out = run({"table": {"points": points, "outside": "hold"}}, fed)
    for (time_ns, value, flags), result in zip(fed, out, strict=True):
        expected = float(np.interp(value, read, true))
        assert result == (time_ns, near(expected, within=1e-9), flags)


@pytest.mark.parametrize(
    ("outside", "below", "above"),
    [
        ("extend", (0, -10.0, 0), (0, 40.0, 0)),
        ("hold", (0, 0.0, 0), (0, 30.0, 0)),
        ("flag", (0, -10.0, Flag.RANGE), (0, 40.0, Flag.RANGE)),
        ("drop", None, None),
    ],
)
def test_outside_its_points_a_table_does_what_it_was_told(
    outside: str, below: Passed | None, above: Passed | None
) -> None:
    options = {"points": [[0, 0], [10, 10], [20, 30]], "outside": outside}
    fed = [(0, -10.0, 0), (0, 0.0, 0), (0, 15.0, 0), (0, 20.0, 0), (0, 25.0, 0)]
    assert run({"table": options}, fed) == [below, (0, 0.0, 0), (0, 20.0, 0), (0, 30.0, 0), above]


def test_it_is_flagged_from_the_day_on_which_it_expires() -> None:
    """Wall time is asked again at each tick, because it may have been wrong."""
    offset_ns = [0]
    environment = Environment(lambda time_ns: time_ns + offset_ns[0], lambda: True)
    options = {"b": 2, "date": "1970-01-01", "expires": "1970-01-11"}
    chain = build_chain({"linear": options}, "air.pm25", environment=environment)()
    assert chain.apply(10 * DAY_NS - 1, 1.0, 0) == (10 * DAY_NS - 1, 2.0, 0)
    assert chain.expired == 0
    assert chain.apply(10 * DAY_NS, 1.0, 1) == (10 * DAY_NS, 2.0, 1 | Flag.CALIBRATING)
    assert chain.expired == 1
    offset_ns[0] = -5 * DAY_NS
    chain.tick(10 * DAY_NS)
    assert chain.expired == 0
    assert chain.apply(10 * DAY_NS, 1.0, 0) == (10 * DAY_NS, 2.0, 0)


def test_the_papers_of_all_calibrations_of_a_chain_come_together() -> None:
    filters = {
        "linear": {
            "b": 2,
            "id": "L1",
            "date": "2026-01-02",
            "expires": "2027-06-01",
            "keep_raw": True,
        },
        "table": {
            "points": [[0, 1], [1, 2]],
            "id": "T2",
            "date": "2025-11-01",
            "expires": "2027-01-01",
        },
    }
    chain = build_chain(filters, "air.pm25")((("channel", "2"),))
    assert chain.output is not None
    assert chain.output.calibration == {
        "id": "L1, T2",
        "date": "2025-11-01",
        "expires": "2027-01-01",
        "formula": "0.0 + 2.0 * x; table 0:1 1:2",
        "raw": "kept",
    }
    (raw,) = chain.outputs
    assert (raw.quantity, raw.dims, dict(raw.calibration)) == (
        "air.pm25",
        (("channel", "2-raw"),),
        {},
    )


def test_the_raw_value_is_the_one_that_came_to_the_filter_even_if_that_drops_it() -> None:
    filters = {
        "range": {"max": 100, "action": "drop"},
        "table": {"points": [[0, 0], [10, 20]], "outside": "drop", "keep_raw": True},
    }
    chain = build_chain(filters, "air.pm25")()
    assert [chain.apply(n, value, 0) for n, value in enumerate([5.0, 50.0, 500.0])] == [
        (0, 10.0, 0),
        None,
        None,
    ]
    assert chain.pending == [(0, 0, 5.0, 0), (0, 1, 50.0, 0)]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("linear", {}),
        ("linear", {"b": 0}),
        ("linear", {"a": math.nan}),
        ("linear", {"b": 2, "expires": "soon"}),
        ("linear", {"b": 2, "date": "2026-01-02", "expires": "2026-01-02"}),
        ("linear", {"b": 2, "id": "a\nb"}),
        ("linear", {"b": 2, "id": "x" * 61}),
        ("table", [[0, 1]]),
        ("table", [[0, 1], [0, 2]]),
        ("table", [[1, 1], [0, 2]]),
        ("table", [[0, -1.7e308], [1e-300, 1.7e308]]),
        ("table", [[n, n] for n in range(201)]),
        ("table", [[0], [1]]),
    ],
)
def test_what_makes_no_sense_is_refused(name: str, raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options(name, raw)
