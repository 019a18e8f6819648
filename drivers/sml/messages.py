"""Reads the messages of an SML file down to the list of values.

Document: SML 1.04 (BSI TR-03109-1, annex IV), section 6 (messages) and 7 (coding).
"""

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Entry", "SmlError", "entries"]

Value = None | bool | int | bytes | list["Value"]

GET_LIST_RESPONSE = 0x0701
END_OF_MESSAGE = b"\x00"
MESSAGE_FIELDS = 6
ENTRY_FIELDS = 7
OBIS_BYTES = 6
MAX_DEPTH = 8
MAX_LENGTH_BYTES = 3
MAX_NUMBER_BYTES = 8
OCTETS, BOOLEAN, INTEGER, UNSIGNED, LIST = 0, 4, 5, 6, 7


class SmlError(ValueError):
    """The bytes are no SML messages."""


class Entry(NamedTuple):
    """One value of a meter, as it stands in the file."""

    server: bytes
    """Identifies the meter: maker and serial number."""
    code: bytes
    status: int | None
    unit: int | None
    exponent: int
    value: int


def entries(file: bytes) -> list[Entry]:
    """Return all numbers of all lists in the messages of a file; raise SmlError if it is damaged.

    Texts, keys and empty values are left out.
    """
    found: list[Entry] = []
    position = 0
    while position < len(file):
        message, position = _value(file, position, 0)
        if not isinstance(message, list) or len(message) != MESSAGE_FIELDS:
            raise SmlError("no message")
        found += _entries(message[3])
    return found


def _entries(body: Value) -> Iterator[Entry]:
    match body:
        case [int(kind), [_, server, _, _, [*values], _, _]] if kind == GET_LIST_RESPONSE:
            maker = server if isinstance(server, bytes) else b""
        case _:
            return
    for value in values:
        if not isinstance(value, list) or len(value) != ENTRY_FIELDS:
            raise SmlError("no entry of a list")
        code, status, _, unit, exponent, number, _ = value
        is_number = isinstance(number, int) and not isinstance(number, bool)
        if is_number and isinstance(code, bytes) and len(code) == OBIS_BYTES:
            yield Entry(
                maker,
                code,
                _number(status),
                _number(unit),
                _number(exponent) or 0,
                _number(number) or 0,
            )


def _number(value: Value) -> int | None:
    return value if isinstance(value, int) else None


def _value(file: bytes, position: int, depth: int) -> tuple[Value, int]:
    """Return one value and where the next one starts."""
    if file[position : position + 1] == END_OF_MESSAGE:  # the last field of each message
        return None, position + 1
    kind, length, start = _head(file, position)
    if kind == LIST:
        if depth == MAX_DEPTH or length > len(file) - start:
            raise SmlError("too deep, or more values than there is room for")
        values = []
        for _ in range(length):
            value, start = _value(file, start, depth + 1)
            values.append(value)
        return values, start
    stop = position + length
    if stop < start or stop > len(file):
        raise SmlError("a value is cut off")
    data = file[start:stop]
    if kind == OCTETS:
        return data or None, stop
    if kind == BOOLEAN:
        return data != b"\x00", stop
    if kind not in (INTEGER, UNSIGNED) or not 0 < len(data) <= MAX_NUMBER_BYTES:
        raise SmlError("a value of an unknown type")
    return int.from_bytes(data, "big", signed=kind == INTEGER), stop


def _head(file: bytes, position: int) -> tuple[int, int, int]:
    """Return type, length and where the content starts; the length counts the head, in lists not.

    The highest bit says that another byte of length follows.
    """
    length = kind = 0
    for used in range(MAX_LENGTH_BYTES):
        if position + used >= len(file):
            raise SmlError("cut off")
        byte = file[position + used]
        kind = kind if used else byte >> 4 & 0x07
        length = length << 4 | byte & 0x0F
        if not byte & 0x80:
            return kind, length, position + used + 1
    raise SmlError("a length that is too long")
