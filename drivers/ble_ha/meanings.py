"""What the values of the family are called in the registry, and how their units become ours."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from drivers.ble_ha.packages import USUAL_OF
from gateway.quantities import registry
from gateway.reading import Dims

__all__ = ["LIMITS", "QUANTITIES", "Conversion", "Meaning", "Meanings", "Name"]

USUAL: Mapping[str, str] = {
    "battery": "device.battery",
    "carbon_dioxide": "air.co2",
    "current": "electric.current",
    "dew_point": "air.dew_point",
    "energy": "energy.active_import",
    "gas": "gas.volume",
    "humidity": "air.humidity",
    "illuminance": "light.illuminance",
    "nox_index": "air.nox_index",
    "pm1": "air.pm1",
    "pm10": "air.pm10",
    "pm25": "air.pm25",
    "pm4": "air.pm4",
    "power": "power.active",
    "pressure": "air.pressure",
    "temperature": "air.temperature",
    "uv_index": "uv.index",
    "voc_index": "air.voc_index",
    "volatile_organic_compounds": "air.tvoc",
    "voltage": "device.voltage",
    "water": "water.volume",
}
"""Device class -> quantity, for a value whose key is its device class.

A value with a key of its own is something special: a probe in a roast, the limit of an alarm.
"""
UNMISTAKABLE = frozenset({"nox_index", "voc_index"})
"""Keys that mean the same whatever the device class, for which some packages take another one."""
BINARY = frozenset({"parking.occupied"})
"""Of what is yes or no; never without being told: "occupancy" is often just a button."""

LIMITS: Mapping[str, tuple[float, float]] = {
    "air.co2": (0.0, 65_535.0),
    "air.dew_point": (-90.0, 85.0),
    "air.humidity": (0.0, 100.0),
    "air.nox_index": (1.0, 500.0),
    "air.pm1": (0.0, 1000.0),
    "air.pm10": (0.0, 1000.0),
    "air.pm25": (0.0, 1000.0),
    "air.pm4": (0.0, 1000.0),
    "air.pressure": (300.0, 1200.0),
    "air.temperature": (-40.0, 85.0),
    "air.tvoc": (0.0, 65_535.0),
    "air.voc_index": (1.0, 500.0),
    "device.battery": (0.0, 100.0),
    "device.temperature": (-200.0, 1000.0),
    "device.voltage": (0.0, 60.0),
    "electric.current": (-1e4, 1e4),
    "electric.voltage": (0.0, 1000.0),
    "energy.active_export": (0.0, 1e9),
    "energy.active_import": (0.0, 1e9),
    "gas.volume": (0.0, 1e9),
    "heat.energy": (0.0, 1e9),
    "heat.flow_temperature": (-40.0, 200.0),
    "heat.power": (-1e7, 1e7),
    "heat.return_temperature": (-40.0, 200.0),
    "light.illuminance": (0.0, 200_000.0),
    "parking.occupied": (0.0, 1.0),
    "people.present": (0.0, 1e5),
    "power.active": (-1e7, 1e7),
    "uv.index": (0.0, 25.5),
    "water.flow": (0.0, 1e5),
    "water.volume": (0.0, 1e9),
    "wind.direction": (0.0, 360.0),
    "wind.gust": (0.0, 120.0),
    "wind.speed": (0.0, 120.0),
}
"""What no device of the family can measure is beyond these; what is counted per reading is not
here: of an advertisement that was missed nobody would know."""
QUANTITIES = tuple(sorted(LIMITS))


class Conversion(NamedTuple):
    """The registry's unit is ``(value + plus) * times / per``."""

    times: float = 1
    per: float = 1
    plus: float = 0


