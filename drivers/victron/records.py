"""The records of Victron's instant readout: which bits are which number.

Written from Victron Energy, "Extra manufacturer data", 2022-12-14. The Orion XS is younger: its
record is read as Fabian-Schmidt/esphome-victron_ble and wcbonner/VictronBTLELogger found it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.reading import Dims

__all__ = ["ALWAYS", "AUX_MODE", "RECORDS", "Error", "Field", "Record", "read"]

AUX_MODE = (64, 2)
"""Bit and width of what the auxiliary input of a battery monitor is used for."""
STARTER, MIDPOINT, TEMPERATURE = 0, 1, 2
ALWAYS = -1

VOLTS = (-1.0, 1000.0)
"""Around zero there is noise; a battery the wrong way round is no reading."""
AMPS = (-10_000.0, 10_000.0)
WATTS = (-1e6, 1e6)
DEGREES = (-60.0, 150.0)
PERCENT = (0.0, 100.0)


class Field(NamedTuple):
    """One number of a record: ``(raw + zero) / per``."""

    start: int
    """First bit; a record has its lowest bit first."""
    bits: int
    signed: bool
    missing: tuple[int, ...]
    """What it is, unsigned, where there is no value."""
    zero: int
    per: int
    quantity: str
    dims: Dims
    limits: tuple[float, float]
    aux: int = ALWAYS
    """Only with this use of the auxiliary input."""


class Error(NamedTuple):
    """Where a record says what is wrong with the device; 0 is nothing."""

    start: int
    bits: int
    missing: int | None = None


class Record(NamedTuple):
    """One kind of device."""

    bits: int
    """How long it is at least."""
    fields: tuple[Field, ...]
    error: Error | None = None


def read(plain: int, start: int, bits: int) -> int:
    """Return one unsigned number of a record."""
    return plain >> start & (1 << bits) - 1


def _field(  # noqa: PLR0913 - a row of the document
    start: int,
    bits: int,
    per: int,
    what: tuple[str, tuple[float, float]],
    channel: str,
    *,
    signed: bool = False,
    zero: int = 0,
    missing: tuple[int, ...] | None = None,
    aux: int = ALWAYS,
) -> Field:
    """Return a field; unless told otherwise the largest number stands for no value."""
    if missing is None:
        missing = ((1 << bits - signed) - 1,)
    quantity, limits = what
    dims = (("channel", channel),)
    return Field(start, bits, signed, missing, zero, per, quantity, dims, limits, aux)


VOLTAGE = ("electric.voltage", VOLTS)
CURRENT = ("electric.current", AMPS)
POWER = ("power.active", WATTS)
CHARGE = ("device.battery", PERCENT)
HEAT = ("device.temperature", DEGREES)
CELSIUS_7_BITS = -40
KELVIN = -27_315
"""In hundredths."""


def _monitored(channel: str) -> tuple[Field, ...]:
    """Return what a battery monitor and a DC energy meter have in common."""
    return (
        _field(16, 16, 100, VOLTAGE, channel, signed=True),
        # -1 mA stands for none by the document; devices in the field send the largest number.
        _field(66, 22, 1000, CURRENT, channel, signed=True, missing=(0x3FFFFF, 0x1FFFFF)),
        _field(48, 16, 100, VOLTAGE, "starter", signed=True, aux=STARTER),
        _field(48, 16, 100, HEAT, "battery", zero=KELVIN, aux=TEMPERATURE),
    )


def _cells() -> tuple[Field, ...]:
    """Return the cells of a lithium battery: 0 is below 2.61 V, 126 above 3.85 V."""
    return tuple(
        _field(
            48 + 7 * number, 7, 100, VOLTAGE, f"cell{number + 1}", zero=260, missing=(0, 126, 127)
        )
        for number in range(8)
    )


SOLAR_CHARGER = Record(
    bits=89,
    fields=(
        _field(16, 16, 100, VOLTAGE, "battery", signed=True),
        _field(32, 16, 10, CURRENT, "battery", signed=True),
        _field(64, 16, 1, POWER, "pv"),
        _field(80, 9, 10, CURRENT, "load"),
    ),
    error=Error(8, 8, 0xFF),
)
BATTERY_MONITOR = Record(
    bits=118,
    fields=(
        *_monitored("battery"),
        _field(48, 16, 100, VOLTAGE, "midpoint", aux=MIDPOINT),
        _field(108, 10, 10, CHARGE, "battery"),
    ),
)
INVERTER = Record(
    bits=82,
    fields=(
        _field(24, 16, 100, VOLTAGE, "battery", signed=True),
        _field(40, 16, 1, ("power.apparent", WATTS), "ac"),
        _field(56, 15, 100, VOLTAGE, "ac"),
        _field(71, 11, 10, CURRENT, "ac"),
    ),
)
DC_DC_CONVERTER = Record(
    bits=80,
    fields=(
        _field(16, 16, 100, VOLTAGE, "input"),
        _field(32, 16, 100, VOLTAGE, "output", signed=True),
    ),
    error=Error(8, 8, 0xFF),
)
SMART_LITHIUM = Record(
    bits=127,
    fields=(
        *_cells(),
        _field(104, 12, 100, VOLTAGE, "battery"),
        _field(120, 7, 1, HEAT, "battery", zero=CELSIUS_7_BITS),
    ),
    error=Error(32, 16),
)
INVERTER_RS = Record(
    bits=96,
    fields=(
        _field(16, 16, 100, VOLTAGE, "battery", signed=True),
        _field(32, 16, 10, CURRENT, "battery", signed=True),
        _field(48, 16, 1, POWER, "pv"),
        _field(80, 16, 1, POWER, "ac", signed=True),
    ),
    error=Error(8, 8, 0xFF),
)
AC_CHARGER = Record(
    bits=104,
    fields=(
        _field(16, 13, 100, VOLTAGE, "battery"),
        _field(29, 11, 10, CURRENT, "battery"),
        _field(40, 13, 100, VOLTAGE, "battery2"),
        _field(53, 11, 10, CURRENT, "battery2"),
        _field(64, 13, 100, VOLTAGE, "battery3"),
        _field(77, 11, 10, CURRENT, "battery3"),
        _field(88, 7, 1, HEAT, "battery", zero=CELSIUS_7_BITS),
        _field(95, 9, 10, CURRENT, "ac_in"),
    ),
    error=Error(8, 8, 0xFF),
)
BATTERY_PROTECT = Record(
    bits=120,
    fields=(
        _field(56, 16, 100, VOLTAGE, "input", signed=True),
        _field(72, 16, 100, VOLTAGE, "output"),
    ),
    error=Error(16, 8, 0xFF),
)
LYNX_SMART_BMS = Record(
    bits=127,
    fields=(
        _field(24, 16, 100, VOLTAGE, "battery", signed=True),
        _field(40, 16, 10, CURRENT, "battery", signed=True),
        _field(90, 10, 10, CHARGE, "battery"),
        _field(120, 7, 1, HEAT, "battery", zero=CELSIUS_7_BITS),
    ),
    error=Error(0, 8),
)
MULTI_RS = Record(
    bits=112,
    fields=(
        _field(16, 16, 10, CURRENT, "battery", signed=True),
        _field(32, 14, 100, VOLTAGE, "battery"),
        _field(48, 16, 1, POWER, "ac_in", signed=True),
        _field(64, 16, 1, POWER, "ac", signed=True),
        _field(80, 16, 1, POWER, "pv"),
    ),
    error=Error(8, 8, 0xFF),
)
VE_BUS = Record(
    bits=102,
    fields=(
        _field(16, 16, 10, CURRENT, "battery", signed=True),
        _field(32, 14, 100, VOLTAGE, "battery"),
        _field(48, 19, 1, POWER, "ac_in", signed=True),
        _field(67, 19, 1, POWER, "ac", signed=True),
        _field(88, 7, 1, HEAT, "battery", zero=CELSIUS_7_BITS),
        _field(95, 7, 1, CHARGE, "battery"),
    ),
    error=Error(8, 8, 0xFF),
)
DC_ENERGY_METER = Record(bits=88, fields=_monitored("dc"))
ORION_XS = Record(
    bits=112,
    fields=(
        _field(16, 16, 100, VOLTAGE, "output", missing=(0x7FFF, 0xFFFF)),
        _field(32, 16, 10, CURRENT, "output", missing=(0x7FFF, 0xFFFF)),
        _field(48, 16, 100, VOLTAGE, "input"),
        _field(64, 16, 10, CURRENT, "input"),
    ),
    error=Error(8, 8, 0xFF),
)

RECORDS: Mapping[int, Record] = {
    0x01: SOLAR_CHARGER,
    0x02: BATTERY_MONITOR,
    0x03: INVERTER,
    0x04: DC_DC_CONVERTER,
    0x05: SMART_LITHIUM,
    0x06: INVERTER_RS,
    0x08: AC_CHARGER,
    0x09: BATTERY_PROTECT,
    0x0A: LYNX_SMART_BMS,
    0x0B: MULTI_RS,
    0x0C: VE_BUS,
    0x0D: DC_ENERGY_METER,
    0x0F: ORION_XS,
}
"""By the type of the record."""
