"""The quantity registry: what can be measured, in which unit, and its name in every format.

The table is package data (``gateway/data/quantities.csv``), one row a quantity. Units are fixed:
a driver converts on the way in, a format on the way out, and nothing in between rescales.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Literal, cast

__all__ = ["COORDINATES", "DIMS", "SUPPRESSED_COUNTS", "Kind", "Quantity", "registry"]

Kind = Literal["gauge", "delta", "counter", "bool", "enum"]

DIMS = ("phase", "lane", "direction", "vehicle_class", "channel", "tariff")
"""The keys that a dimension may have."""
COORDINATES = frozenset({"site.latitude", "site.longitude"})
"""What tells a place: in degrees, yet no directions; told as precisely as places may be told."""


SUPPRESSED_COUNTS = frozenset(
    ("devices.count", "devices.count_near", "devices.count_middle", "devices.count_far")
)
"""Whose driver hides small counts itself: all of class P2 that may leave (PRIV-05, PRIV-08)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """One row of the registry; empty text means that a format has no name for it."""

    name: str
    kind: Kind
    ucum: str
    senml_unit: str
    senml_factor: Fraction
    uncefact: str
    sdm_type: str
    """Smart Data Models type that has an attribute for it, ``AirQualityObserved``."""
    sdm_attribute: str
    sdm_factor: Fraction
    ha_component: str
    ha_device_class: str
    ha_unit: str
    ha_state_class: str
    sparkplug_type: str
    note: str


@cache
def registry() -> Mapping[str, Quantity]:
    """Return the whole registry by quantity name, read once from package data."""
    text = files("gateway").joinpath("data/quantities.csv").read_text(encoding="utf-8")
    return {row["quantity"]: _quantity(row) for row in csv.DictReader(text.splitlines())}


def _quantity(row: Mapping[str, str]) -> Quantity:
    sdm_type, _, sdm_attribute = row["sdm"].partition(".")
    return Quantity(
        name=row["quantity"],
        kind=cast("Kind", row["kind"]),
        ucum=row["ucum"],
        senml_unit=row["senml_unit"],
        senml_factor=Fraction(row["senml_factor"] or 1),
        uncefact=row["uncefact"],
        sdm_type=sdm_type,
        sdm_attribute=sdm_attribute,
        sdm_factor=Fraction(row["sdm_factor"] or 1),
        ha_component=row["ha_component"],
        ha_device_class=row["ha_device_class"],
        ha_unit=row["ha_unit"],
        ha_state_class=row["ha_state_class"],
        sparkplug_type=row["sparkplug_type"],
        note=row["note"],
    )