SAME = Conversion()
CONVERSIONS: Mapping[str, Mapping[str | None, Conversion]] = {
    "%": {"%": SAME},
    "1": {None: SAME, "UV index": SAME},
    "A": {"A": SAME, "mA": Conversion(per=1000)},
    "Cel": {
        "°C": SAME,
        "°F": Conversion(times=5, per=9, plus=-32),
        "K": Conversion(plus=-273.15),
    },
    "V": {"V": SAME, "mV": Conversion(per=1000)},
    "W": {"W": SAME, "kW": Conversion(times=1000)},
    "[ppm]": {"ppm": SAME, "ppb": Conversion(per=1000)},
    "deg": {"°": SAME},
    "hPa": {
        "hPa": SAME,
        "mbar": SAME,
        "Pa": Conversion(per=100),
        "cbar": Conversion(times=10),
        "kPa": Conversion(times=10),
        "bar": Conversion(times=1000),
        "mmHg": Conversion(times=1.333_223_874_15),
        "inHg": Conversion(times=33.863_886_666_67),
        "psi": Conversion(times=68.947_572_931_68),
    },
    "kW.h": {
        "kWh": SAME,
        "Wh": Conversion(per=1000),
        "MWh": Conversion(times=1000),
    },
    "lx": {"lx": SAME},
    "m/s": {
        "m/s": SAME,
        "km/h": Conversion(per=3.6),
        "kn": Conversion(times=1852, per=3600),
        "mph": Conversion(times=0.44704),
        "ft/s": Conversion(times=0.3048),
    },
    "m3": {
        "m³": SAME,
        "L": Conversion(per=1000),
        "mL": Conversion(per=1_000_000),
        "ft³": Conversion(times=0.028_316_846_592),
    },
    "m3/h": {"m³/h": SAME},
    "ug/m3": {"µg/m³": SAME, "mg/m³": Conversion(times=1000)},
    "{person}": {None: SAME},
}
"""The registry's unit -> the family's units (``sensor_state_data.Units``) that become it.

The family's gallon is left out: it does not say which one.
"""

NUMBERED = re.compile(r"(.+?)_(\d{1,3})")
"""Several of a kind: temperature_1, temperature_probe_2."""
PART = re.compile(r"[a-z]{1,16}")
"""Parts of a device have plain words for names: remote. All else may be an address."""


class Meaning(NamedTuple):
    """What one value of a parser is."""

    quantity: str
    dims: Dims
    conversion: Conversion | None
    """None: its unit is not one of the quantity."""
    lowest: float
    highest: float


class Name(NamedTuple):
    """What a parser calls a value, taken apart."""

    base: str
    """The key without its number, unless the options name it with its number."""
    dims: Dims
    chosen: str | None
    """What the options say that it is; empty to leave it out."""


class Meanings:
    """Works out what a value is from what the parser calls it, and from the options."""

    def __init__(self, package: str, chosen: Mapping[str, str]) -> None:
        self._usual = {**USUAL, **USUAL_OF.get(package, {})}
        self._chosen = chosen
        self._taken = frozenset(chosen.values())

    def of_sensor(
        self, key: object, device_id: object, device_class: object, unit: str | None
    ) -> Meaning | None:
        """Return what a number is, None if the registry has no word for it."""
        name = self._named(key, device_id)
        if name is None:
            return None
        base, dims, chosen = name
        if chosen is not None:
            return _meaning(chosen, dims, unit) if chosen and chosen not in BINARY else None
        known = base == device_class or base in UNMISTAKABLE
        usual = self._usual.get(base) if known else None
        if not usual or usual in self._taken:
            return None
        found = _meaning(usual, dims, unit)
        # Without a word of the user's nothing is known of it but its name.
        return found if found.conversion is not None else None

    def of_binary(self, key: object, device_id: object) -> Meaning | None:
        """Return what a yes or no is, None unless the options say it."""
        name = self._named(key, device_id)
        if name is None or name.chosen not in BINARY:
            return None
        return _meaning(name.chosen, name.dims, None)._replace(conversion=SAME)

    def _named(self, key: object, device_id: object) -> Name | None:
        """Take a parser's name for a value apart; None if it must not be seen outside."""
        if not isinstance(key, str):
            return None
        part = ""
        if device_id is not None:
            if not isinstance(device_id, str) or PART.fullmatch(device_id) is None:
                return None
            part = str(device_id)
        chosen = self._chosen.get(key)
        base, number = key, ""
        if chosen is None and (numbered := NUMBERED.fullmatch(key)):
            base, number = numbered.groups()
            chosen = self._chosen.get(base)
        channel = "-".join(filter(None, (part, number)))
        return Name(base, (("channel", channel),) if channel else (), chosen)


def _meaning(quantity: str, dims: Dims, unit: str | None) -> Meaning:
    conversion = CONVERSIONS[registry()[quantity].ucum].get(unit)
    return Meaning(quantity, dims, conversion, *LIMITS[quantity])
