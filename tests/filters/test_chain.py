from typing import Any

import pytest
from pydantic import ValidationError

from gateway.filters import build_chain, chain_builder, filters_for, parse_options
from gateway.reading import Flag

LIMITS = {"min": 0, "max": 100, "action": "drop"}


def test_the_filters_run_in_the_order_written() -> None:
    flagged_first = build_chain({"range": {"max": 10}, "deadband": 100})()
    assert flagged_first.apply(0, 5.0, 0) == (0, 5.0, 0)
    # The flag that range sets is a change that deadband lets through.
    assert flagged_first.apply(1, 11.0, 0) == (1, 11.0, Flag.RANGE)

    thinned_first = build_chain({"deadband": 100, "range": {"max": 10}})()
    assert thinned_first.apply(0, 5.0, 0) == (0, 5.0, 0)
    assert thinned_first.apply(1, 11.0, 0) is None
    assert thinned_first.dropped_by == "deadband"


@pytest.mark.parametrize(
    ("filters", "fed", "dropped_by"),
    [
        ({"range": LIMITS}, [-1.0], "range"),
        ({"range": LIMITS, "deadband": 1}, [-1.0], "range"),
        ({"range": LIMITS, "deadband": 1}, [5.0, 5.5], "deadband"),
        ({"deadband": 1, "interval": "1 h"}, [5.0, 50.0], "interval"),
    ],
)
def test_the_chain_knows_which_filter_dropped(
    filters: dict[str, object], fed: list[float], dropped_by: str
) -> None:
    chain = build_chain(filters)()
    results = [chain.apply(number, value, 0) for number, value in enumerate(fed)]
    assert results[-1] is None
    assert chain.dropped_by == dropped_by


def test_a_reading_that_was_held_back_meets_the_next_filter_with_its_own_time() -> None:
    second = 1_000_000_000
    held_then_thinned = {
        "interval": {"every": "10 s", "take": "last"},
        "deadband": {"absolute": 1, "heartbeat": "30 s"},
    }
    chain = build_chain(held_then_thinned)()
    assert chain.apply(1 * second, 5.0, 0) is None
    assert chain.apply(11 * second, 5.0, 0) == (1 * second, 5.0, 0)
    # An hour later: what comes out was measured at 11 s, so the heartbeat is not due for it.
    assert chain.apply(3600 * second, 5.0, 0) is None
    assert chain.dropped_by == "deadband"


def test_an_empty_chain_lets_everything_through() -> None:
    assert build_chain({})().apply(1, 2.0, 3) == (1, 2.0, 3)


def test_series_do_not_share_state() -> None:
    build = build_chain({"deadband": 1})
    first, second = build(), build()
    assert first.apply(0, 5.0, 0) is not None
    assert second.apply(0, 5.0, 0) is not None
    assert first.apply(1, 5.0, 0) is None


def test_a_quantity_without_filters_has_no_chain() -> None:
    build = chain_builder({"air.pm25": {"deadband": 1}})
    assert build("air.pm10") is None
    assert build("air.pm25") is not None


def test_filters_for_all_come_with_those_of_the_quantity_in_file_order() -> None:
    table: dict[str, dict[str, Any]] = {
        "air.pm25": {"range": {"min": 0}},
        "*": {"deadband": 1, "interval": "1 s"},
        "air.pm10": {"deadband": 2},
    }
    assert list(filters_for(table, "air.pm25")) == ["range", "deadband", "interval"]
    # Its own deadband takes the place of the one for all.
    assert filters_for(table, "air.pm10") == {"interval": "1 s", "deadband": 2}
    assert list(filters_for(table, "air.co2")) == ["deadband", "interval"]


def test_bad_options_say_where_they_are() -> None:
    with pytest.raises(ValidationError) as caught:
        parse_options("deadband", {"absolute": 1, "heartbeat": "soon"})
    assert [error["loc"] for error in caught.value.errors()] == [("heartbeat",)]
