"""The variable data of an M-Bus telegram: records of DIF, VIF and value (EN 13757-3)."""

import math
import struct
from typing import NamedTuple

__all__ = ["BadRecords", "Record", "parse_records"]

EXTENDED = 0x80
MAX_EXTENSIONS = 10
"""So many DIFE and so many VIFE may follow; more is no telegram."""
FILLER, MANUFACTURER_DATA, MORE_FOLLOWS = 0x2F, 0x0F, 0x1F
PLAIN_TEXT = 0x7C
FIRST_EXTENSION, SECOND_EXTENSION = 0xFB, 0xFD
INTEGER_BYTES = {0x1: 1, 0x2: 2, 0x3: 3, 0x4: 4, 0x6: 6, 0x7: 8}
BCD_BYTES = {0x9: 1, 0xA: 2, 0xB: 3, 0xC: 4, 0xE: 6}
FLOAT, VARIABLE, SPECIAL = 0x5, 0xD, 0xF
NO_DATA = (0x0, 0x8)
LONGEST_TEXT = 0xBF
VARIABLE_BCD = (0xC0, 0xC9)
VARIABLE_NEGATIVE_BCD = (0xD0, 0xD9)
VARIABLE_INTEGER = (0xE0, 0xEF)
DIGITS = frozenset("0123456789")


class BadRecords(ValueError):
    """The records do not fit into the telegram; nothing in it can be believed."""


class Record(NamedTuple):
    """One record; ``value`` is None where there is no number."""

    function: int
    """0 instantaneous, 1 maximum, 2 minimum, 3 value during an error."""
    storage: int
    """0 is now; the others are stored values of other times."""
    tariff: int
    subunit: int
    vif: int | str
    """0x06, 0xFD48 with its extension table, or the text of a unit in plain text."""
    vifes: bytes
    value: int | float | None


class _Reader:
    """Takes bytes from the front; BadRecords when there are not enough."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        stop = self._position + count
        if stop > len(self._data):
            raise BadRecords("a record ended too early")
        taken = self._data[self._position : stop]
        self._position = stop
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def extensions(self, first: int) -> bytes:
        """Return what follows a byte whose highest bit says that more follows."""
        found = bytearray()
        last = first
        while last & EXTENDED:
            if len(found) == MAX_EXTENSIONS:
                raise BadRecords("too many extensions of a record")
            last = self.byte()
            found.append(last)
        return bytes(found)

    @property
    def left(self) -> bool:
        return self._position < len(self._data)


def parse_records(data: bytes) -> tuple[list[Record], bool]:
    """Return all records, and whether another telegram follows. BadRecords if they do not fit.

    What only its manufacturer understands is passed over.
    """
    reader = _Reader(data)
    records: list[Record] = []
    while reader.left:
        dif = reader.byte()
        if dif == FILLER:
            continue
        if dif in (MANUFACTURER_DATA, MORE_FOLLOWS):
            return records, dif == MORE_FOLLOWS
        if dif & 0x0F == SPECIAL:
            raise BadRecords("a record of a reserved kind")
        records.append(_record(reader, dif))
    return records, False


def _record(reader: _Reader, dif: int) -> Record:
    storage, tariff, subunit = dif >> 6 & 1, 0, 0
    for index, dife in enumerate(reader.extensions(dif)):
        storage |= (dife & 0x0F) << (4 * index + 1)
        tariff |= (dife >> 4 & 0x03) << (2 * index)
        subunit |= (dife >> 6 & 0x01) << index
    vif, vifes = _vif(reader)
    return Record(dif >> 4 & 0x03, storage, tariff, subunit, vif, vifes, _value(reader, dif & 0x0F))


def _vif(reader: _Reader) -> tuple[int | str, bytes]:
    first = reader.byte()
    if first & 0x7F == PLAIN_TEXT:
        text = reader.take(reader.byte())[::-1].decode("latin-1")
        return text, reader.extensions(first)
    vifes = reader.extensions(first)
    if first in (FIRST_EXTENSION, SECOND_EXTENSION):
        return first << 8 | vifes[0] & 0x7F, vifes[1:]
    return first & 0x7F, vifes


def _value(reader: _Reader, kind: int) -> int | float | None:
    if kind in INTEGER_BYTES:
        return _integer(reader.take(INTEGER_BYTES[kind]))
    if kind in BCD_BYTES:
        return _bcd(reader.take(BCD_BYTES[kind]))
    if kind == FLOAT:
        number = float(struct.unpack("<f", reader.take(4))[0])
        return number if math.isfinite(number) else None
    if kind == VARIABLE:
        return _variable(reader)
    if kind in NO_DATA:
        return None
    raise BadRecords("data of a reserved kind")


def _variable(reader: _Reader) -> int | None:
    length = reader.byte()
    if length <= LONGEST_TEXT:
        reader.take(length)
        return None
    for (first, last), sign in ((VARIABLE_BCD, 1), (VARIABLE_NEGATIVE_BCD, -1)):
        if first <= length <= last:
            number = _bcd(reader.take(length - first))
            return None if number is None else sign * number
    if VARIABLE_INTEGER[0] <= length <= VARIABLE_INTEGER[1]:
        return _integer(reader.take(length - VARIABLE_INTEGER[0]))
    raise BadRecords("data of a reserved length")


def _integer(raw: bytes) -> int | None:
    """Return a signed number, low byte first; the lowest one means "invalid"."""
    number = int.from_bytes(raw, "little", signed=True)
    return None if not raw or number == -1 << (8 * len(raw) - 1) else number


def _bcd(raw: bytes) -> int | None:
    """Return a decimal number, low byte first; an F in front is a minus, other letters no value."""
    text = raw[::-1].hex()
    sign = 1
    if text.startswith("f"):
        sign, text = -1, text[1:]
    return sign * int(text) if text and DIGITS.issuperset(text) else None
