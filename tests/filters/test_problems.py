import tomllib
from typing import Any

import pytest

from gateway.filters import (
    EXAMPLES,
    FILTERS,
    SHORTHANDS,
    collisions,
    parse_options,
    problems,
)
from gateway.quantities import registry

WINDOW_OF_ALL = {"every": "1 h", "give": ["mean", "sum"]}
NONSENSE: list[tuple[str, dict[str, Any], str, str]] = [
    ("traffic.count", {"deadband": 0}, "deadband", "added up"),
    ("traffic.count", {"interval": "1 s"}, "interval", "added up"),
    ("traffic.count", {"median": 3}, "median", "falsify"),
    ("traffic.count", {"ewma": 3}, "ewma", "falsify"),
    ("traffic.count", {"spike": {"action": "replace"}}, "spike", "falsify"),
    ("traffic.count", {"rate": {"max": 1, "action": "drop"}}, "rate", "lose"),
    ("traffic.count", {"stuck": {"longer": "1 h", "action": "drop"}}, "stuck", "lose"),
    ("traffic.count", {"window": {"every": "1 h", "give": ["mean"]}}, "window", "lose"),
    ("traffic.count", {"window": {"every": "1 h", "leave_out": "bad"}}, "window", "lose"),
    ("traffic.count", {"window": {"every": "1 h", "weight": "time"}}, "window", "hold"),
    (
        "traffic.count",
        {"window": {"every": "1 h", "give": ["sum", "mean"]}, "suppress_small": 5},
        "suppress_small",
        "mean",
    ),
    ("energy.active_import", {"window": WINDOW_OF_ALL}, "window", "mean of energy"),
    ("energy.active_import", {"mean": 3}, "mean", "counter"),
    ("energy.active_import", {"spike": {}}, "spike", "counter"),
    ("energy.active_import", {"interval": {"every": "1 s", "take": "mean"}}, "interval", "mean"),
    ("energy.active_import", {"counter": {}, "interval": "1 s"}, "interval", "added up"),
    ("energy.active_import", {"counter": {}, "window": "1 h"}, "window", "one window"),
    (
        "energy.active_import",
        {"counter": {"give": "rate", "to": "water.flow"}},
        "counter",
        "per time",
    ),
    ("air.pm25", {"counter": {}}, "counter", "no counter"),
    ("air.pm25", {"suppress_small": 5}, "suppress_small", "no count"),
    ("traffic.flow", {"suppress_small": 5}, "suppress_small", "no count"),
    ("air.pm25", {"window": WINDOW_OF_ALL}, "window", "sum of air.pm25"),
    (
        "air.pm25",
        {"interval": {"every": "1 s", "take": "mean"}, "window": "1 h"},
        "window",
        "one window",
    ),
    ("wind.direction", {"mean": 3}, "mean", "angle"),
    ("wind.direction", {"median": 3}, "median", "angle"),
    ("wind.direction", {"window": {"every": "1 h", "give": ["max"]}}, "window", "max"),
    ("noise.laeq", {"ewma": 3}, "ewma", "decibels"),
    ("noise.laeq", {"interval": {"every": "1 s", "take": "mean"}}, "interval", "mean"),
    ("parking.occupied", {"rate": {"max": 1}}, "rate", "state"),
    ("parking.occupied", {"linear": {"b": 2}}, "linear", "state"),
    ("traffic.vehicle_class", {"window": {"every": "1 h", "give": ["mean"]}}, "window", "mean"),
    ("air.no2", {"convert": "K"}, "convert", "cannot become"),
    ("air.no2", {"convert": {"to": "air.o3_mole_fraction"}}, "convert", "same gas"),
    ("air.no2", {"convert": {"to": "air.no2"}}, "convert", "same gas"),
    ("air.tvoc", {"convert": {"to": "air.tvoc_mole_fraction"}}, "convert", "molar mass"),
    ("air.pm25", {"expression": "x + 'air.pm25'"}, "expression", "write x"),
    (
        "air.pm25",
        {
            "linear": {"b": 2, "keep_raw": True},
            "table": {"points": [[0, 0], [1, 2]], "keep_raw": True},
        },
        "table",
        "raw series",
    ),
]


