"""What the lines of a P1 telegram mean, as tables from OBIS code to registry quantity.

Serial numbers, text messages, counts of power failures and everything else that is not in the
tables never leaves this module. Documents: DSMR P1 companion standard 5.0.2, section 6.12; the
Swedish H1 recommendation; IEC 62056-6-1 for the codes.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import NamedTuple

from gateway.reading import Dims, Fault, Flag, Measured

__all__ = ["QUANTITIES", "SubMeters", "decode"]

LINE = re.compile(r"([0-9])-([0-9]+):([0-9]+\.[0-9]+\.[0-9]+)(?:\*[0-9]+)?((?:\([^()]*\))+)")
GROUP = re.compile(r"\(([^()]*)\)")
VALUE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,8})?)\*([A-Za-z0-9]{1,6})")
STAMP = re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([SW])")
SUMMER = timezone(timedelta(hours=2))
WINTER = timezone(timedelta(hours=1))
M_BUS_DEVICE = re.compile(r"[0-9]{1,3}")
SUB_METER_CHANNELS = frozenset("1234")
MAX_AGE_S = 86_400.0
DECIMALS = 9
"""More than any meter shows; removes what the division of gigajoules leaves."""
PHASES: Mapping[str, str] = {"2": "L1", "4": "L2", "6": "L3", "3": "L1", "5": "L2", "7": "L3"}
"""By the tens digit of the OBIS value group C: 21..24, 41..44, 61..64 and 31/32, 51/52, 71/72."""

UNITS: Mapping[str, tuple[str, Decimal]] = {
    "w": ("W", Decimal(1)),
    "kw": ("W", Decimal(1000)),
    "var": ("var", Decimal(1)),
    "kvar": ("var", Decimal(1000)),
    "v": ("V", Decimal(1)),
    "a": ("A", Decimal(1)),
    "hz": ("Hz", Decimal(1)),
    "wh": ("kW.h", Decimal("0.001")),
    "kwh": ("kW.h", Decimal(1)),
    "varh": ("kvar.h", Decimal("0.001")),
    "kvarh": ("kvar.h", Decimal(1)),
    "m3": ("m3", Decimal(1)),
    "gj": ("kW.h", Decimal(1000) / Decimal("3.6")),
}
"""Unit of the meter in lower case -> registry unit and factor; meters differ in the case."""

COUNTER_LIMIT = 1e9
LIMITS: Mapping[str, tuple[float, float]] = {
    "power.active": (-1e7, 1e7),
    "power.reactive": (-1e7, 1e7),
    "electric.voltage": (0.0, 1000.0),
    "electric.current": (0.0, 10_000.0),
    "electric.frequency": (40.0, 70.0),
}
"""What a meter can show, in registry units; counters have ``COUNTER_LIMIT``."""

ENERGY: Mapping[str, str] = {
    "1": "energy.active_import",
    "2": "energy.active_export",
    "3": "energy.reactive_import",
    "4": "energy.reactive_export",
}
"""By OBIS value group C of ``C.8.tariff``."""
TARIFFS = frozenset("01234")
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
QUANTITIES: tuple[str, ...] = (
    "power.active",
    "power.reactive",
    "electric.voltage",
    "electric.current",
    "electric.frequency",
    *ENERGY.values(),
    "gas.volume",
    "heat.energy",
    "water.volume",
)
"""All that ``decode`` can yield."""


class _Gauge(NamedTuple):
    """An instantaneous value: what flows in, less what flows out."""

    quantity: str
    unit: str
    dims: Dims
    towards: str
    away: str = ""


def _gauges() -> tuple[_Gauge, ...]:
    gauges = [
        _Gauge("power.active", "W", (), "1.7.0", "2.7.0"),
        _Gauge("power.reactive", "var", (), "3.7.0", "4.7.0"),
        _Gauge("electric.frequency", "Hz", (), "14.7.0"),
    ]
    for tens in "246":
        dims = (("phase", PHASES[tens]),)
        gauges += [
            _Gauge("power.active", "W", dims, f"{tens}1.7.0", f"{tens}2.7.0"),
            _Gauge("power.reactive", "var", dims, f"{tens}3.7.0", f"{tens}4.7.0"),
        ]
    for tens in "357":
        dims = (("phase", PHASES[tens]),)
        gauges += [
            _Gauge("electric.voltage", "V", dims, f"{tens}2.7.0"),
            _Gauge("electric.current", "A", dims, f"{tens}1.7.0"),
        ]
    return tuple(gauges)


GAUGES = _gauges()


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
    outcomes: list[Measured | Fault] = []
    for gauge in GAUGES:
        outcomes += _gauge(gauge, main)
    for code, groups in main.items():
        outcomes += _counter(code, groups)
    for channel, lines in sorted(others.items()):
        outcomes += _sub_meter(channel, lines, clock, sub_meters)
    return outcomes


def _lines(text: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Yield medium, channel, code and groups of each OBIS line.

    DSMR 2 and 3 put the value of a gas meter on a line of its own: it belongs to the one before.
    """
    joined = re.sub(r"[\r\n]+\(", "(", text)
    for line in re.split(r"[\r\n]+", joined)[1:]:
        match = LINE.fullmatch(line)
        if match is not None:
            yield match[1], match[2], match[3], GROUP.findall(match[4])


