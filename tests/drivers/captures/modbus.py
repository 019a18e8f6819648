"""Captures of Modbus meters and sensors."""

from collections.abc import Mapping
from typing import Any

from drivers.modbus.maps import packaged_map
from gateway.driver import Outcome
from tests.drivers.captures.parts import Cut, Family, Frame, Key, Wanted, ask, one_each, refused
from tests.drivers.driver_cases import make

__all__ = ["FAMILIES"]


def part_of(name: str, count: int, **changes: Any) -> dict[str, Any]:
    """Return options that ask for the first registers of a map only."""
    whole = packaged_map(name)
    registers = [each.model_dump(exclude_defaults=True) for each in whole.registers[:count]]
    return {"registers": registers, "words": whole.words, "unit": whole.unit, **changes}


def raw(first: int, count: int, **others: Any) -> dict[str, Any]:
    """Return options that ask for registers as they are."""
    registers = [
        {
            "address": first + n,
            "type": "u16",
            "quantity": "meter.total",
            "dims": {"channel": str(n)},
        }
        for n in range(count)
    ]
    return {"registers": registers, "function": 4, **others}


SDM = part_of("sdm120", 1)
PZEM = {"map": "pzem-004t"}
THREE_FLOATS = {
    "registers": [
        {"address": 2 * n, "type": "float32", "quantity": quantity}
        for n, quantity in enumerate(("electric.voltage", "electric.current", "power.active"))
    ],
    "function": 4,
}
ASKED: Mapping[str, tuple[dict[str, Any], ...]] = {
    "modbus_rtu_meters.json": (
        SDM,
        PZEM,
        part_of("et112", 1, function=3, unit=1),
        raw(0, 4),
        raw(0, 4),
        PZEM,
        SDM,
        raw(0, 10, unit=2),
        THREE_FLOATS,
    ),
    "senseair_s8_modbus.json": (
        part_of("senseair-s8", 1),
        raw(25, 1, unit=254),
        {"map": "senseair-s8", "gap": 0},
        part_of("senseair-s8", 1),
        part_of("senseair-s8", 1),
    ),
}
"""What has to be asked for the answers of a file, frame by frame."""
METER_NAMES: Mapping[str, tuple[str, float]] = {
    "voltage": ("electric.voltage", 1.0),
    "current": ("electric.current", 1.0),
    "power": ("power.active", 1.0),
    "energy": ("energy.active_import", 1000.0),
    "frequency": ("electric.frequency", 1.0),
    "power_factor": ("power.factor", 1.0),
    "co2": ("air.co2", 1.0),
}
"""Their names -> our quantity, and how many of their units make one of ours."""


def first_question(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Answer the first question of a round."""
    device = make("modbus", ASKED[family.file][frame.number])
    return ask(device, next(iter(device.requests())), data, cut)


def registers(frame: Frame) -> Wanted:
    """Return what a meter's answer says."""
    expected = frame.expected
    if "error" in expected:
        word = expected["error"].split(" ")[0]
        kinds = {"crc": "checksum", "exception": "device_error"}
        return refused(kinds.get(word, "short"))
    if "note" in expected:
        return refused("echo")
    found: dict[Key, float] = {
        (quantity, ""): expected[name][0] / per
        for name, (quantity, per) in METER_NAMES.items()
        if name in expected and expected[name][0] is not None
    }
    for n, value in enumerate(expected.get("regs", [])):
        found["meter.total", str(n)] = value
    if "type_id_low" in expected:
        found["meter.total", "0"] = expected["type_id_low"]
    return Wanted(one_each(found))


FAMILIES = (
    Family(
        driver="modbus",
        file="modbus_rtu_meters.json",
        run=first_question,
        wanted=registers,
        tolerance=1e-7,  # of a float32
    ),
    Family(
        driver="modbus",
        file="senseair_s8_modbus.json",
        run=first_question,
        wanted=registers,
    ),
)
