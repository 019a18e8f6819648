"""What each device can produce, from its documents: no decoder may ever yield anything else.

Written beside the limits of the drivers and not from them, except for drivers whose device is
described by data (register maps, frame tables): there the data says it.
"""

from collections.abc import Callable, Mapping
from math import cos, inf, radians
from struct import calcsize
from typing import Any

from drivers.frame.options import CODES
from drivers.ld2450 import Ld2450Options
from drivers.mhz19 import Mhz19Options
from drivers.modbus import ModbusOptions
from drivers.modbus.maps import Register
from drivers.ops243 import Ops243Options
from drivers.tfluna import TfLunaOptions
from tests.drivers.driver_cases import options_of

__all__ = ["ANY", "Range", "ranges"]

Range = tuple[float, float]
Ranges = Mapping[str, Range]

FLOAT_32 = 3.4028234663852886e38
PERCENT = (0.0, 100.0)
COUNTER = (0.0, 1e9)
DUST = ("air.pm1", "air.pm25", "air.pm4", "air.pm10")
SPEED_OF_LIGHT_M_S = 299_792_458.0
RADAR_HZ = 24.125e9

ANY: Ranges = {
    **dict.fromkeys(DUST, (0.0, 10_000.0)),
    "air.tsp": (0.0, 20_000.0),
    "air.co2": (0.0, 40_000.0),
    "air.temperature": (-60.0, 100.0),
    "air.humidity": PERCENT,
    "air.pressure": (300.0, 1200.0),
    "device.battery": PERCENT,
    "device.temperature": (-60.0, 150.0),
    "device.rssi": (-127.0, 20.0),
    "traffic.occupancy": PERCENT,
}
"""Of any device that is not named below."""

