"""Captures of Airthings, with the values that the maker's own library got from them."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from drivers.airthings import atom
from gateway.driver import Outcome
from tests.drivers.captures.parts import Cut, Family, Frame, Key, Wanted, one_each
from tests.drivers.connected_cases import Answer, ConnectedCase, at_once, uuid, visit
from tests.drivers.driver_cases import faults, make

__all__ = ["FAMILIES"]

RADON: Mapping[str, str] = {
    "radon_1day": "24h",
    "radon_longterm": "long",
    "R24": "24h",
    "R7D": "7d",
    "R30": "30d",
    "R1Y": "1y",
}
"""Name -> the channel."""
NAMES: Mapping[str, str] = {
    "humidity": "air.humidity",
    "temperature": "air.temperature",
    "pressure": "air.pressure",
    "co2": "air.co2",
    "voc": "air.tvoc_mole_fraction",
    "battery": "device.voltage",
    "CO2": "air.co2",
    "VOC": "air.tvoc_mole_fraction",
    "LUX": "light.illuminance",
    **dict.fromkeys(RADON, "air.radon"),
}
RAW: Mapping[str, tuple[str, float, float]] = {
    "TMP": ("air.temperature", 0.01, -273.15),
    "HUM": ("air.humidity", 0.01, 0.0),
    "PRS": ("air.pressure", 1 / 6400, 0.0),
    "BAT": ("device.voltage", 0.001, 0.0),
}
"""Of these the capture has the number as it was sent: quantity, factor, offset."""
NO_QUANTITIES: Mapping[str, str] = {
    "illuminance": "a percentage of nothing that is documented, not lux",
    "NOI": "how it is averaged is not documented",
}
READ: Mapping[str, tuple[str, str]] = {
    "test_wave_plus": ("2930", "b42e2a68"),
    "test_wave_radon": ("2950", "b42e4dcc"),
    "test_wave_mini": ("2920", "b42e3b98"),
}
"""Kind -> model and the characteristic that holds the values."""
COMMANDS: Mapping[str, tuple[str, str]] = {
    "test_wave_plus command": ("2930", "b42e2d06"),
    "test_wave_mini command": ("2920", "b42e3ef4"),
}
NONCES = {"A1B2": 0xA1B2, "CCA4": 0xCCA4}
EMPTY = ConnectedCase("airthings", "capture", {}, {}, (), 1, [], [])


def said(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return what the driver says to one frame, as far as it is about that."""
    return at_once(_said(frame, data))


async def _said(frame: Frame, data: bytes) -> list[Outcome]:
    if frame.kind == "test_wave_gen_1":
        return []  # a characteristic that is not read
    if frame.kind in READ:
        model, values = READ[frame.kind]
        case = replace(EMPTY, characteristics={uuid("2a24"): model.encode(), uuid(values): data})
        *outcomes, no_self_check = await visit(make("airthings"), case)
        assert faults([no_self_check]) == ["timeout"]
        return outcomes
    if frame.kind in COMMANDS:
        model, command = COMMANDS[frame.kind]
        (values,) = (value for known, value in READ.values() if known == model)
        case = replace(
            EMPTY,
            characteristics={uuid("2a24"): model.encode(), uuid(values): b""},
            answers=(Answer(uuid(command), b"\x6d", uuid(command), (data,)),),
        )
        no_values, *outcomes = await visit(make("airthings"), case)
        assert faults([no_values]) == ["short"]
        return outcomes
    said_by = str(frame.entry["gatt"])
    nonce = next((known for number, known in NONCES.items() if number in said_by), 0x1234)
    answer = await atom.collect(_one(data))
    return list(atom.readings(answer, nonce)) if isinstance(answer, bytes) else [answer]


async def _one(data: bytes) -> AsyncIterator[bytes]:
    yield data


def wanted(frame: Frame) -> Wanted:
    """Translate the library's names, and the numbers that it leaves as they were sent."""
    if "error" in frame.expected:
        return Wanted(faults=frozenset({"unknown"}))
    found: dict[Key, float] = {}
    for name, value in frame.expected.items():
        if name in RAW:
            quantity, factor, offset = RAW[name]
            found[quantity, ""] = value * factor + offset
        elif name not in NO_QUANTITIES:
            number = value[0] if isinstance(value, list) else value
            found[NAMES[name], RADON.get(name, "")] = number
    return Wanted(one_each(found))


FAMILIES = (
    Family(
        driver="airthings",
        file="airthings_gatt.json",
        run=said,
        wanted=wanted,
        in_pieces=False,
        checked=lambda frame: False,
    ),
)
