"""Wave, Wave Plus, Wave Radon (Wave 2) and Wave Mini: characteristics that are read as they are.

All numbers have their lowest byte first. A field with all bits set has no value yet.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from drivers.airthings.limits import DAY, MAX_RADON, checked
from gateway.driver import Outcome
from gateway.reading import Dims, Fault

__all__ = ["SELF_CHECK", "WAVES", "Wave", "battery", "readings"]

PLUS = struct.Struct("<B B 2x H H H H H H 4x")
"""Version, humidity, light, radon of a day and of long, temperature, pressure, CO2, VOC."""
PLUS_VERSION = 1
MINI = struct.Struct("<2x H H H H 2x 8x")
"""Light, temperature, pressure, humidity, VOC."""
ONE = struct.Struct("<H")
NONE_8, NONE_16 = 0xFF, 0xFFFF
LONG: Dims = (("channel", "long"),)
"""What the maker calls the long-term average."""
NO_TEMPERATURE = 0x8000
"""What the Bluetooth standard says for its characteristic."""
SIGN = 0x8000
SELF_CHECK = b"\x6d"
"""Written to the command characteristic; the device answers with its state."""
VOLTAGE_AT = 26


class Wave(NamedTuple):
    """What is read of a model, in order, where it takes commands, and how long it answers."""

    characteristics: tuple[str, ...]
    command: str = ""
    answer_bytes: int = 0


TEMPERATURE = "00002a6e-0000-1000-8000-00805f9b34fb"
HUMIDITY = "00002a6f-0000-1000-8000-00805f9b34fb"
RADON_DAY = "b42e01aa-ade7-11e4-89d3-123b93f75cba"
RADON_LONG = "b42e0a4c-ade7-11e4-89d3-123b93f75cba"
ONES = (TEMPERATURE, HUMIDITY, RADON_DAY, RADON_LONG)
"""Characteristics that hold one number."""
PLUS_VALUES = "b42e2a68-ade7-11e4-89d3-123b93f75cba"
RADON_VALUES = "b42e4dcc-ade7-11e4-89d3-123b93f75cba"
MINI_VALUES = "b42e3b98-ade7-11e4-89d3-123b93f75cba"
WAVES: Mapping[str, Wave] = {
    "2900": Wave(ONES),
    "2920": Wave((MINI_VALUES,), "b42e3ef4-ade7-11e4-89d3-123b93f75cba", 34),
    "2930": Wave((PLUS_VALUES,), "b42e2d06-ade7-11e4-89d3-123b93f75cba", 30),
    "2950": Wave((RADON_VALUES,), "b42e50d8-ade7-11e4-89d3-123b93f75cba", 30),
}
"""By the model number that the device tells."""


def readings(characteristic: str, data: bytes) -> Iterator[Outcome]:
    """Yield what one characteristic says."""
    layout = ONE if characteristic in ONES else MINI if characteristic == MINI_VALUES else PLUS
    if len(data) != layout.size:
        said = f"{len(data)} bytes where {layout.size} are expected"
        yield Fault("short" if len(data) < layout.size else "unknown", said)
    elif characteristic == TEMPERATURE:
        yield from _temperature(ONE.unpack(data)[0], NO_TEMPERATURE)
    elif characteristic == HUMIDITY:
        yield from _number("air.humidity", ONE.unpack(data)[0], 100)
    elif characteristic in (RADON_DAY, RADON_LONG):
        yield from _radon(ONE.unpack(data)[0], DAY if characteristic == RADON_DAY else LONG)
    elif characteristic == MINI_VALUES:
        yield from _mini(data)
    else:
        yield from _plus(data, no_air=characteristic == RADON_VALUES)


def battery(answer: bytes, size: int) -> Iterator[Outcome]:
    """Yield the battery's voltage from the answer to ``SELF_CHECK``, of ``size`` bytes."""
    if not answer.startswith(SELF_CHECK) or len(answer) != size:
        yield Fault("unknown", f"{len(answer)} bytes that are no self-check", answer[:8])
        return
    (millivolts,) = ONE.unpack_from(answer, VOLTAGE_AT)
    yield from _number("device.voltage", millivolts, 1000)


def _plus(data: bytes, *, no_air: bool) -> Iterator[Outcome]:
    version, humidity, day, long, temperature, pressure, co2, voc = PLUS.unpack(data)
    if version != PLUS_VERSION:
        yield Fault("unknown", f"version {version} of the values")
        return
    if humidity != NONE_8:
        yield checked("air.humidity", humidity / 2)
        # One sensor measures both; without this check -0.01 degrees could not be told from nothing.
        yield from _temperature(temperature)
    yield from _radon(day, DAY)
    yield from _radon(long, LONG)
    if no_air:
        return  # the fields of sensors that it does not have may hold anything
    yield from _number("air.pressure", pressure, 50)
    if co2:  # zero until the first measurement; there is no such air
        yield from _number("air.co2", co2)
    yield from _number("air.tvoc_mole_fraction", voc)


def _mini(data: bytes) -> Iterator[Outcome]:
    temperature, pressure, humidity, voc = MINI.unpack(data)
    if temperature != NONE_16:
        yield checked("air.temperature", round(temperature / 100 - 273.15, 2))
    yield from _number("air.pressure", pressure, 50)
    yield from _number("air.humidity", humidity, 100)
    yield from _number("air.tvoc_mole_fraction", voc)


def _temperature(raw: int, missing: int = NONE_16) -> Iterator[Outcome]:
    if raw != missing:
        yield checked("air.temperature", ((raw ^ SIGN) - SIGN) / 100)


def _radon(raw: int, mean: Dims) -> Iterator[Outcome]:
    if raw <= MAX_RADON:  # more says that there is none yet
        yield checked("air.radon", float(raw), mean)


def _number(quantity: str, raw: int, per: int = 1) -> Iterator[Outcome]:
    if raw != NONE_16:
        yield checked(quantity, raw / per)
