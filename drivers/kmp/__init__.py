"""Kamstrup heat and cooling meters (MULTICAL) over their optical head or KMP interface.

Written from the description of the Kamstrup Meter Protocol in Kamstrup, "Technical description
MULTICAL 601" and its data communication supplement: frames, registers, units, number format.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from drivers.kmp.link import TO_METER, answer_length, build, find_payload
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["Kmp", "KmpOptions"]

HEAT_METER = 0x3F
GET_REGISTERS = 0x10
ANSWER_TIMEOUT_S = 2.0
"""A meter takes up to 1 s to wake up."""
QUIET_S = 0.1
HEADER_BYTES = 4
"""Of each register in the answer: number 2, unit, bytes of the number."""
LONGEST_NUMBER = 8
NEGATIVE, NEGATIVE_EXPONENT, EXPONENT = 0x80, 0x40, 0x3F


class _Register(NamedTuple):
    quantity: str
    lowest: float
    highest: float
    """What no meter can show, in the registry's unit."""


REGISTERS: Mapping[int, _Register] = {
    60: _Register("heat.energy", 0.0, 1e12),
    68: _Register("heat.volume", 0.0, 1e12),
    74: _Register("water.flow", -1e5, 1e5),
    80: _Register("heat.power", -1e10, 1e10),
    86: _Register("heat.flow_temperature", -50.0, 200.0),
    87: _Register("heat.return_temperature", -50.0, 200.0),
}
"""At most eight may be asked for at once."""
JOULES_PER_KWH = 3_600_000
_UNITS: Mapping[int, tuple[str, int, int]] = {
    1: ("kW.h", 1, 1000),
    2: ("kW.h", 1, 1),
    3: ("kW.h", 1000, 1),
    4: ("kW.h", 10**6, 1),
    5: ("kW.h", 1, JOULES_PER_KWH),
    6: ("kW.h", 10**3, JOULES_PER_KWH),
    7: ("kW.h", 10**6, JOULES_PER_KWH),
    8: ("kW.h", 10**9, JOULES_PER_KWH),
    21: ("W", 1, 1),
    22: ("W", 10**3, 1),
    23: ("W", 10**6, 1),
    24: ("W", 10**9, 1),
    37: ("Cel", 1, 1),
    39: ("m3", 1, 1000),
    40: ("m3", 1, 1),
    41: ("m3/h", 1, 1000),
    42: ("m3/h", 1, 1),
    55: ("m3", 10, 1),
    57: ("kW.h", 10**10, JOULES_PER_KWH),
}
"""Unit code -> unit of the registry, and the exact factor to it."""
_UNIT_OF: Mapping[str, str] = {
    "heat.energy": "kW.h",
    "heat.volume": "m3",
    "water.flow": "m3/h",
    "heat.power": "W",
    "heat.flow_temperature": "Cel",
    "heat.return_temperature": "Cel",
}


class KmpOptions(BaseModel):
    """Which part of the meter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    destination: int = Field(
        default=HEAT_METER,
        ge=0,
        le=255,
        description="Who is asked: 63 (3F) is the heat meter, 127 (7F) and 191 (BF) are modules.",
    )


class Kmp:
    """Yields energy, volume, flow, power and both temperatures of a MULTICAL."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="kmp",
        title="Kamstrup MULTICAL heat meter, optical head or KMP interface",
        domain="energy",
        quantities=tuple(register.quantity for register in REGISTERS.values()),
        interval_s=900.0,
        lines=(SerialLine(1200, stopbits=2),),
        privacy="P3",
        document="Kamstrup, Technical description MULTICAL 601, data communication (KMP)",
    )
    Options: ClassVar[type[BaseModel]] = KmpOptions

    def __init__(self, options: KmpOptions) -> None:
        self._destination = options.destination

    def requests(self) -> Iterator[Request]:
        """Yield the one question of a round: all registers at once."""
        numbers = b"".join(number.to_bytes(2, "big") for number in REGISTERS)
        payload = bytes((self._destination, GET_REGISTERS, len(REGISTERS))) + numbers
        yield Request(
            build(TO_METER, payload),
            answer_length,
            timeout_s=ANSWER_TIMEOUT_S,
            quiet_s=QUIET_S,
            tag="registers",
        )

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:  # noqa: ARG002
        """Take the answer; return readings and faults."""
        if not data:
            return (Fault("timeout", "the meter does not answer"),)
        payload, faults = find_payload(data)
        if payload is None:
            return faults
        if payload[:2] != bytes((self._destination, GET_REGISTERS)):
            return [*faults, Fault("unknown", "the answer to another question")]
        return [*faults, *_registers(payload[2:])]


def _registers(data: bytes) -> list[Outcome]:
    outcomes: list[Outcome] = []
    position = 0
    while position < len(data):
        header = data[position : position + HEADER_BYTES]
        position += HEADER_BYTES
        if len(header) < HEADER_BYTES or position + 1 + header[3] > len(data):
            return [Fault("short", "a register ended too early")]
        number = int.from_bytes(header[:2], "big")
        form = data[position]
        mantissa = data[position + 1 : position + 1 + header[3]]
        position += 1 + header[3]
        outcome = _outcome(number, header[2], form, mantissa)
        if outcome is not None:
            outcomes.append(outcome)
    return outcomes


def _outcome(number: int, unit: int, form: int, mantissa: bytes) -> Outcome | None:
    register = REGISTERS.get(number)
    if register is None or not mantissa:
        return None
    name, times, per = _UNITS.get(unit, ("", 1, 1))
    if name != _UNIT_OF[register.quantity] or len(mantissa) > LONGEST_NUMBER:
        return Fault("unknown", f"register {number} in a unit that it cannot have")
    scale = 10 ** (form & EXPONENT)
    value = int.from_bytes(mantissa, "big") * times * (-1 if form & NEGATIVE else 1)
    exact = value / (per * scale) if form & NEGATIVE_EXPONENT else value * scale / per
    if not register.lowest <= exact <= register.highest:
        return Fault("range", f"{register.quantity} beyond what a meter can show")
    return Measured(register.quantity, exact)
