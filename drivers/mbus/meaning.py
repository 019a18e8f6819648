"""What the records of M-Bus meters mean in the registry's quantities and units (EN 13757-3)."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from drivers.mbus.records import Record
from gateway.reading import Dims, Fault, Measured

__all__ = ["QUANTITIES", "measured"]

What = Literal[
    "energy",
    "volume",
    "power",
    "flow",
    "flow_temperature",
    "return_temperature",
    "external_temperature",
    "humidity",
    "voltage",
    "current",
]


class _Unit(NamedTuple):
    """What a VIF stands for, and the exact factor to the registry's unit."""

    what: What
    times: int
    per: int


def _decade(what: What, exponent: int, times: int = 1, per: int = 1) -> _Unit:
    return _Unit(what, times * 10 ** max(exponent, 0), per * 10 ** max(-exponent, 0))


JOULES_PER_KWH = 3_600_000
SECONDS_PER_HOUR = 3600

_UNITS: Mapping[int | str, _Unit] = (
    {n: _decade("energy", n - 6) for n in range(8)}
    | {0x08 + n: _decade("energy", n, per=JOULES_PER_KWH) for n in range(8)}
    | {0x10 + n: _decade("volume", n - 6) for n in range(8)}
    | {0x28 + n: _decade("power", n - 3) for n in range(8)}
    | {0x30 + n: _decade("power", n, per=SECONDS_PER_HOUR) for n in range(8)}
    | {0x38 + n: _decade("flow", n - 6) for n in range(8)}
    | {0x40 + n: _decade("flow", n - 7, times=60) for n in range(8)}
    | {0x48 + n: _decade("flow", n - 9, times=SECONDS_PER_HOUR) for n in range(8)}
    | {0x58 + n: _decade("flow_temperature", n - 3) for n in range(4)}
    | {0x5C + n: _decade("return_temperature", n - 3) for n in range(4)}
    | {0x64 + n: _decade("external_temperature", n - 3) for n in range(4)}
    | {0xFB00 + n: _decade("energy", n + 2) for n in range(2)}
    | {0xFB08 + n: _decade("energy", n + 8, per=JOULES_PER_KWH) for n in range(2)}
    | {0xFB10 + n: _decade("volume", n + 2) for n in range(2)}
    | {0xFB1A + n: _decade("humidity", n - 1) for n in range(2)}
    | {0xFB28 + n: _decade("power", n + 5) for n in range(2)}
    | {0xFB30 + n: _decade("power", n + 8, per=SECONDS_PER_HOUR) for n in range(2)}
    | {0xFD40 + n: _decade("voltage", n - 9) for n in range(16)}
    | {0xFD50 + n: _decade("current", n - 12) for n in range(16)}
    | {"%RH": _decade("humidity", 0)}
)
"""By VIF; flow in m3/h, energy in kWh, power in W."""

_LIMITS: Mapping[What, tuple[float, float]] = {
    "energy": (0.0, 1e12),
    "volume": (0.0, 1e12),
    "power": (-1e10, 1e10),
    "flow": (-1e5, 1e5),
    "flow_temperature": (-50.0, 200.0),
    "return_temperature": (-50.0, 200.0),
    "external_temperature": (-60.0, 100.0),
    "humidity": (0.0, 100.0),
    "voltage": (0.0, 1e6),
    "current": (-1e5, 1e5),
}
"""What no meter can show, in the registry's unit."""

_HEAT: Mapping[What, str] = {
    "energy": "heat.energy",
    "volume": "heat.volume",
    "power": "heat.power",
    "flow": "water.flow",
    "flow_temperature": "heat.flow_temperature",
    "return_temperature": "heat.return_temperature",
}
_WATER: Mapping[What, str] = {"volume": "water.volume", "flow": "water.flow"}
_ELECTRICITY: Mapping[What, str] = {
    "energy": "energy.active_import",
    "power": "power.active",
    "voltage": "electric.voltage",
    "current": "electric.current",
}
_ROOM: Mapping[What, str] = {
    "external_temperature": "air.temperature",
    "humidity": "air.humidity",
}
_MEDIA: Mapping[int, Mapping[What, str]] = {
    0x00: _ROOM,
    0x02: _ELECTRICITY,
    0x03: {"volume": "gas.volume"},
    0x04: _HEAT,
    0x06: _WATER,
    0x07: _WATER,
    0x0A: {"energy": "meter.total"},
    0x0B: {"energy": "meter.total"},
    0x0C: _HEAT,
    0x0D: _HEAT,
    0x15: _WATER,
    0x16: _WATER,
    0x1B: _ROOM,
}
"""By medium of the telegram: heat at outlet, inlet, with cooling; water of any kind; 0x0A and 0x0B
are cooling, 0x1B and 0x00 ("other") room sensors. Of no other medium is anything yielded."""
EXPORTED = "energy.active_export"
QUANTITIES = tuple(dict.fromkeys([*(q for m in _MEDIA.values() for q in m.values()), EXPORTED]))

ONLY_FORWARD, ONLY_BACKWARD = 0x3B, 0x3C
"""VIFE: the register counts only what goes this way."""
NO_ERROR = 0x00
"""VIFE: the record says that nothing is wrong with it."""
FACTORS = range(0x70, 0x78)
"""VIFE: times 10 to the power of its lowest three bits less six."""
THOUSAND = 0x7D


def measured(record: Record, medium: int) -> Measured | Fault | None:
    """Return the reading of a record, None where it holds none that the registry knows.

    Only what is measured now and by the meter itself: no maxima, no stored values, no second
    units, and nothing whose VIFE is not understood.
    """
    unit = _UNITS.get(record.vif)
    if unit is None or record.value is None:
        return None
    if record.function or record.storage or record.subunit:
        return None
    quantity = _MEDIA.get(medium, {}).get(unit.what, "")
    times, per = unit.times, unit.per
    for vife in record.vifes:
        code = vife & 0x7F
        if code in FACTORS:
            exponent = code - FACTORS.start - 6
            times, per = times * 10 ** max(exponent, 0), per * 10 ** max(-exponent, 0)
        elif code == THOUSAND:
            times *= 1000
        elif code == ONLY_BACKWARD and quantity == "energy.active_import":
            quantity = EXPORTED
        elif code not in (ONLY_FORWARD, NO_ERROR):
            return None
    if not quantity:
        return None
    value = record.value * times / per
    lowest, highest = _LIMITS[unit.what]
    if not lowest <= value <= highest:
        return Fault("range", f"{quantity} beyond what a meter can show")
    dims: Dims = (("tariff", str(record.tariff)),) if record.tariff else ()
    return Measured(quantity, value, dims)