OBIS: Ranges = {
    "power.active": (-1e7, 1e7),
    "power.reactive": (-1e7, 1e7),
    "electric.voltage": (0.0, 1000.0),
    "electric.current": (0.0, 10_000.0),
    "electric.frequency": (40.0, 70.0),
    **dict.fromkeys(
        (
            "energy.active_import",
            "energy.active_export",
            "energy.reactive_import",
            "energy.reactive_export",
            "heat.energy",
            "heat.volume",
            "gas.volume",
            "water.volume",
        ),
        COUNTER,
    ),
}
"""Whatever sends OBIS codes: meters of buildings, behind transformers at most."""
HEAT: Ranges = {
    "heat.energy": (0.0, 1e12),
    "heat.volume": (0.0, 1e12),
    "heat.power": (-1e10, 1e10),
    "heat.flow_temperature": (-50.0, 200.0),
    "heat.return_temperature": (-50.0, 200.0),
    "water.flow": (-1e5, 1e5),
}
INDEXES: Ranges = dict.fromkeys(("air.voc_index", "air.nox_index"), (1.0, 500.0))
U16, U24 = 2.0**16 - 1, 2.0**24 - 1
BTHOME: Ranges = {
    **dict.fromkeys(("air.pm25", "air.pm10", "air.co2", "air.tvoc"), (0.0, U16)),
    **dict.fromkeys(
        ("device.temperature", "heat.flow_temperature", "heat.return_temperature"),
        (-327.68, 1000.0),
    ),
    **dict.fromkeys(("energy.active_import", "energy.active_export", "heat.energy"), COUNTER),
    **dict.fromkeys(("gas.volume", "water.volume"), COUNTER),
    **dict.fromkeys(("people.count", "people.count_in", "people.count_out"), COUNTER),
    **dict.fromkeys(("bicycle.count", "traffic.count"), COUNTER),
    **dict.fromkeys(("power.active", "heat.power"), (-1e7, 1e7)),
    **dict.fromkeys(("wind.speed", "wind.gust"), (0.0, 120.0)),
    "air.dew_point": (-90.0, 85.0),
    "air.temperature": (-60.0, 85.0),
    "device.voltage": (0.0, U16 / 10),
    "electric.current": (-10_000.0, 10_000.0),
    "electric.voltage": (0.0, 1000.0),
    "light.illuminance": (0.0, U24 / 100),
    "parking.occupied": (0.0, 1.0),
    "people.present": (0.0, 1e5),
    "rain.amount": (0.0, U16 / 10),
    "traffic.speed_avg": (0.0, 400.0),
    "uv.index": (0.0, 25.5),
    "water.flow": (0.0, U16 / 1000),
    "wind.direction": (0.0, 360.0),
}
"""What the objects of v2 can hold, and less where no sensor goes that far."""
BLE_HA: Ranges = {
    **{name: limits for name, limits in BTHOME.items() if not name.startswith("rain.")},
    **dict.fromkeys(DUST, (0.0, 1000.0)),
    **INDEXES,
    "air.temperature": (-40.0, 85.0),
    "air.pressure": (300.0, 1200.0),
    "device.temperature": (-200.0, 1000.0),
    "device.voltage": (0.0, 60.0),
    "heat.flow_temperature": (-40.0, 200.0),
    "heat.return_temperature": (-40.0, 200.0),
    "light.illuminance": (0.0, 200_000.0),
    "water.flow": (0.0, 1e5),
}
"""What parsers of others say is that of devices of all kinds."""
FIXED: Mapping[str, Ranges] = {
    "airthings": {
        "air.co2": (1.0, U16 - 1),
        "air.pressure": (300.0, 1310.0),
        "air.radon": (0.0, 2.0**14 - 1),
        "air.temperature": (-40.0, 100.0),
        "air.tvoc_mole_fraction": (0.0, U16 - 1),
        "device.voltage": (1.0, 5.5),
        "light.illuminance": (0.0, 200_000.0),
    },
    "aranet": {
        "air.co2": (0.0, 9999.0),
        "air.radon": (0.0, 7935.0),
        "air.temperature": (0.0, 85.0),
        "radiation.dose": (0.0, (2.0**32 - 1) / 1e6),
        "radiation.dose_rate": (0.0, U16 / 1000),
    },
    "atc": {"air.temperature": (-40.0, 85.0), "device.voltage": (1.6, 3.65)},
    "ble_ha": BLE_HA,
    "bthome": BTHOME,
    "eddystone": {
        "device.voltage": (0.001, 30.0),
        "device.temperature": (-60.0, 125.0),
        "device.uptime": (0.0, (2.0**32 - 1) / 10),
    },
    "footfall": {
        f"devices.count{zone}": (0.0, 20_000.0) for zone in ("", "_near", "_middle", "_far")
    },
    "han": OBIS,
    "hpma115": dict.fromkeys(DUST, (0.0, 1000.0)),
    "hpma115_polled": dict.fromkeys(DUST, (0.0, 1000.0)),
    "iec62056": OBIS,
    "kmp": HEAT,
    "mbus": {
        **HEAT,
        "water.volume": (0.0, 1e12),
        "gas.volume": (0.0, 1e12),
        "meter.total": (0.0, 1e12),
        "energy.active_import": (0.0, 1e12),
        "energy.active_export": (0.0, 1e12),
        "power.active": (-1e10, 1e10),
        "electric.voltage": (0.0, 1e6),
        "electric.current": (-1e5, 1e5),
    },
    "nmea": {
        "site.latitude": (-90.0, 90.0),
        "site.longitude": (-180.0, 180.0),
        "site.altitude": (-1000.0, 18_288.0),
        "site.satellites": (0.0, 99.0),
    },
    "p1": OBIS,
    "plantower": {**dict.fromkeys(DUST, (0.0, 1000.0)), "air.temperature": (-20.0, 99.0)},
    "pm1006": {"air.pm25": (0.0, 1000.0)},
    "pm1006_polled": {"air.pm25": (0.0, 1000.0)},
    "ruuvi": {
        **dict.fromkeys(DUST, (0.0, 1000.0)),
        **INDEXES,
        "air.temperature": (-40.0, 85.0),
        "air.pressure": (300.0, 1155.34),
        "device.voltage": (1.6, 3.646),
        "light.illuminance": (0.0, 144_284.0),
    },
    "sds011": {"air.pm25": (0.0, 999.9), "air.pm10": (0.0, 999.9), "air.tsp": (0.0, 20_000.0)},
    "sml": OBIS,
    "sngcja5": dict.fromkeys(DUST, (0.0, 2000.0)),
    # What it can write as a whole number; the data sheet promises its accuracy up to 1000 only.
    "sps30": dict.fromkeys(DUST, (0.0, 65_535.0)),
    "vedirect": {
        "electric.voltage": (0.0, 1000.0),
        "electric.current": (-10_000.0, 10_000.0),
        "power.active": (-1e6, 1e6),
        "power.apparent": (0.0, 1e6),
        "energy.active_import": COUNTER,
        "energy.active_export": COUNTER,
        "meter.total": COUNTER,
    },
    "victron": {
        "electric.voltage": (-1.0, 1000.0),
        "electric.current": (-10_000.0, 10_000.0),
        "power.active": (-1e6, 1e6),
        "power.apparent": (0.0, 1e6),
    },
}


