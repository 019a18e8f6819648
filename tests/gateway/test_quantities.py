import csv
from fractions import Fraction
from importlib.resources import files
from typing import get_args

import pytest

from gateway.quantities import Kind, registry
from tests.shared_material import shared

# fmt: off
UNECE_CODES = {
    "GQ", "GP", "59", "61", "C62", "CEL", "P1", "A97", "MTS", "DD", "MMT",
    "H67", "CMT", "D54", "LUX", "2N", "H10", "KMH", "SEC", "MTR", "IE", "WTT",
    "D44", "D46", "VLT", "AMP", "HTZ", "KWH", "K3", "C79", "MTQ", "MQH", "DBM",
    "A19", "P72", "C28",
}
# fmt: on
"""UN/CEFACT Recommendation 20 codes that the table may use; NV (vehicle) is deleted there."""
OURS = [
    *("site.latitude", "site.longitude", "site.altitude", "site.satellites"),
    *("devices.count", "devices.count_near", "devices.count_middle", "devices.count_far"),
    *("air.radon", "air.voc_index", "air.nox_index", "radiation.dose_rate", "radiation.dose"),
]
"""What the plan of record does not have: at the end, in this order."""
DEPRECATED_IN_SENML = {"%", "deg", "l", "l/s", "1/min", "Bspl"}


def test_the_registry_is_the_table() -> None:
    text = files("gateway").joinpath("data/quantities.csv").read_text(encoding="utf-8")
    names = [row["quantity"] for row in csv.DictReader(text.splitlines())]
    assert len(names) == len(set(names))
    assert list(registry()) == names


@pytest.mark.parametrize("name", registry())
def test_every_row_is_sound(name: str) -> None:
    quantity = registry()[name]
    domain, _, leaf = name.partition(".")
    assert domain.islower()
    assert leaf
    assert quantity.kind in get_args(Kind)
    assert quantity.ucum
    assert quantity.senml_factor > 0
    assert quantity.sdm_factor > 0
    if quantity.kind in ("gauge", "delta", "counter"):
        assert quantity.uncefact in UNECE_CODES
    if quantity.senml_unit == "deg":
        assert name == "wind.direction"  # the one unit without a replacement in SenML
    else:
        assert quantity.senml_unit not in DEPRECATED_IN_SENML
    assert bool(quantity.sdm_type) == bool(quantity.sdm_attribute)
    if quantity.kind == "counter":
        assert quantity.ha_state_class == "total_increasing"


def test_percentages_leave_as_fractions_where_the_model_says_so() -> None:
    assert registry()["air.humidity"].sdm_factor == Fraction(1, 100)
    assert registry()["traffic.occupancy"].sdm_factor == Fraction(1, 100)


def test_it_begins_with_the_table_of_the_plan_of_record() -> None:
    plan = shared("design", "quantities.csv")
    if plan is None:
        pytest.skip("the plan of record is not beside this checkout")
    ours = files("gateway").joinpath("data/quantities.csv").read_bytes()
    assert ours.startswith(plan.read_bytes())
    added = [name for name in registry() if f"\n{name},".encode() not in plan.read_bytes()]
    assert added == OURS


def test_every_model_attribute_exists_in_its_official_schema() -> None:
    folder = shared("schemas")
    if folder is None:
        pytest.skip("the official schemas are not beside this checkout")
    missing = []
    for quantity in registry().values():
        if not quantity.sdm_type:
            continue
        found = [*folder.glob(f"*/{quantity.sdm_type}/schema.json")]
        assert found, quantity.sdm_type
        found += found[0].parent.parent.glob("*-schema.json")  # what its domain's models share
        text = "".join(path.read_text(encoding="utf-8") for path in found)
        if f'"{quantity.sdm_attribute}"' not in text:
            missing.append(f"{quantity.sdm_type}.{quantity.sdm_attribute}")
    assert missing == []
