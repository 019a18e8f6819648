"""The wire format of protocol buffers, as much of it as Sparkplug needs, and nothing generated.

The official library would be one more dependency with compiled parts for a schema of two levels.
Source: the encoding page of the protocol buffers documentation. Reading never recurses: a nested
message is handed out as bytes, so depth is what the caller asks for.
"""

from collections.abc import Iterator
from struct import Struct
from typing import Literal, NamedTuple

__all__ = [
    "BYTES",
    "FIXED32",
    "FIXED64",
    "VARINT",
    "Field",
    "blob",
    "double",
    "fields",
    "unsigned",
    "varint",
]

VARINT: Literal[0] = 0
FIXED64: Literal[1] = 1
BYTES: Literal[2] = 2
FIXED32: Literal[5] = 5
FIXED_SIZES = {FIXED64: 8, FIXED32: 4}
MAX_VARINT_BYTES = 10
"""64 bits in groups of seven."""
MAX_FIELD_NUMBER = (1 << 29) - 1
MASK64 = (1 << 64) - 1
_DOUBLE = Struct("<d")


class Field(NamedTuple):
    """One field as it was read; ``data`` belongs to the length-delimited and fixed kinds."""

    number: int
    kind: int
    value: int = 0
    data: bytes = b""


def varint(number: int) -> bytes:
    """Return a base-128 varint of a number from 0 to 2^64 - 1."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def unsigned(field: int, number: int) -> bytes:
    """Return a whole field of kind varint; a negative number as its 64-bit two's complement."""
    return varint(field << 3 | VARINT) + varint(number & MASK64)


def double(field: int, number: float) -> bytes:
    """Return a whole field of kind double."""
    return varint(field << 3 | FIXED64) + _DOUBLE.pack(number)


def blob(field: int, data: bytes) -> bytes:
    """Return a whole length-delimited field: bytes, UTF-8 text or a nested message."""
    return varint(field << 3 | BYTES) + varint(len(data)) + data


def fields(data: bytes) -> Iterator[Field]:
    """Yield the fields of one message in the order in which they stand.

    Raises ValueError for anything that is no message: cut off, a number that does not fit 64 bits,
    a field number out of range, the deprecated groups.
    """
    at, end = 0, len(data)
    while at < end:
        key, at = _read_varint(data, at)
        number, kind = key >> 3, key & 7
        if not 1 <= number <= MAX_FIELD_NUMBER:
            raise ValueError("a field number that cannot be")
        if kind == VARINT:
            value, at = _read_varint(data, at)
            yield Field(number, kind, value)
            continue
        if kind == BYTES:
            size, at = _read_varint(data, at)
        elif kind in FIXED_SIZES:
            size = FIXED_SIZES[kind]
        else:
            raise ValueError("a kind of field that does not exist")
        if size > end - at:
            raise ValueError("a field that goes on after the end")
        yield Field(number, kind, data=data[at : at + size])
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = 0
    for index, byte in enumerate(data[at : at + MAX_VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            if number > MASK64:
                break
            return number, at + index + 1
    raise ValueError("a number that is cut off or too long")
