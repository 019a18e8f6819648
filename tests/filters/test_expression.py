from typing import Any

import pytest
from pydantic import ValidationError

from gateway.filters import Chain, chain_builder, parse_options
from gateway.reading import Dims, Flag
from tests.filters.readings import SECOND_NS, near

CORRECTED = "x / (1 + 0.25 * ('air.humidity' / 100) ** 2)"


def chains(table: dict[str, dict[str, Any]], *wanted: tuple[str, Dims]) -> list[Chain]:
    build = chain_builder(table)
    found = [build(quantity, dims) for quantity, dims in wanted]
    return [chain for chain in found if chain is not None]


def pm_and_humidity(options: Any, **humidity: Any) -> list[Chain]:
    table = {"air.pm25": {"expression": options}, "air.humidity": humidity}
    return chains(table, ("air.pm25", ()), ("air.humidity", ()))


def test_the_newest_value_of_the_other_quantity_is_used() -> None:
    pm, humidity = pm_and_humidity(CORRECTED)
    assert humidity.apply(0, 0.0, 0) == (0, 0.0, 0)
    assert pm.apply(1, 29.0, 0) == (1, 29.0, 0)
    humidity.apply(2, 80.0, 0)
    assert pm.apply(3, 29.0, 0) == (3, near(25.0), 0)
    humidity.apply(1, 20.0, 0)  # one that comes late does not count
    assert pm.apply(4, 29.0, 0) == (4, near(25.0), 0)


@pytest.mark.parametrize("seconds", [0, 300, 301])
def test_what_is_missing_or_old_leaves_it_uncorrected_and_says_so(seconds: int) -> None:
    pm, humidity = pm_and_humidity(CORRECTED)
    assert pm.apply(0, 29.0, 0) == (0, 29.0, Flag.CALIBRATING)
    humidity.apply(0, 80.0, 0)
    time_ns = seconds * SECOND_NS
    fresh = seconds <= 300
    expected = (time_ns, near(25.0), 0) if fresh else (time_ns, 29.0, Flag.CALIBRATING)
    assert pm.apply(time_ns, 29.0, 0) == expected


def test_it_can_be_told_to_drop_instead() -> None:
    pm, humidity = pm_and_humidity({"formula": "x / 'air.humidity'", "missing": "drop"})
    assert pm.apply(0, 29.0, 0) is None
    assert pm.dropped_by == "expression"
    humidity.apply(0, 0.0, 0)
    assert pm.apply(0, 29.0, 0) is None
    humidity.apply(0, 2.0, 0)
    assert pm.apply(0, 29.0, 0) == (0, 14.5, 0)


def test_a_doubtful_input_makes_a_doubtful_result() -> None:
    pm, humidity = pm_and_humidity(CORRECTED, range={"max": 100})
    humidity.apply(0, 140.0, Flag.ESTIMATED)
    result = pm.apply(0, 29.0, 0)
    assert result is not None
    assert result[2] == Flag.RANGE


def test_the_other_quantity_is_seen_calibrated_but_not_thinned() -> None:
    pm, humidity = pm_and_humidity(
        "x + 'air.humidity'", linear={"b": 2}, deadband=100, window="1 h"
    )
    humidity.apply(0, 1.0, 0)
    humidity.apply(1, 5.0, 0)
    assert pm.apply(2, 1.0, 0) == (2, 11.0, 0)


def test_a_drop_before_the_calibration_is_not_seen() -> None:
    limits = {"max": 100, "action": "drop"}
    pm, humidity = pm_and_humidity("x + 'air.humidity'", range=limits, linear={"b": 2})
    humidity.apply(0, 1.0, 0)
    humidity.apply(1, 500.0, 0)
    assert pm.apply(2, 1.0, 0) == (2, 3.0, 0)


def test_the_same_dimensions_are_preferred_to_none() -> None:
    one, two = (("channel", "1"),), (("channel", "2"),)
    table = {"air.pm25": {"expression": "x + 'air.humidity'"}}
    first, second, all_over, of_one = chains(
        table, ("air.pm25", one), ("air.pm25", two), ("air.humidity", ()), ("air.humidity", one)
    )
    all_over.apply(0, 10.0, 0)
    of_one.apply(0, 20.0, 0)
    assert first.apply(1, 1.0, 0) == (1, 21.0, 0)
    assert second.apply(1, 1.0, 0) == (1, 11.0, 0)


def test_sensors_do_not_see_each_other() -> None:
    pm, _ = pm_and_humidity(CORRECTED)
    _, humidity = pm_and_humidity(CORRECTED)
    humidity.apply(0, 80.0, 0)
    assert pm.apply(1, 29.0, 0) == (1, 29.0, Flag.CALIBRATING)


@pytest.mark.parametrize(
    "raw", ["1 + 1", "x + 'air.humid'", "x +", {"formula": "x", "max_age": 5}, {}, 5]
)
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("expression", raw)
