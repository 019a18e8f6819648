"""Reads the fields of the NMEA 0183 sentences that tell place and time.

GGA, GNS and RMC tell the place, RMC and ZDA the date; any talker. Empty fields are missing. Of a
receiver without a fix, or with a dead-reckoned, typed-in or simulated one, neither place nor time
is believed. Document: NMEA 0183, version 4.11, and u-blox, M10 interface description, section 2.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

__all__ = ["NOT_BEFORE", "READERS", "FieldError", "Heard", "OutOfRange"]

NOT_BEFORE = date(2026, 11, 1)
"""No receiver that shows an earlier date is right: its count of weeks has rolled over."""
CENTURY_PIVOT = 80
"""RMC has two digits of the year; GPS began in 1980."""
CLOCK = re.compile(rb"([0-9]{2})([0-9]{2})([0-9]{2})(?:\.([0-9]{0,9}))?")
DAY = re.compile(rb"([0-9]{2})([0-9]{2})([0-9]{4}|[0-9]{2})")
LATITUDE = re.compile(rb"([0-9]{2})([0-9]{2}(?:\.[0-9]{0,9})?)")
LONGITUDE = re.compile(rb"([0-9]{3})([0-9]{2}(?:\.[0-9]{0,9})?)")
NUMBER = re.compile(rb"-?[0-9]{1,6}(?:\.[0-9]{0,6})?")
COUNT = re.compile(rb"[0-9]{1,3}")
FIXED_QUALITIES = frozenset((b"1", b"2", b"3", b"4", b"5", b"9"))
"""Of GGA: satellites, differential, precise, RTK, float RTK; some makers write 9 for SBAS."""
FIXED_MODES = frozenset(b"ADFPR")
"""Of GNS, one letter a system, and of RMC: autonomous, differential, float RTK, precise, RTK."""
SIGNS: Mapping[bytes, int] = {b"N": 1, b"E": 1, b"S": -1, b"W": -1}
HIGHEST_SATELLITES = 99
LOWEST_M, HIGHEST_M = -1000.0, 18_288.0
"""Receivers that may be sold stop at 60,000 ft."""
REPEATED = 64
"""So many texts are remembered that come again and again; of times and places the newest two."""
NS_PER_S = 1_000_000_000
FIRST_DAY = date(1970, 1, 1)


class FieldError(ValueError):
    """A field of a good sentence is not what the document says."""


class OutOfRange(FieldError):
    """A number that no receiver can mean."""


class Heard(NamedTuple):
    """What one sentence says; None: nothing about that."""

    is_fixed: bool | None = None
    """The receiver knows where it is."""
    second: float | None = None
    """UTC, second of the day."""
    place: tuple[float, float] | None = None
    """Latitude and longitude in degrees, north and east positive; only of a fix."""
    altitude_m: float | None = None
    """Above mean sea level; only of a fix."""
    satellites: int | None = None
    """In use."""
    utc_ns: int | None = None
    """Since 1970; of RMC only with a fix."""
    problem: FieldError | None = None
    """Why the date, but not the rest, cannot be used."""


def _gga(fields: Sequence[bytes]) -> Heard:
    return _fix(fields, is_fixed=fields[6] in FIXED_QUALITIES)


def _gns(fields: Sequence[bytes]) -> Heard:
    return _fix(fields, is_fixed=not FIXED_MODES.isdisjoint(fields[6]))


def _fix(fields: Sequence[bytes], *, is_fixed: bool) -> Heard:
    """Read what GGA and GNS have in the same fields."""
    second, lat, north, lon, east, _, satellites, _, altitude = fields[1:10]
    return Heard(
        is_fixed,
        _second(second),
        _place(lat, north, lon, east) if is_fixed else None,
        _altitude(altitude) if is_fixed else None,
        _count(satellites),
    )


def _rmc(fields: Sequence[bytes]) -> Heard:
    second, status, lat, north, lon, east, _, _, day = fields[1:10]
    mode = fields[12] if len(fields) > 12 else b""
    is_fixed = status == b"A" and (not mode or mode[0] in FIXED_MODES)
    told_s = _second(second)
    if not is_fixed:
        return Heard(is_fixed=False, second=told_s)
    place = _place(lat, north, lon, east)
    if not day or told_s is None:
        return Heard(is_fixed, told_s, place)
    try:
        utc_ns = _midnight_ns(day) + round(told_s * NS_PER_S)
    except FieldError as problem:
        return Heard(is_fixed, told_s, place, problem=problem)
    return Heard(is_fixed, told_s, place, None, None, utc_ns)


def _zda(fields: Sequence[bytes]) -> Heard:
    second, day, month, year = fields[1:5]
    told_s = _second(second)
    if told_s is None or not (day and month and year):
        return Heard(second=told_s)
    try:
        midnight_ns = _midnight_ns(b"".join((day, month, year)))
        return Heard(second=told_s, utc_ns=midnight_ns + round(told_s * NS_PER_S))
    except FieldError as problem:
        return Heard(second=told_s, problem=problem)


READERS: Mapping[bytes, tuple[int, Callable[[Sequence[bytes]], Heard]]] = {
    b"GGA": (10, _gga),
    b"GNS": (10, _gns),
    b"RMC": (10, _rmc),
    b"ZDA": (5, _zda),
}
"""Type of sentence -> the fewest fields, the address included, and what reads them."""


def _match(pattern: re.Pattern[bytes], field: bytes) -> tuple[bytes, ...]:
    match = pattern.fullmatch(field)
    if match is None:
        raise FieldError("a field that is not as the standard says")
    return match.groups()


@lru_cache(maxsize=2)
def _second(field: bytes) -> float | None:
    if not field:
        return None
    hours, minutes, seconds, fraction = _match(CLOCK, field)
    hour, minute, second = int(hours), int(minutes), int(seconds)
    if hour > 23 or minute > 59 or second > 60:  # 60: a leap second
        raise OutOfRange("a time of day that no clock shows")
    return hour * 3600 + minute * 60 + second + float(b"0." + (fraction or b"0"))


@lru_cache(maxsize=2)
def _place(lat: bytes, north: bytes, lon: bytes, east: bytes) -> tuple[float, float] | None:
    if not (lat and north and lon and east):
        return None
    if north not in SIGNS or east not in SIGNS:
        raise FieldError("a half of the globe that is none")
    return _angle(LATITUDE, lat, 90) * SIGNS[north], _angle(LONGITUDE, lon, 180) * SIGNS[east]


def _angle(pattern: re.Pattern[bytes], field: bytes, highest: int) -> float:
    degrees, text = _match(pattern, field)
    minutes = float(text)
    angle = int(degrees) + minutes / 60
    if minutes >= 60 or angle > highest:
        raise OutOfRange("a place that is not on the globe")
    return angle


@lru_cache(maxsize=REPEATED)
def _altitude(field: bytes) -> float | None:
    if not field:
        return None
    if NUMBER.fullmatch(field) is None:
        raise FieldError("an altitude that is no number")
    altitude_m = float(field)
    if not LOWEST_M <= altitude_m <= HIGHEST_M:
        raise OutOfRange("an altitude beyond the receiver's range")
    return altitude_m


@lru_cache(maxsize=REPEATED)
def _count(field: bytes) -> int | None:
    if not field:
        return None
    if COUNT.fullmatch(field) is None:
        raise FieldError("a number of satellites that is none")
    count = int(field)
    if count > HIGHEST_SATELLITES:
        raise OutOfRange("more satellites than there are")
    return count


@lru_cache(maxsize=2)
def _midnight_ns(field: bytes) -> int:
    """Return the beginning of a day, written ddmmyy or ddmmyyyy, in ns since 1970."""
    day, month, year = map(int, _match(DAY, field))
    if year < 100:
        year += 1900 if year >= CENTURY_PIVOT else 2000
    if year >= 2000 + CENTURY_PIVOT:
        raise OutOfRange("a date that RMC could not tell")
    try:
        told = date(year, month, day)
    except ValueError as error:
        raise OutOfRange("a date that no calendar has") from error
    if told < NOT_BEFORE:
        raise OutOfRange("a date that has been: the receiver's count of weeks has rolled over")
    return (told - FIRST_DAY).days * 86_400 * NS_PER_S
