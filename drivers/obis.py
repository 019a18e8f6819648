"""What the OBIS codes of electricity meters mean, as tables from code to registry quantity.

P1, HAN, SML and IEC 62056-21 carry the same codes in different clothes. A code is written here as
``C.D.E``; the total and the three phases of power are import minus export. Documents: IEC 62056-6-1
(codes), DLMS UA Blue Book (unit numbers).
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from gateway.reading import Dims, Fault, Measured

__all__ = [
    "CODES",
    "DLMS_UNITS",
    "QUANTITIES",
    "Amount",
    "amount",
    "checked",
    "dlms_amount",
    "readings",
]

DECIMALS = 9
"""More than any meter shows; removes what the division of gigajoules leaves."""
MAX_ROUNDED_DIGITS = 15
"""Longer numbers are beyond every limit, and have no room for so many decimals."""
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
    "mwh": ("kW.h", Decimal(1000)),
    "varh": ("kvar.h", Decimal("0.001")),
    "kvarh": ("kvar.h", Decimal(1)),
    "m3": ("m3", Decimal(1)),
    "gj": ("kW.h", Decimal(1000) / Decimal("3.6")),
}
"""Unit of the meter in lower case -> registry unit and factor; meters differ in the case."""
DLMS_UNITS: Mapping[int, str] = {
    27: "W",
    29: "var",
    30: "Wh",
    32: "varh",
    33: "A",
    35: "V",
    44: "Hz",
}
"""Unit numbers of DLMS and SML; all others belong to quantities that are not yielded."""
MAX_EXPONENT = 9
"""No meter scales by more than this power of ten."""

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
TARIFFS = "01234"
QUANTITIES: tuple[str, ...] = (*LIMITS, *ENERGY.values())
"""All that ``readings`` can yield."""


class Amount(NamedTuple):
    """A number in the registry's unit."""

    number: Decimal
    unit: str


class _Gauge(NamedTuple):
    """An instantaneous value: what flows in, less what flows out, or both in one number."""

    quantity: str
    unit: str
    dims: Dims
    towards: str
    away: str = ""
    net: str = ""


def _gauges() -> tuple[_Gauge, ...]:
    gauges = [
        _Gauge("power.active", "W", (), "1.7.0", "2.7.0", "16.7.0"),
        _Gauge("power.reactive", "var", (), "3.7.0", "4.7.0"),
        _Gauge("electric.frequency", "Hz", (), "14.7.0"),
    ]
    for tens, net in (("2", "36.7.0"), ("4", "56.7.0"), ("6", "76.7.0")):
        dims = (("phase", PHASES[tens]),)
        gauges += [
            _Gauge("power.active", "W", dims, f"{tens}1.7.0", f"{tens}2.7.0", net),
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


def _counters() -> dict[str, tuple[str, str, Dims]]:
    return {
        f"{group}.8.{tariff}": (
            quantity,
            "kvar.h" if "reactive" in quantity else "kW.h",
            () if tariff == "0" else (("tariff", tariff),),
        )
        for group, quantity in ENERGY.items()
        for tariff in TARIFFS
    }


COUNTERS: Mapping[str, tuple[str, str, Dims]] = _counters()
"""By code: quantity, unit and dimensions."""
CODES: frozenset[str] = frozenset(
    code for gauge in GAUGES for code in (gauge.towards, gauge.away, gauge.net) if code
) | frozenset(COUNTERS)
"""All codes that ``readings`` looks at."""


def amount(number: Decimal, unit: str) -> Amount | None:
    """Return a number of ``kWh``, ``A`` ... in the registry's unit; None for an unknown unit."""
    known = UNITS.get(unit.lower())
    if known is None:
        return None
    scaled = number * known[1]
    if scaled.adjusted() < MAX_ROUNDED_DIGITS:
        scaled = round(scaled, DECIMALS)
    return Amount(scaled, known[0])


def dlms_amount(number: int, exponent: int, unit: int) -> Amount | None:
    """Return ``number`` times ten to the ``exponent`` in the registry's unit; None if unknown."""
    name = DLMS_UNITS.get(unit)
    if name is None or abs(exponent) > MAX_EXPONENT:
        return None
    return amount(Decimal(number).scaleb(exponent), name)


def checked(reading: Measured) -> Measured | Fault:
    """Return the reading, or a fault if no meter can show such a value."""
    low, high = LIMITS.get(reading.quantity, (0.0, COUNTER_LIMIT))
    if low <= reading.value <= high:
        return reading
    return Fault("range", f"{reading.quantity} beyond what a meter can show")


def readings(
    amounts: Mapping[str, Amount | None], *, import_alone: bool = True
) -> list[Measured | Fault]:
    """Return what the values of one telegram say, by code; None is a value that cannot be read.

    ``import_alone`` is off for meters whose short telegrams hold import without export: there an
    import of zero may as well be an export, and says nothing.
    """
    outcomes: list[Measured | Fault] = []
    for gauge in GAUGES:
        outcomes += _gauge(gauge, amounts, import_alone=import_alone)
    for code, value in amounts.items():
        counter = COUNTERS.get(code)
        if counter is None:
            continue
        quantity, unit, dims = counter
        if value is None or value.unit != unit:
            outcomes.append(_unreadable(code))
        else:
            outcomes.append(checked(Measured(quantity, float(value.number), dims)))
    return outcomes


def _gauge(
    gauge: _Gauge, amounts: Mapping[str, Amount | None], *, import_alone: bool
) -> Iterator[Measured | Fault]:
    signs = ((gauge.towards, 1), (gauge.away, -1))
    if gauge.net in amounts:
        signs = ((gauge.net, 1), ("", 0))
    total = None
    for code, sign in signs:
        if code not in amounts:
            continue
        value = amounts[code]
        if value is None or value.unit != gauge.unit:
            yield _unreadable(code)
            return
        total = value.number * sign + (total or 0)
    if total is None:
        return
    lone_zero = not total and gauge.away and not amounts.keys() & {gauge.away, gauge.net}
    if lone_zero and not import_alone:
        return
    yield checked(Measured(gauge.quantity, float(total), gauge.dims))


def _unreadable(code: str) -> Fault:
    return Fault("unknown", f"value or unit of OBIS code {code}")