def _number(text: str, unit: str) -> Decimal | None:
    """Return ``012.345*kWh`` in the registry's unit; None if it is no such value."""
    match = VALUE.fullmatch(text)
    if match is None:
        return None
    found, factor = UNITS.get(match[2].lower(), ("", Decimal(0)))
    return round(Decimal(match[1]) * factor, DECIMALS) if found == unit else None


def _checked(reading: Measured) -> Measured | Fault:
    low, high = LIMITS.get(reading.quantity, (0.0, COUNTER_LIMIT))
    if low <= reading.value <= high:
        return reading
    return Fault("range", f"{reading.quantity} beyond what a meter can show")


def _gauge(gauge: _Gauge, lines: Mapping[str, list[str]]) -> Iterator[Measured | Fault]:
    total = None
    for code, sign in ((gauge.towards, 1), (gauge.away, -1)):
        text = lines.get(code, [""])[0]
        if not text:
            continue
        value = _number(text, gauge.unit)
        if value is None:
            yield Fault("unknown", f"value or unit of OBIS code {code}")
            return
        total = value * sign + (total or 0)
    if total is not None:
        yield _checked(Measured(gauge.quantity, float(total), gauge.dims))


def _counter(code: str, groups: list[str]) -> Iterator[Measured | Fault]:
    group_c, group_d, tariff = code.split(".")
    if group_d != "8" or group_c not in ENERGY or tariff not in TARIFFS or not groups[0]:
        return
    value = _number(groups[0], "kvar.h" if group_c in "34" else "kW.h")
    if value is None:
        yield Fault("unknown", f"value or unit of OBIS code {code}")
        return
    dims: Dims = () if tariff == "0" else (("tariff", tariff),)
    yield _checked(Measured(ENERGY[group_c], float(value), dims))


def _sub_meter(
    channel: str, lines: Mapping[str, list[str]], clock: str, sub_meters: SubMeters
) -> Iterator[Measured | Fault]:
    """Yield the last measurement of a gas, water or heat meter, unless it was yielded before."""
    kind = M_BUS_DEVICE.fullmatch(lines.get("24.1.0", [""])[0])
    quantity = MEDIA.get(int(kind[0])) if kind else None
    if quantity is None:
        return
    stamp, text = _sub_meter_value(lines)
    value = _number(text, SUB_METER_UNITS[quantity])
    if value is None or not sub_meters.is_new(channel, stamp, text):
        return  # a channel whose meter was taken away or has not reported yet holds no value
    age_s = _age_s(clock, stamp)
    flags = Flag.ESTIMATED if age_s is None else Flag(0)
    dims = (("channel", channel),)
    yield _checked(Measured(quantity, float(value), dims, age_s or 0.0, int(flags)))


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
