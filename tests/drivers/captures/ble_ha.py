"""Captures of eleven families, with what their own packages were asserted to say of them.

And of four in events of a controller, with what ble_monitor, another program, got from them.
"""

from collections.abc import Mapping
from typing import Any

from drivers.ble_ha.meanings import CONVERSIONS, USUAL
from drivers.ble_ha.packages import USUAL_OF
from gateway.quantities import registry
from tests.drivers.captures.adverts import by_kind, decoded, payload
from tests.drivers.captures.ble_ha_differences import DIFFERENCES
from tests.drivers.captures.parts import Family, Frame, Key, Wanted, one_each

__all__ = ["FAMILIES"]

PACKAGES: Mapping[str, str] = {
    "bluemaestro": "bluemaestro-ble",
    "bthome": "bthome-ble",
    "govee": "govee-ble",
    "inkbird": "inkbird-ble",
    "mopeka": "mopeka-iot-ble",
    "qingping": "qingping-ble",
    "sensorpro": "sensorpro-ble",
    "sensorpush": "sensorpush-ble",
    "thermobeacon": "thermobeacon-ble",
    "thermopro": "thermopro-ble",
    "xiaomi_mibeacon": "xiaomi-ble",
}
HCI_PACKAGES: Mapping[str, str] = {
    "test_Govee": "govee-ble",
    "test_Xiaomi": "xiaomi-ble",
    "test_inkbird": "inkbird-ble",
    "test_qingping": "qingping-ble",
}
"""In hci_air_misc.json, by how the name of a packet begins; the others have no package here."""
HCI_NAMES: Mapping[str, str] = {"co2": "carbon_dioxide", "pm2.5": "pm25"}

HCI = "hci_air_misc"
ROUNDED = 0.01


def wanted(frame: Frame, package: str) -> Wanted:
    """Return what has a usual meaning, in the registry's units; parts and numbers are channels."""
    usual = {**USUAL, **USUAL_OF.get(package, {})}
    found: dict[Key, float] = {}
    for name, said in frame.expected.items():
        value, unit = said if isinstance(said, list) else (said, None)
        key, _, part = name.partition("@")
        base, _, number = key.rpartition("_")
        quantity = usual.get(key) or (usual.get(base) if number.isdecimal() else None)
        if not quantity or unit == "bool" or not isinstance(value, int | float):
            continue
        conversion = CONVERSIONS[registry()[quantity].ucum].get(None if unit == "None" else unit)
        if conversion is not None:
            times, per, plus = conversion
            channel = part or (number if key not in usual else "")
            found[quantity, channel] = (value + plus) * times / per
    # What they call an error may be a copy, an event or an encrypted packet.
    any_faults = None if "error" in frame.expected else frozenset[str]()
    return Wanted(one_each(found), any_faults)


def wanted_in_events(frame: Frame) -> Wanted:
    """Return what ble_monitor said that has a usual meaning."""
    said = {HCI_NAMES.get(name, name): value for name, value in frame.expected.items()}
    return Wanted(
        one_each({(USUAL[name], ""): value for name, value in said.items() if name in USUAL})
    )


def package_of(entry: Mapping[str, Any]) -> str:
    """Return the package for a packet of the file of events, "" if there is none here."""
    kind = entry["kind"]
    return next((name for start, name in HCI_PACKAGES.items() if kind.startswith(start)), "")


def options(package: str, key: str | None) -> dict[str, Any]:
    """Return the options of a device."""
    return {"package": package, **({"bindkey": key} if key else {})}


def options_in_events(frame: Frame) -> dict[str, Any]:
    """Return the options of a packet of the file of events."""
    (key,) = frame.entry.get("aeskeys", {"": None}).values()
    return options(package_of(frame.entry), key)


def _family(file: str, package: str) -> Family:
    return Family(
        driver="ble_ha",
        file=f"{file}.json",
        run=decoded,
        wanted=lambda frame: wanted(frame, package),
        options=lambda frame: options(package, (*frame.before, frame.entry)[0]["bindkey"]),
        differences=DIFFERENCES.get(file, {}),
        tolerance=1e-6,
        in_pieces=False,
        sequence=by_kind,
        checked=lambda frame: False,
        data=payload,
    )


FAMILIES = (
    *(_family(file, package) for file, package in PACKAGES.items()),
    Family(
        driver="ble_ha",
        file=f"{HCI}.json",
        run=decoded,
        wanted=wanted_in_events,
        options=options_in_events,
        differences=DIFFERENCES[HCI],
        tolerance=1e-6,
        off_by=lambda key, value: (ROUNDED, ROUNDED),
        in_pieces=False,
        picked=lambda entry: bool(package_of(entry)),
        checked=lambda frame: False,
        data=payload,
    ),
)
