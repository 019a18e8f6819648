"""Captures of Aranet, with the values that aranet4 got from them."""

from collections.abc import Mapping

from gateway.driver import Outcome
from gateway.reading import Measured
from tests.drivers.captures.adverts import heard_once, payload
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    one_each,
    refused,
)

__all__ = ["FAMILIES"]

NAMES: Mapping[str, tuple[str, float]] = {
    "co2": ("air.co2", 1.0),
    "temperature": ("air.temperature", 1.0),
    "humidity": ("air.humidity", 1.0),
    "pressure": ("air.pressure", 1.0),
    "battery": ("device.battery", 1.0),
    "radon": ("air.radon", 1.0),
    "radiation_rate": ("radiation.dose_rate", 1e-3),
    "radiation_total": ("radiation.dose", 1e-6),
}
"""Name -> our quantity, and how many of its unit theirs is."""
OTHERS = frozenset({"interval", "radiation_duration", "ago", "see"})
"""A setting, since when the dose is counted, how old it is, and a word about the capture."""
ROUNDED = 0.05
"""Their temperature is rounded to tenths, the device's steps are 0.05."""
RADON_ONE = "TEST_DATA_ARANET_RADON_ONE/manufacturer_data"


def advert(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Show it to the driver; all readings are as old as the capture says."""
    outcomes = heard_once(family, frame, data, cut)
    if "ago" in frame.expected and data == frame.data:
        ages = {each.age_s for each in outcomes if isinstance(each, Measured)}
        assert ages <= {float(frame.expected["ago"][0])}
    return outcomes


def wanted(frame: Frame) -> Wanted:
    """Translate aranet4's names and units."""
    if "error" in frame.expected:
        return refused("short" if frame.kind.endswith("_bad") else "unknown")
    assert not frame.expected.keys() - NAMES.keys() - OTHERS
    found: dict[Key, float] = {}
    for name in frame.expected.keys() & NAMES.keys():
        quantity, factor = NAMES[name]
        found[quantity, ""] = frame.expected[name][0] * factor
    # That one leaves the battery to its source.
    return Wanted(one_each(found), all_values=frame.kind != RADON_ONE)


def off_by(key: Key, value: float) -> tuple[float, float]:
    """Return what their rounding may be."""
    rounded = ROUNDED if key[0] == "air.temperature" else 0.0
    return rounded, rounded


FAMILIES = (
    Family(
        driver="aranet",
        file="aranet.json",
        run=advert,
        wanted=wanted,
        in_pieces=False,
        data=payload,
        off_by=off_by,
        checked=lambda frame: False,
        differences={
            "TEST_DATA_ARANET_4/manufacturer_data_short": Difference(
                "cut off in the middle of the age; aranet4 2.6.0 gives nothing either",
                refused("short"),
            ),
        },
    ),
)
