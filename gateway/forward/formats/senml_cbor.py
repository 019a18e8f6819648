"""SenML records as CBOR (RFC 8428 section 6, RFC 8949), written without a CBOR library.

Numbers are integers, decimal fractions (tag 4) or doubles, whichever is shortest and gives the same
double again; never half or single precision, which would change 8.4.
"""

from collections.abc import Sequence
from decimal import Decimal
from struct import Struct

from gateway.forward.formats.senml_records import Base, Head, Writer

__all__ = ["CborWriter"]

LABELS = {"v": 2, "vs": 3, "vb": 4}
NAME, UNIT, TIME = b"\x00", b"\x01", b"\x06"
BASE_VERSION, BASE_NAME, BASE_TIME, BASE_UNIT = b"\x20", b"\x21", b"\x22", b"\x23"
"""The integers -1, -2, -3, -4."""

UNSIGNED, NEGATIVE, TEXT, ARRAY, MAP = 0x00, 0x20, 0x60, 0x80, 0xA0
"""Major types, in the three upper bits of the first byte."""
FALSE, TRUE = b"\xf4", b"\xf5"
DECIMAL_FRACTION = b"\xc4\x82"
"""Tag 4 and an array of two: exponent, mantissa."""
DOUBLE = 0xFB
TINY, BYTE, SHORT, WORD, LONG = 24, 1 << 8, 1 << 16, 1 << 32, 1 << 64
"""Where the argument of a head grows to 0, 1, 2, 4 and 8 bytes."""
EXACT_POWER = 22
"""10**22 is the largest power of ten that a double holds: up to here even a decoder that divides
doubles gets the right one."""
US_PER_S = 1_000_000

_double = Struct(">Bd").pack
_head_1 = Struct(">BB").pack
_head_2 = Struct(">BH").pack
_head_4 = Struct(">BI").pack
_head_8 = Struct(">BQ").pack


def _head(major: int, argument: int) -> bytes:
    if argument < TINY:
        return bytes((major | argument,))
    if argument < BYTE:
        return _head_1(major | 24, argument)
    if argument < SHORT:
        return _head_2(major | 25, argument)
    if argument < WORD:
        return _head_4(major | 26, argument)
    return _head_8(major | 27, argument)


def _integer(value: int) -> bytes:
    return _head(UNSIGNED, value) if value >= 0 else _head(NEGATIVE, -1 - value)


_EXPONENTS = tuple(DECIMAL_FRACTION + _integer(-power) for power in range(EXACT_POWER + 1))
"""Tag, array and exponent of 10**0, 10**-1, …"""


class CborWriter(Writer[bytes]):
    """Writes the pieces of a pack as bytes."""

    def head(self, name: str, unit: str, label: str) -> Head[bytes]:
        """Return a map's first byte, name, unit and the label of the value."""
        fields = NAME + self.text(name) if name else b""
        if unit:
            fields += UNIT + self.text(unit)
        fields += _integer(LABELS[label])
        count = 1 + bool(name) + bool(unit)
        return Head(plain=_head(MAP, count) + fields, timed=_head(MAP, count + 1) + fields)

    def number(self, value: float) -> bytes:
        """Return the shortest exact form; minus zero is a double, to keep its sign."""
        if value.is_integer() and -LONG <= value < LONG:
            return _integer(int(value)) if value else _zero(value)
        whole, _, fraction = repr(value).partition(".")
        power = len(fraction)
        if power > EXACT_POWER or not fraction.isdigit():  # 1e-07, 1.5e+300
            return self.decimal(Decimal(repr(value)))
        mantissa = int(whole + fraction)
        if -WORD <= mantissa < WORD:
            return _EXPONENTS[power] + _integer(mantissa)
        return _double(DOUBLE, value)

    def decimal(self, value: Decimal) -> bytes:
        """Return an integer, a decimal fraction, or the double whose shortest text it is."""
        if not value:
            return _zero(float(value))
        sign, digits, exponent = value.normalize().as_tuple()
        mantissa = int("".join(map(str, digits))) * (-1 if sign else 1)
        power = int(exponent)
        if power >= 0 and -LONG <= mantissa * 10**power < LONG:
            return _integer(mantissa * 10**power)
        exact = DECIMAL_FRACTION + _integer(power) + _integer(mantissa)
        nearest = float(value)
        is_easy = -EXACT_POWER <= power < 0 and abs(mantissa) < WORD
        if not is_easy and Decimal(repr(nearest)) == value:
            return _double(DOUBLE, nearest)
        return exact

    def boolean(self, value: bool) -> bytes:  # noqa: FBT001 - it is the value
        """Return a simple value."""
        return TRUE if value else FALSE

    def text(self, value: str) -> bytes:
        """Return a text string of definite length."""
        utf8 = value.encode()
        return _head(TEXT, len(utf8)) + utf8

    def tail(self, us: int) -> bytes:
        """Return label and time, or nothing for the base time."""
        return TIME + _seconds(us) if us else b""

    def based(self, base: Base, record: bytes) -> bytes:
        """Return the record as a map that is larger by the base fields."""
        fields: list[bytes] = []
        if base.version:
            fields += [BASE_VERSION, _integer(base.version)]
        if base.name:
            fields += [BASE_NAME, self.text(base.name)]
        if base.unit:
            fields += [BASE_UNIT, self.text(base.unit)]
        if base.time_us:
            fields += [BASE_TIME, _seconds(base.time_us)]
        return bytes((record[0] + len(fields) // 2,)) + b"".join(fields) + record[1:]

    def pack(self, records: Sequence[bytes]) -> bytes:
        """Return an array of maps."""
        return _head(ARRAY, len(records)) + b"".join(records)


def _zero(value: float) -> bytes:
    return b"\x00" if str(value)[0] != "-" else _double(DOUBLE, value)


def _seconds(us: int) -> bytes:
    """Write microseconds as seconds. A double tells them apart until the year 2242 (2**33 s)."""
    if us % US_PER_S == 0:
        return _integer(us // US_PER_S)
    if us % 1000 == 0 and us < WORD * 1000:
        return _EXPONENTS[3] + _integer(us // 1000)
    return _EXPONENTS[6] + _integer(us) if us < WORD else _double(DOUBLE, us / US_PER_S)
