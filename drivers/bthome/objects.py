"""The object ids of BTHome: how long each is, and what its number means to the registry.

Written from bthome.io, "BTHome v2 format" and "BTHome v1"; 0x3B and 0x60 to 0x65 are younger than
the copy of that page that was at hand: their lengths are those of the reference implementation.
"""

from collections.abc import Mapping
from typing import NamedTuple

__all__ = [
    "LIMITS",
    "MEANINGS",
    "OBJECTS",
    "PACKET_ID",
    "USUAL_LIMITS",
    "Object",
    "variable_length",
]

PACKET_ID = 0x00
COMMAND = 0x3B
TEXT, RAW = 0x53, 0x54
COMMAND_LENGTH_MASK = 0x1F
"""The upper bits of a command's length are reserved."""


class Object(NamedTuple):
    """One object id: a number in the unit of its property, or what the registry has no word for.

    The value is ``raw * times / per``: dividing by a power of ten gives the number as printed.
    """

    name: str
    """The property; ids of one property differ in size and step only. Empty: never yielded."""
    length: int
    times: int = 1
    per: int = 1
    signed: bool = False
    usual: str = ""
    """The quantity that it is unless the options say otherwise; empty if that cannot be known."""


def _nothing(length: int) -> Object:
    return Object("", length)


OBJECTS: Mapping[int, Object] = {
    PACKET_ID: _nothing(1),
    0x01: Object("battery", 1, usual="device.battery"),
    0x02: Object("temperature", 2, per=100, signed=True, usual="air.temperature"),
    0x03: Object("humidity", 2, per=100, usual="air.humidity"),
    0x04: Object("pressure", 3, per=100, usual="air.pressure"),
    0x05: Object("illuminance", 3, per=100, usual="light.illuminance"),
    0x06: _nothing(2),  # mass, kg
    0x07: _nothing(2),  # mass, lb
    0x08: Object("dewpoint", 2, per=100, signed=True, usual="air.dew_point"),
    0x09: Object("count", 1),
    0x0A: Object("energy", 3, per=1000, usual="energy.active_import"),
    0x0B: Object("power", 3, per=100, usual="power.active"),
    # In steps of 1 mV it is the device's own supply in all devices known; in steps of 0.1 V it
    # cannot be.
    0x0C: Object("voltage", 2, per=1000, usual="device.voltage"),
    0x0D: Object("pm2.5", 2, usual="air.pm25"),
    0x0E: Object("pm10", 2, usual="air.pm10"),
    **dict.fromkeys(range(0x0F, 0x12), _nothing(1)),  # generic, power, opening
    0x12: Object("co2", 2, usual="air.co2"),
    0x13: Object("tvoc", 2, usual="air.tvoc"),
    0x14: _nothing(2),  # moisture of whatever it sticks in
    **dict.fromkeys(range(0x15, 0x23), _nothing(1)),  # low battery to moving: yes or no
    0x23: Object("occupancy", 1),
    **dict.fromkeys(range(0x24, 0x2E), _nothing(1)),  # plug to window: yes or no
    0x2E: Object("humidity", 1, usual="air.humidity"),
    0x2F: _nothing(1),  # moisture
    0x3A: _nothing(1),  # button
    0x3C: _nothing(2),  # dimmer
    0x3D: Object("count", 2),
    0x3E: Object("count", 4),
    0x3F: _nothing(2),  # rotation
    0x40: _nothing(2),  # distance, mm
    0x41: _nothing(2),  # distance, m
    0x42: _nothing(3),  # duration
    0x43: Object("current", 2, per=1000, usual="electric.current"),
    0x44: Object("speed", 2, per=100),
    0x45: Object("temperature", 2, per=10, signed=True, usual="air.temperature"),
    0x46: Object("uv index", 1, per=10, usual="uv.index"),
    0x47: Object("volume", 2, per=10),
    0x48: Object("volume", 2, per=1000),
    0x49: Object("volume flow rate", 2, per=1000),
    0x4A: Object("voltage", 2, per=10, usual="electric.voltage"),
    0x4B: Object("gas", 3, per=1000, usual="gas.volume"),
    0x4C: Object("gas", 4, per=1000, usual="gas.volume"),
    0x4D: Object("energy", 4, per=1000, usual="energy.active_import"),
    0x4E: Object("volume", 4, per=1000),
    0x4F: Object("water", 4, per=1000, usual="water.volume"),
    0x50: _nothing(4),  # timestamp
    0x51: _nothing(2),  # acceleration
    0x52: _nothing(2),  # gyroscope
    0x55: _nothing(4),  # volume storage
    0x56: _nothing(2),  # conductivity
    0x57: Object("temperature", 1, signed=True, usual="air.temperature"),
    0x58: Object("temperature", 1, times=35, per=100, signed=True, usual="air.temperature"),
    0x59: Object("balance", 1, signed=True),
    0x5A: Object("balance", 2, signed=True),
    0x5B: Object("balance", 4, signed=True),
    0x5C: Object("power", 4, per=100, signed=True, usual="power.active"),
    0x5D: Object("current", 2, per=1000, signed=True, usual="electric.current"),
    0x5E: Object("direction", 2, per=100),
    # The page has steps of 1 mm; weather stations and the reference implementation have 0.1 mm.
    0x5F: Object("precipitation", 2, per=10),
    0x60: _nothing(1),  # channel
    0x61: _nothing(2),  # rotational speed
    0x62: Object("speed", 4, per=1_000_000, signed=True),
    0x63: _nothing(4),  # acceleration
    0x64: _nothing(1),  # light level
    0x65: _nothing(1),  # settings revision
    0xF0: _nothing(2),  # device type
    0xF1: _nothing(4),  # firmware version
    0xF2: _nothing(3),  # firmware version
}


