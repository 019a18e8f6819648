"""Reads the data of a DLMS notification into plain values.

Document: DLMS UA, Blue Book (data types) and Green Book (data-notification); IEC 62056-5-3.
"""

import struct

__all__ = ["NOTIFICATION", "Data", "DlmsError", "notification"]

Data = None | int | float | bytes | str | list["Data"]

NOTIFICATION = 0x0F
"""Tag of a data-notification."""
INVOKE_ID_BYTES = 4
DATE_TIME_BYTES = 12
BOOLEAN = 0x03
OCTET_STRING = 0x09
MAX_DEPTH = 6
ARRAYS = frozenset({0x01, 0x02})
NUMBERS = {
    0x05: ">i",
    0x06: ">I",
    0x0F: ">b",
    0x10: ">h",
    0x11: ">B",
    0x12: ">H",
    0x14: ">q",
    0x15: ">Q",
    0x16: ">B",
    0x17: ">f",
    0x18: ">d",
}
FIXED = {0x19: DATE_TIME_BYTES, 0x1A: 5, 0x1B: 4}
"""Date-time, date, time."""


class DlmsError(ValueError):
    """The bytes are no notification, or hold a type that meters do not push."""


def notification(apdu: bytes) -> Data:
    """Return the body of a data-notification; raise DlmsError if it is none, or not whole.

    The time in its head is left out: it is the meter's own clock.
    """
    if len(apdu) < INVOKE_ID_BYTES + 2 or apdu[0] != NOTIFICATION:
        raise DlmsError("no data-notification")
    position = 1 + INVOKE_ID_BYTES
    if apdu[position] == OCTET_STRING:  # Kaifa writes the type, which the standard leaves out
        position += 1
    length = apdu[position] if position < len(apdu) else DATE_TIME_BYTES
    if length not in (0, DATE_TIME_BYTES):
        raise DlmsError("no date and time")
    value, end = _data(apdu, position + 1 + length, 0)
    if end != len(apdu):
        raise DlmsError("more or less data than announced")
    return value


def _data(apdu: bytes, position: int, depth: int) -> tuple[Data, int]:
    """Return one value and where the next one starts."""
    if position >= len(apdu) or depth > MAX_DEPTH:
        raise DlmsError("cut off, or too deep")
    tag = apdu[position]
    position += 1
    if tag == 0:
        return None, position
    if tag in NUMBERS:
        form = NUMBERS[tag]
        if position + struct.calcsize(form) > len(apdu):
            raise DlmsError("a number is cut off")
        return struct.unpack_from(form, apdu, position)[0], position + struct.calcsize(form)
    if tag in ARRAYS:
        return _array(apdu, position, depth)
    if tag == BOOLEAN:  # says nothing that is read
        return None, position + 1
    if tag in FIXED:
        stop = position + FIXED[tag]
        return apdu[position:stop], stop
    if tag not in (OCTET_STRING, 0x0A, 0x0C):
        raise DlmsError(f"data of type {tag}")
    length, position = _length(apdu, position)
    text = apdu[position : position + length]
    value = text if tag == OCTET_STRING else text.decode("latin-1")
    return value, position + length


def _array(apdu: bytes, position: int, depth: int) -> tuple[Data, int]:
    count, position = _length(apdu, position)
    if count > len(apdu) - position:  # each value has at least one byte
        raise DlmsError("more values announced than there is room for")
    values = []
    for _ in range(count):
        value, position = _data(apdu, position, depth + 1)
        values.append(value)
    return values, position


def _length(apdu: bytes, position: int) -> tuple[int, int]:
    """Return a length in one byte, or in as many as the first one says, and what follows."""
    if position >= len(apdu):
        raise DlmsError("a length is cut off")
    first = apdu[position]
    if first < 0x80:
        return first, position + 1
    stop = position + 1 + (first & 0x7F)
    return int.from_bytes(apdu[position + 1 : stop], "big"), stop
