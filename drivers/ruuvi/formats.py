"""The data formats of Ruuvi: which bytes are which number, and what the sensors can measure.

Written from docs.ruuvi.com, "Bluetooth Advertisements", data formats 3, 5, 6 and E1. All numbers
are big-endian.
"""

import math
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.reading import Flag

__all__ = ["AIR", "EXTENDED", "FORMATS", "Content", "Format", "Value"]

EXTENDED = 0xE1
AIR = 6
"""Both of Ruuvi Air: it sends each measurement in both formats."""

DF3 = struct.Struct(">xBBBH6xH")
"""Humidity, whole degrees with the sign on top, hundredths of a degree, pressure, battery."""
DF5 = struct.Struct(">xhHH6xHxH6x")
"""Temperature, humidity, pressure, power, sequence; acceleration and movements are skipped."""
DF6 = struct.Struct(">xhHHHHBBBxBB3x")
"""Temperature, humidity, pressure, PM2.5, CO2, VOC, NOx, light, sequence, flags."""
DFE1 = struct.Struct(">xhHHHHHHHBBBH3xBHB11x")
"""As format 6 with PM1 to PM10; light and sequence are of 24 bits, a byte and two."""

SIGN = 0x80
HUNDRED = 100
IMPOSSIBLE = 1 << 20
"""In place of a temperature whose hundredths are no hundredths: beyond every range."""
NO_VOLTAGE = 0x7FF
NO_LIGHT_CODE = 0xFF
NO_SEQUENCE_DF5 = 0xFFFF
NO_24_BITS = 0xFFFFFF
CALIBRATING = 0x01
VOC_BIT, NOX_BIT = 6, 7
"""Of the flags: the lowest bit of the two indexes, for which a byte was too small."""
NO_INDEX = 0x1FF
LIGHT_STEP = math.log(65536) / 254
LIGHT = tuple(round((math.exp(code * LIGHT_STEP) - 1) * HUNDRED) for code in range(NO_LIGHT_CODE))
"""Format 6 has the logarithm of the light; hundredths of a lux by code."""


class Value(NamedTuple):
    """How one number becomes a reading: ``(raw + zero) / per``."""

    quantity: str
    zero: int
    per: int
    invalid: int | None
    lowest: float
    highest: float


class Content(NamedTuple):
    """What one payload holds."""

    raws: tuple[int, ...]
    number: int | None
    """That of the measurement, None if it has none; a copy has the same."""
    flags: int = 0


class Format(NamedTuple):
    """One data format."""

    name: str
    length: int
    shown: int
    """So many bytes of it may be seen in a fault: the device's own address stands behind them."""
    values: tuple[Value, ...]
    read: Callable[[bytes], Content]


def _df3(data: bytes) -> Content:
    humidity, whole, hundredths, pressure, millivolts = DF3.unpack_from(data)
    temperature = (whole & ~SIGN) * HUNDRED + hundredths
    if hundredths >= HUNDRED:
        temperature = IMPOSSIBLE
    elif whole & SIGN:
        temperature = -temperature
    # It has no number; with acceleration to 1 mg and pressure to 1 Pa no two payloads are alike.
    number = int.from_bytes(data[: DF3.size], "big")
    return Content((temperature, humidity, pressure, millivolts), number)


def _df5(data: bytes) -> Content:
    temperature, humidity, pressure, power, number = DF5.unpack(data)
    raws = (temperature, humidity, pressure, power >> 5)
    return Content(raws, None if number == NO_SEQUENCE_DF5 else number)


def _df6(data: bytes) -> Content:
    *raws, voc, nox, code, number, flags = DF6.unpack(data)
    light = NO_24_BITS if code == NO_LIGHT_CODE else LIGHT[code]
    return Content((*raws, *_indexes(voc, nox, flags), light), number, _flags(flags))


def _dfe1(data: bytes) -> Content:
    *raws, voc, nox, light_high, light, number_high, number_low, flags = DFE1.unpack(data)
    number = number_high << 16 | number_low
    return Content(
        (*raws, *_indexes(voc, nox, flags), light_high << 16 | light),
        None if number == NO_24_BITS else number,
        _flags(flags),
    )


def _flags(flags: int) -> int:
    return int(Flag.CALIBRATING) if flags & CALIBRATING else 0


def _indexes(voc: int, nox: int, flags: int) -> tuple[int, int]:
    """Return both indexes; Sensirion's run from 1, and are 0 until the sensor has warmed up."""
    return (
        (voc << 1 | flags >> VOC_BIT & 1) or NO_INDEX,
        (nox << 1 | flags >> NOX_BIT & 1) or NO_INDEX,
    )


def _dust(quantity: str) -> Value:
    return Value(quantity, 0, 10, 0xFFFF, 0.0, 1000.0)


TEMPERATURE = Value("air.temperature", 0, 200, -0x8000, -40.0, 85.0)
HUMIDITY = Value("air.humidity", 0, 400, 0xFFFF, 0.0, 100.0)
PRESSURE = Value("air.pressure", 50_000, 100, 0xFFFF, 300.0, 1155.34)
CO2 = Value("air.co2", 0, 1, 0xFFFF, 0.0, 40_000.0)
INDEXES = tuple(
    Value(quantity, 0, 1, NO_INDEX, 1.0, 500.0) for quantity in ("air.voc_index", "air.nox_index")
)
ILLUMINANCE = Value("light.illuminance", 0, HUNDRED, NO_24_BITS, 0.0, 144_284.0)
"""Limits are those of the sensors; for pressure and the battery those of the format."""

FORMATS: Mapping[int, Format] = {
    3: Format(
        name="3",
        length=14,
        shown=6,
        values=(
            TEMPERATURE._replace(per=HUNDRED, invalid=None),
            HUMIDITY._replace(per=2, invalid=None),
            PRESSURE._replace(invalid=None),
            Value("device.voltage", 0, 1000, None, 1.6, 3.646),
        ),
        read=_df3,
    ),
    5: Format(
        name="5",
        length=24,
        shown=18,
        values=(
            TEMPERATURE,
            HUMIDITY,
            PRESSURE,
            Value("device.voltage", 1600, 1000, NO_VOLTAGE, 1.6, 3.646),
        ),
        read=_df5,
    ),
    AIR: Format(
        name="6",
        length=20,
        shown=14,
        values=(TEMPERATURE, HUMIDITY, PRESSURE, _dust("air.pm25"), CO2, *INDEXES, ILLUMINANCE),
        read=_df6,
    ),
    EXTENDED: Format(
        name="E1",
        length=40,
        shown=22,
        values=(
            TEMPERATURE,
            HUMIDITY,
            PRESSURE,
            _dust("air.pm1"),
            _dust("air.pm25"),
            _dust("air.pm4"),
            _dust("air.pm10"),
            CO2,
            *INDEXES,
            ILLUMINANCE,
        ),
        read=_dfe1,
    ),
}
"""By the first byte of the payload."""