def variable_length(object_id: int, payload: bytes, start: int) -> int | None:
    """Return how long what follows the id at ``start`` is, or None if that id has one length.

    Text, raw and commands begin with their length. Without it the answer is longer than the rest.
    """
    if object_id not in (TEXT, RAW, COMMAND):
        return None
    if start >= len(payload):
        return 1
    length = payload[start]
    return 2 + (length & COMMAND_LENGTH_MASK) if object_id == COMMAND else 1 + length


MEANINGS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "battery": {"device.battery": (1, 1)},
    "temperature": {
        "air.temperature": (1, 1),
        "device.temperature": (1, 1),
        "heat.flow_temperature": (1, 1),
        "heat.return_temperature": (1, 1),
    },
    "humidity": {"air.humidity": (1, 1)},
    "pressure": {"air.pressure": (1, 1)},
    "illuminance": {"light.illuminance": (1, 1)},
    "dewpoint": {"air.dew_point": (1, 1)},
    "count": {
        "traffic.count": (1, 1),
        "bicycle.count": (1, 1),
        "people.count": (1, 1),
        "people.count_in": (1, 1),
        "people.count_out": (1, 1),
        "people.present": (1, 1),
    },
    "balance": {"people.present": (1, 1)},
    "energy": {
        "energy.active_import": (1, 1),
        "energy.active_export": (1, 1),
        "heat.energy": (1, 1),
    },
    "power": {"power.active": (1, 1), "heat.power": (1, 1)},
    "voltage": {"device.voltage": (1, 1), "electric.voltage": (1, 1)},
    "current": {"electric.current": (1, 1)},
    "pm2.5": {"air.pm25": (1, 1)},
    "pm10": {"air.pm10": (1, 1)},
    "co2": {"air.co2": (1, 1)},
    "tvoc": {"air.tvoc": (1, 1)},
    "occupancy": {"parking.occupied": (1, 1)},
    "speed": {"wind.speed": (1, 1), "wind.gust": (1, 1), "traffic.speed_avg": (18, 5)},
    "direction": {"wind.direction": (1, 1)},
    "precipitation": {"rain.amount": (1, 1)},
    "uv index": {"uv.index": (1, 1)},
    "volume": {"water.volume": (1, 1000), "gas.volume": (1, 1000)},
    "volume flow rate": {"water.flow": (1, 1)},
    "water": {"water.volume": (1, 1000)},
    "gas": {"gas.volume": (1, 1)},
}
"""Property -> the quantities that it may be, and by what (times, per) its unit becomes theirs."""

USUAL_LIMITS = (0.0, 1e9)
LIMITS: Mapping[str, tuple[float, float]] = {
    "air.co2": (0.0, 65_535.0),
    "air.dew_point": (-90.0, 85.0),
    "air.humidity": (0.0, 100.0),
    "air.pm10": (0.0, 65_535.0),
    "air.pm25": (0.0, 65_535.0),
    "air.pressure": (300.0, 1200.0),
    "air.temperature": (-60.0, 85.0),
    "air.tvoc": (0.0, 65_535.0),
    "device.battery": (0.0, 100.0),
    "device.temperature": (-200.0, 1000.0),
    "device.voltage": (0.0, 6553.5),
    "electric.current": (-1e4, 1e4),
    "electric.voltage": (0.0, 1000.0),
    "heat.flow_temperature": (-200.0, 1000.0),
    "heat.power": (-1e7, 1e7),
    "heat.return_temperature": (-200.0, 1000.0),
    "light.illuminance": (0.0, 167_772.15),
    "parking.occupied": (0.0, 1.0),
    "people.present": (0.0, 1e5),
    "power.active": (-1e7, 1e7),
    "rain.amount": (0.0, 6553.5),
    "traffic.speed_avg": (0.0, 400.0),
    "uv.index": (0.0, 25.5),
    "water.flow": (0.0, 65.535),
    "wind.direction": (0.0, 360.0),
    "wind.gust": (0.0, 120.0),
    "wind.speed": (0.0, 120.0),
}
"""What no sensor of that quantity can say, or what v2 cannot: objects of v1 may be longer."""