@pytest.mark.parametrize(
    ("quantity", "filters", "name", "words"),
    NONSENSE,
    ids=[f"{quantity}-{name}-{number}" for number, (quantity, _, name, _) in enumerate(NONSENSE)],
)
def test_what_would_falsify_a_quantity_is_found(
    quantity: str, filters: dict[str, Any], name: str, words: str
) -> None:
    (problem,) = problems(filters, quantity)
    assert problem.filter == name
    assert words in problem.text


SENSE: list[tuple[str, dict[str, Any]]] = [
    ("traffic.count", {"range": {"min": 0}, "window": "15 min", "suppress_small": 5}),
    (
        "traffic.count",
        {"window": {"every": "15 min", "give": ["sum", "count", "max"]}, "suppress_small": 5},
    ),
    ("traffic.count", {"window": {"every": "15 min", "give": ["mean"], "keep_raw": True}}),
    ("traffic.count", {"counter": {"rollover": 65536}, "window": "1 h"}),
    ("energy.active_import", {"counter": {"give": "rate", "to": "power.active"}, "window": "1 h"}),
    ("energy.active_import", {"interval": "10 s"}),
    (
        "air.pm25",
        {
            "range": {"min": 0},
            "spike": {},
            "deadband": 1,
            "window": {"every": "1 h", "weight": "time"},
        },
    ),
    ("air.no2_mole_fraction", {"convert": {"to": "air.no2"}, "window": "1 h"}),
    ("air.tvoc", {"convert": {"to": "air.tvoc_mole_fraction", "molar_mass": 100}}),
    ("parking.occupied", {"stuck": "30 d", "window": {"every": "1 h", "weight": "time"}}),
    ("wind.direction", {"window": "10 min"}),
]


@pytest.mark.parametrize(("quantity", "filters"), SENSE, ids=[str(n) for n in range(len(SENSE))])
def test_what_makes_sense_is_let_through(quantity: str, filters: dict[str, Any]) -> None:
    assert problems(filters, quantity) == []


def test_every_quantity_has_a_usual_window() -> None:
    assert not [name for name in registry() if problems({"window": "1 h"}, name)]


def test_every_filter_has_examples_and_they_are_right() -> None:
    assert set(EXAMPLES) == set(FILTERS)
    for name, lines in EXAMPLES.items():
        for line in lines:
            assert len(line) < 98
            parse_options(name, tomllib.loads(line)[name])


def test_a_shorthand_is_known_where_an_example_has_one() -> None:
    for name, lines in EXAMPLES.items():
        short = [line for line in lines if not isinstance(tomllib.loads(line)[name], dict)]
        assert bool(short) == (name in SHORTHANDS)


def test_two_quantities_cannot_end_in_one_series() -> None:
    declared = ["air.no2_mole_fraction", "air.no2", "air.temperature"]
    to_mass: dict[str, dict[str, Any]] = {"air.no2_mole_fraction": {"convert": {"to": "air.no2"}}}
    ((quantity, text),) = collisions(to_mass, declared)
    assert quantity == "air.no2_mole_fraction"
    assert text == "ends as air.no2, and so does air.no2"
    assert collisions(to_mass, ["air.no2_mole_fraction", "air.temperature"]) == []
    of_means = {**to_mass, "air.no2": {"window": "1 h"}}
    assert collisions(of_means, declared) == []
    all_means = {name: {**filters, "window": "1 h"} for name, filters in of_means.items()}
    assert [name for name, _ in collisions(all_means, declared)] == ["air.no2"]


def test_a_rate_does_not_end_in_what_is_measured() -> None:
    rate = {"counter": {"give": "rate", "to": "power.active", "keep_raw": True}}
    declared = ["power.active", "energy.active_import"]
    found = collisions({"energy.active_import": rate}, declared)
    assert [name for name, _ in found] == ["energy.active_import"]
