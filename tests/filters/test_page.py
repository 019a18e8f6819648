"""docs/filters.md says what the filters are, and its examples are right."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.filters import FILTERS, parse_options, problems

PAGE = (Path(__file__).parent.parent.parent / "docs" / "filters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
QUANTITIES = {
    "counter": ["energy.active_import"],
    "convert": ["air.temperature", "air.no2_mole_fraction"],
    "suppress_small": ["traffic.count"],
}


def filters_of(block: str) -> dict[str, Any]:
    found = tomllib.loads(block)
    if "sensor" in found:
        (found,) = found["sensor"]["filter"].values()
    return found


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_example_can_be_used(block: str) -> None:
    filters = filters_of(block)
    for name, raw in filters.items():
        parse_options(name, raw)
    quantities = next((q for name, q in QUANTITIES.items() if name in filters), ["air.pm25"])
    assert [] in [problems(filters, quantity) for quantity in quantities]


def test_every_filter_and_every_option_is_there() -> None:
    used = {name for block in BLOCKS for name in filters_of(block)}
    assert used == set(FILTERS)
    for name, kind in FILTERS.items():
        for option in kind.Options.model_fields:
            assert re.search(rf"\b{option}\b", PAGE), f"{name}: {option}"
