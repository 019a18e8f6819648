"""What the lines of a P1 telegram mean, as tables from OBIS code to registry quantity.

Serial numbers, text messages, counts of power failures and everything else that is not in the
tables never leaves this module. Documents: DSMR P1 companion standard 5.0.2, section 6.12; the
Swedish H1 recommendation. The codes that all kinds of meters share are in ``drivers.obis``.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from drivers.obis import CODES, Amount, amount, checked, readings
from drivers.obis import QUANTITIES as METER_QUANTITIES
from gateway.reading import Fault, Flag, Measured

__all__ = ["QUANTITIES", "SubMeters", "decode"]

LINE = re.compile(
    r"[\r\n]([0-9])-([0-9]+):([0-9]+\.[0-9]+\.[0-9]+)(?:\*[0-9]+)?"
    r"\(([^()\r\n]*(?:\)\([^()\r\n]*)*)\)(?=[\r\n]|\Z)"
)
LINE_BREAK_IN_LINE = re.compile(r"[\r\n]+\(")
VALUE = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,8})?)\*([A-Za-z0-9]{1,6})")
STAMP = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([SW])")
SUMMER = timezone(timedelta(hours=2))
WINTER = timezone(timedelta(hours=1))
M_BUS_DEVICE = re.compile(r"[0-9]{1,3}")
SUB_METER_CHANNELS = frozenset("1234")
MAX_AGE_S = 86_400.0
MEDIA: Mapping[int, str] = {
    3: "gas.volume",
    4: "heat.energy",
    6: "water.volume",
    7: "water.volume",
    12: "heat.energy",
}
"""By M-Bus device type (EN 13757-3); 6 is warm water, 4 and 12 are heat."""
SUB_METER_UNITS: Mapping[str, str] = {
    "gas.volume": "m3",
    "water.volume": "m3",
    "heat.energy": "kW.h",
}
QUANTITIES: tuple[str, ...] = (*METER_QUANTITIES, *SUB_METER_UNITS)
"""All that ``decode`` can yield."""


class SubMeters:
    """Remembers the last measurement of each of the up to four meters behind this one.

    They report each hour or each five minutes, but every telegram repeats their last value. A
    measurement is known by the stamp that its meter gave it; a repeated one yields nothing.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str]] = {}

    def is_new(self, channel: str, stamp: str, value: str) -> bool:
        """Tell whether this is another measurement than the last one, and remember it."""
        known = self._last.get(channel)
        self._last[channel] = (stamp, value)
        return known != (stamp, value)


def decode(text: str, sub_meters: SubMeters) -> list[Measured | Fault]:
    """Return the readings of one believed telegram; values that are missing yield nothing."""
    main: dict[str, list[str]] = {}
    others: dict[str, dict[str, list[str]]] = {}
    clock = ""
    for medium, channel, code, groups in _lines(text):
        if medium == "1" and channel == "0":
            main.setdefault(code, groups)
        elif medium == "0" and channel in SUB_METER_CHANNELS:
            others.setdefault(channel, {}).setdefault(code, groups)
        elif (medium, channel, code) == ("0", "0", "1.0.0"):
            clock = groups[0]
    outcomes = readings(
        {code: _amount(groups[0]) for code, groups in main.items() if code in CODES and groups[0]}
    )
    for channel, lines in sorted(others.items()):
        outcomes += _sub_meter(channel, lines, clock, sub_meters)
    return outcomes


def _lines(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield medium, channel, code and groups of each OBIS line.

    DSMR 2 and 3 put the value of a gas meter on a line of its own: it belongs to the one before.
    """
    for medium, channel, code, groups in LINE.findall(LINE_BREAK_IN_LINE.sub("(", text)):
        yield medium, channel, code, groups.split(")(")


def _amount(text: str) -> Amount | None:
    """Return ``012.345*kWh`` in the registry's unit; None if it is no such value."""
    match = VALUE.fullmatch(text)
    return amount(Decimal(match[1]), match[2]) if match else None


def _sub_meter(
    channel: str, lines: Mapping[str, list[str]], clock: str, sub_meters: SubMeters
) -> Iterator[Measured | Fault]:
    """Yield the last measurement of a gas, water or heat meter, unless it was yielded before."""
    kind = M_BUS_DEVICE.fullmatch(lines.get("24.1.0", [""])[0])
    quantity = MEDIA.get(int(kind[0])) if kind else None
    if quantity is None:
        return
    stamp, text = _sub_meter_value(lines)
    value = _amount(text)
    if value is None or value.unit != SUB_METER_UNITS[quantity]:
        return  # a channel whose meter was taken away or has not reported yet holds no value
    if not sub_meters.is_new(channel, stamp, text):
        return
    age_s = _age_s(clock, stamp)
    flags = Flag.ESTIMATED if age_s is None else Flag(0)
    dims = (("channel", channel),)
    yield checked(Measured(quantity, float(value.number), dims, age_s or 0.0, int(flags)))


def _sub_meter_value(lines: Mapping[str, list[str]]) -> tuple[str, str]:
    """Return stamp and value with unit, from the line of DSMR 4 and 5 or that of 2 and 3."""
    for code in ("24.2.1", "24.2.3"):
        groups = lines.get(code, [])
        if len(groups) == 2:
            return groups[0], groups[1]
    old = lines.get("24.3.0", [])
    if len(old) == 7:
        return old[0], f"{old[6]}*{old[5]}"
    return "", ""


def _age_s(clock: str, stamp: str) -> float | None:
    """Return how old a measurement is, by the difference of two stamps of the same clock.

    The meter's clock may be wrong; a difference does not depend on that. None if it makes no
    sense: then nobody knows the time of the measurement better than "before now".
    """
    now, then = _time(clock), _time(stamp)
    if now is None or then is None:
        return None
    age_s = (now - then).total_seconds()
    return age_s if 0 <= age_s <= MAX_AGE_S else None


def _time(stamp: str) -> datetime | None:
    match = STAMP.fullmatch(stamp)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    zone = SUMMER if match[7] == "S" else WINTER
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=zone)
    except ValueError:
        return None
