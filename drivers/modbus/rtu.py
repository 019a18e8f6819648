"""Modbus RTU, as far as a master needs it that only reads registers.

Written from "MODBUS over Serial Line V1.02" and "MODBUS Application Protocol V1.1b3"
(modbus.org). Pure functions; nothing raises for bad bytes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

from drivers.checks import crc16_modbus

__all__ = [
    "EXCEPTIONS",
    "ILLEGAL_ADDRESS",
    "MAX_REGISTERS",
    "READ_HOLDING",
    "READ_INPUT",
    "Answer",
    "damage",
    "find_answer",
    "read_request",
    "with_crc",
]

READ_HOLDING, READ_INPUT = 3, 4
ERROR_BIT = 0x80
MAX_REGISTERS = 125
ERROR_BYTES = 5
"""Unit, function, code and two bytes of CRC."""
EXTRA_BYTES = 5
"""Beside its registers an answer has unit, function, count and two bytes of CRC."""
REMEMBERED_HEADS = 256
"""Of questions that are asked again and again."""
ILLEGAL_ADDRESS = 2
EXCEPTIONS: Mapping[int, str] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledged, not ready yet",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}


class Answer(NamedTuple):
    """A good answer among the bytes that came."""

    data: bytes
    """The registers, two bytes each; empty for an exception."""
    exception: int
    """0 where there is none."""
    end: int
    """Where it ends in the bytes that came."""


def with_crc(frame: bytes) -> bytes:
    """Return a frame with its check value behind it."""
    return frame + crc16_modbus(frame).to_bytes(2, "little")


def read_request(unit: int, function: Literal[3, 4], address: int, count: int) -> bytes:
    """Return the question for ``count`` registers from ``address`` (from 0) on."""
    return with_crc(bytes((unit, function)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))


def find_answer(data: bytes, unit: int, function: int, count: int) -> Answer | None:
    """Return the answer to a question wherever it begins in ``data``; None if there is none.

    Everything is checked: unit, function, byte count and CRC. So neither noise before it nor the
    late answer of another device is taken for it.
    """
    normal, error = _heads(unit, function, count)
    size = EXTRA_BYTES + 2 * count
    start = data.find(unit)
    while start >= 0:
        if data.startswith(normal, start):
            end = start + size
            if end <= len(data) and _is_right(data[start:end]):
                return Answer(data[start + 3 : end - 2], 0, end)
        elif data.startswith(error, start):
            end = start + ERROR_BYTES
            if end <= len(data) and data[start + 2] and _is_right(data[start:end]):
                return Answer(b"", data[start + 2], end)
        start = data.find(unit, start + 1)
    return None


@lru_cache(REMEMBERED_HEADS)
def _heads(unit: int, function: int, count: int) -> tuple[bytes, bytes]:
    """Return how a normal answer to a question begins, and one that refuses it."""
    return bytes((unit, function, 2 * count)), bytes((unit, function | ERROR_BIT))


def _is_right(frame: bytes) -> bool:
    """Tell whether the CRC is right: over a frame with its own CRC behind it it comes to 0."""
    return not crc16_modbus(frame)


def damage(
    data: bytes, unit: int, function: int, count: int
) -> Literal["timeout", "echo", "short", "checksum", "noise"]:
    """Return what is wrong with bytes that hold no answer."""
    if not data:
        return "timeout"
    if data == with_crc(data[:6]) and data[0] == unit and data[4:6] == count.to_bytes(2, "big"):
        return "echo"
    start = data.find(bytes((unit, function)))
    size = data[start + 2 : start + 3]
    if start < 0 or (size and size[0] != 2 * count):
        return "noise"
    return "short" if len(data) - start < EXTRA_BYTES + 2 * count else "checksum"
