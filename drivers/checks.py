"""The check values that serial devices put behind their frames, by name."""

from binascii import crc_hqx
from collections.abc import Callable, Mapping
from typing import Literal

__all__ = [
    "CHECK_BYTES",
    "ChecksumKind",
    "check_bytes",
    "checker",
    "crc16_arc",
    "crc16_modbus",
    "crc16_x25",
]

ChecksumKind = Literal[
    "sum8",
    "negative8",
    "inverted8",
    "xor8",
    "crc8",
    "sum16",
    "negative16",
    "crc16-modbus",
    "crc16-arc",
    "crc16-xmodem",
    "crc16-ccitt",
]


def _crc8_table() -> bytes:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc << 1 ^ (0x107 if crc & 0x80 else 0)
        table.append(crc)
    return bytes(table)


_CRC8 = _crc8_table()
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Each byte with its bits in the other order: many check values are defined bit by bit as a line
sends them, the least significant one first."""


def _mirrored(crc: int) -> int:
    return _MIRRORED[crc & 0xFF] << 8 | _MIRRORED[crc >> 8]


def _xor8(data: bytes) -> int:
    check = 0
    for byte in data:
        check ^= byte
    return check


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8[crc ^ byte]
    return crc


def crc16_x25(data: bytes) -> int:
    """Return CRC-16/X-25 (ISO/IEC 13239, HDLC and SML); 0x906E for ``123456789``.

    It is sent low byte first. The standard library's ``crc_hqx`` has the same polynomial (0x1021)
    the other way round.
    """
    return _mirrored(crc_hqx(data.translate(_MIRRORED), 0xFFFF) ^ 0xFFFF)


def crc16_modbus(data: bytes) -> int:
    """Return CRC-16/MODBUS; 0x4B37 for ``123456789``. It is sent low byte first."""
    return _folded_crc16(data, 0xFFFF)


def crc16_arc(data: bytes) -> int:
    """Return CRC-16/ARC (P1 telegrams); 0xBB3D for ``123456789``."""
    return _folded_crc16(data, 0)


_FOLDS = [(15 << n, 1 << n, (1 << (15 << n)) - 1) for n in reversed(range(12))]


def _folded_crc16(data: bytes, start: int) -> int:
    """Return the remainder by x^16 + x^15 + x^2 + 1, the least significant bit first.

    The divisor is (x + 1) (x^15 + x + 1). By its second factor x^15 = x + 1, hence x^30 = x^2 + 1,
    x^60 = x^4 + 1 and so on: all bits of a long number at once can be folded into its lower half.
    That takes a seventh of the time of a table and a loop over the bytes of a P1 telegram. By the
    factor x + 1 the remainder is the parity of all bits.
    """
    rest = (int.from_bytes(data.translate(_MIRRORED), "big") << 16) ^ (start << 8 * len(data))
    odd = rest.bit_count() & 1
    for size, shift, mask in _FOLDS[-len(data).bit_length() :]:
        while high := rest >> size:
            rest = (rest & mask) ^ (high << shift) ^ high
    if rest.bit_count() & 1 != odd:
        rest ^= 0x8003
    return _mirrored(rest)


_ORDERS: Mapping[ChecksumKind, Literal["<", ">"]] = {"crc16-modbus": "<", "crc16-arc": "<"}
"""Byte orders that are usual; high byte first for the others."""

CHECK_BYTES: Mapping[ChecksumKind, int] = {
    "sum8": 1,
    "negative8": 1,
    "inverted8": 1,
    "xor8": 1,
    "crc8": 1,
    "sum16": 2,
    "negative16": 2,
    "crc16-modbus": 2,
    "crc16-arc": 2,
    "crc16-xmodem": 2,
    "crc16-ccitt": 2,
}
"""How many bytes each kind has."""

_VALUES: Mapping[ChecksumKind, Callable[[bytes], int]] = {
    "sum8": lambda data: sum(data) & 0xFF,
    "negative8": lambda data: -sum(data) & 0xFF,
    "inverted8": lambda data: ~sum(data) & 0xFF,
    "xor8": _xor8,
    "crc8": _crc8,  # polynomial 0x07, begins with 0
    "sum16": lambda data: sum(data) & 0xFFFF,
    "negative16": lambda data: -sum(data) & 0xFFFF,
    "crc16-modbus": crc16_modbus,
    "crc16-arc": crc16_arc,
    "crc16-xmodem": lambda data: crc_hqx(data, 0),
    "crc16-ccitt": lambda data: crc_hqx(data, 0xFFFF),
}


def check_bytes(
    kind: ChecksumKind, byte_order: Literal["<", ">"] | None = None
) -> Callable[[bytes], bytes]:
    """Return the function from the covered bytes to the bytes of their check value.

    Two bytes stand in the order that is usual for the kind unless ``byte_order`` says otherwise.
    """
    value, size, order = _VALUES[kind], CHECK_BYTES[kind], _order(kind, byte_order)
    return lambda data: value(data).to_bytes(size, order)


def checker(
    kind: ChecksumKind, first: int, behind: int, byte_order: Literal["<", ">"] | None = None
) -> Callable[[bytes], bool]:
    """Return the function that tells whether the check value of a whole frame is right.

    It covers the bytes from ``first`` on but for the last ``behind``, of which the first are the
    check value.
    """
    value, size, order = _VALUES[kind], CHECK_BYTES[kind], _order(kind, byte_order)
    covered, at = slice(first, -behind), -behind
    if kind == "sum8":  # the busiest kinds, without a call between
        return lambda frame: sum(frame[covered]) & 0xFF == frame[at]
    if kind == "negative8":
        both = slice(first, 1 - behind or None)
        return lambda frame: not sum(frame[both]) & 0xFF
    if kind == "sum16" and order == "big":
        return lambda frame: sum(frame[covered]) & 0xFFFF == frame[at] << 8 | frame[at + 1]
    place = slice(at, at + size or None)
    return lambda frame: value(frame[covered]) == int.from_bytes(frame[place], order)


def _order(kind: ChecksumKind, byte_order: Literal["<", ">"] | None) -> Literal["little", "big"]:
    return "little" if (byte_order or _ORDERS.get(kind, ">")) == "<" else "big"
