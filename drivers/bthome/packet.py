"""From the bytes of a packet to its objects, v2 and v1."""

import struct
from math import isfinite
from typing import NamedTuple

from drivers.bthome.objects import OBJECTS, PACKET_ID, variable_length
from drivers.float32 import shortest
from gateway.reading import Fault

__all__ = ["MOST_OF_A_KIND", "Found", "Packet", "packet", "packet_v1"]

MOST_OF_A_KIND = 16
"""The rest is passed over: no device has more of one property, and each would be a series."""
LENGTH_MASK_V1 = 0x1F
FORMAT_SHIFT_V1 = 5
UNSIGNED, SIGNED, FLOAT = 0, 1, 2
"""Formats of v1; the others are text and an address."""
LONGEST_WHOLE_V1 = 4
"""Bytes of a whole number; v1 would allow 30."""
FLOATS = {2: struct.Struct("<e"), 4: struct.Struct("<f"), 8: struct.Struct("<d")}
SINGLE = 4


class Found(NamedTuple):
    """One object of a packet that may become a reading."""

    object_id: int
    number: int
    """How many of its property came before it."""
    raw: float | None
    """None if what stands there is no number."""
    span: int
    """The object begins anew at 0 after so many; 0 if it is no unsigned whole number."""


class Packet(NamedTuple):
    """What one packet holds; what stands before a damaged or unknown object is kept."""

    found: list[Found]
    faults: list[Fault]
    has_id: bool


def packet(payload: bytes) -> Packet:
    """Take a v2 packet apart: ids that say how long their objects are, and these."""
    found: list[Found] = []
    names: list[str] = []
    has_id = False
    position = 0
    while position < len(payload):
        object_id = payload[position]
        position += 1
        known = OBJECTS.get(object_id)
        length = variable_length(object_id, payload, position) if known is None else known.length
        if length is None:
            # Nobody knows how long it is, so nothing behind it can be read.
            return Packet(found, [Fault("unknown", f"object id {object_id:#04x}")], has_id)
        end = position + length
        if end > len(payload):
            return Packet(found, [Fault("short", f"object id {object_id:#04x} cut off")], has_id)
        if object_id == PACKET_ID:
            has_id = True
        elif known is not None and known.name:
            number = names.count(known.name)
            names.append(known.name)
            raw = int.from_bytes(payload[position:end], "little", signed=known.signed)
            if number < MOST_OF_A_KIND:
                found.append(Found(object_id, number, raw, 0 if known.signed else 1 << 8 * length))
        position = end
    return Packet(found, [], has_id)


def packet_v1(payload: bytes) -> Packet:
    """Take a v1 packet apart: its objects say how long and of which form they are."""
    found: list[Found] = []
    faults: list[Fault] = []
    names: list[str] = []
    has_id = False
    position = 0
    while position < len(payload):
        length = payload[position] & LENGTH_MASK_V1
        form = payload[position] >> FORMAT_SHIFT_V1
        content = payload[position + 1 : position + 1 + length]
        if not content or len(content) < length:
            faults.append(Fault("short", "object cut off"))
            break
        known = OBJECTS.get(content[0])
        raw = _value(form, content[1:])
        if content[0] == PACKET_ID:
            has_id = True
        elif known is None:
            faults.append(Fault("unknown", f"object id {content[0]:#04x}"))
        elif known.name:
            number = names.count(known.name)
            names.append(known.name)
            span = 1 << 8 * (length - 1) if form == UNSIGNED else 0
            if number < MOST_OF_A_KIND:
                found.append(Found(content[0], number, raw, span))
        position += 1 + length
    return Packet(found, faults, has_id)


def _value(form: int, content: bytes) -> float | None:
    """Return the number, or None if it is none: a text, an address, nothing, not a number."""
    if form == FLOAT:
        layout = FLOATS.get(len(content))
        value = layout.unpack(content)[0] if layout is not None else float("nan")
        if not isfinite(value):
            return None
        return shortest(value) if len(content) == SINGLE else float(value)
    if form not in (UNSIGNED, SIGNED) or not 0 < len(content) <= LONGEST_WHOLE_V1:
        return None
    return int.from_bytes(content, "little", signed=form == SIGNED)