def _mhz19(options: Mhz19Options) -> Ranges:
    return {"air.co2": (0.0, float(options.range_ppm))}


def _ops243(options: Ops243Options) -> Ranges:
    """Half the sampling rate is the highest Doppler shift; along the lane it is more than seen."""
    m_s = options.sampling_ksps * 1000 / 2 * SPEED_OF_LIGHT_M_S / (2 * RADAR_HZ)
    return {"traffic.speed_avg": (0.0, 1.01 * 3.6 * m_s / cos(radians(options.angle_deg)))}


def _ld2450(options: Ld2450Options) -> Ranges:
    passages = (0.0, 3.0 * max(1, round(options.window_s * options.frames_per_s)))
    names = ("traffic.count", "bicycle.count", "people.count")
    speeds = ("traffic.speed_avg", "traffic.speed_p85", "people.speed_avg")
    return dict.fromkeys(names, passages) | dict.fromkeys(speeds, (0.0, 100.0))


def _tfluna(options: TfLunaOptions) -> Ranges:
    """At least one frame in the beam and one beside it for each passage."""
    passages = (0.0, max(1, round(options.window_s * options.rate_hz)) / 2 + 1)
    return {
        **dict.fromkeys(("traffic.count", "bicycle.count", "people.count"), passages),
        "traffic.headway_avg": (2 / options.rate_hz, 1e6),
        "traffic.gap_avg": (0.0, 1e6),
        "device.temperature": (-40.0, 125.0),
    }


def _modbus(options: ModbusOptions) -> Ranges:
    return _widest(
        (register.quantity, _register_range(register))
        for register in options.register_map().registers
    )


def _register_range(register: Register) -> Range:
    if register.type == "bit":
        return (0.0, 1.0)
    low, high = {
        "u16": (0.0, 65_535.0),
        "s16": (-32_768.0, 32_767.0),
        "u32": (0.0, 2.0**32 - 1),
        "s32": (-(2.0**31), 2.0**31 - 1),
        "float32": (-FLOAT_32, FLOAT_32),
    }[register.type]
    factor = register.scale / register.per
    low, high = sorted((low * factor, high * factor))
    return _narrowed((low, high), register.lowest, register.highest)


def _frame(options: Any) -> Ranges:
    return _widest((field.quantity, _field_range(field)) for field in options.field)


def _field_range(field: Any) -> Range:
    code, size = CODES[field.type]
    assert calcsize("<" + code) == size
    low, high = (0.0, 256.0**size - 1)
    if code == "f":
        low, high = -FLOAT_32, FLOAT_32
    elif code.islower():
        low, high = -(256.0**size) / 2, 256.0**size / 2 - 1
    values = ((low - field.zero) / field.divide, (high - field.zero) / field.divide)
    return _narrowed(values, field.lowest, field.highest)


def _narrowed(values: Range, lowest: float | None, highest: float | None) -> Range:
    low, high = values
    return (
        low if lowest is None else max(low, lowest),
        high if highest is None else min(high, highest),
    )


def _widest(pairs: Any) -> Ranges:
    found: dict[str, Range] = {}
    for quantity, (low, high) in pairs:
        before = found.get(quantity, (inf, -inf))
        found[quantity] = (min(low, before[0]), max(high, before[1]))
    return found


COMPUTED: Mapping[str, Callable[[Any], Ranges]] = {
    "frame": _frame,
    "frame_polled": _frame,
    "ld2450": _ld2450,
    "mhz19": _mhz19,
    "modbus": _modbus,
    "ops243": _ops243,
    "tfluna": _tfluna,
}
"""By the options that a sensor has."""


def ranges(name: str, options: Mapping[str, Any] | None = None) -> Ranges:
    """Return the range of each quantity that a driver with these options can yield."""
    found = dict(ANY)
    found |= FIXED.get(name, {})
    if name in COMPUTED:
        found |= COMPUTED[name](options_of(name, options))
    return found
