"""What the lists of HAN meters mean: Aidon with scalers, Kamstrup without, Kaifa by position.

Documents: Aidon "RJ45 HAN interface" feature description; Kamstrup "HAN-NVE" description of lists,
revision 3.1; Kaifa "KFM_001" list; NEK "AMS + HAN".
"""

from collections.abc import Callable, Iterator, Mapping

from drivers.han.dlms import Data
from drivers.obis import CODES, Amount, dlms_amount

__all__ = ["amounts"]

OBIS_BYTES = 6
MEDIUM_ELECTRICITY = 1
CURRENT_STORAGE = 255
WATT, VAR, WATT_HOUR, VAR_HOUR, AMPERE, VOLT = 27, 29, 30, 32, 33, 35
FIXED_UNITS: Mapping[str, int] = {"1": WATT, "2": WATT, "3": VAR, "4": VAR}
FIXED_ENERGY_UNITS: Mapping[str, int] = {
    "1": WATT_HOUR,
    "2": WATT_HOUR,
    "3": VAR_HOUR,
    "4": VAR_HOUR,
}
TRANSFORMER_METER = "685"
"""A Kamstrup type that starts so counts the current in mA."""

_PHASED = ("31.7.0", "51.7.0", "71.7.0"), ("32.7.0", "52.7.0", "72.7.0")
_POWERS = ("1.7.0", "2.7.0", "3.7.0", "4.7.0")
_REGISTERS = ("1.8.0", "2.8.0", "3.8.0", "4.8.0")
_NAMES = ("", "", "")
"""List version, serial number and type: never used."""
_ONE_PHASE = (*_NAMES, *_POWERS, "31.7.0", "32.7.0")
_THREE_PHASES = (*_NAMES, *_POWERS, *_PHASED[0], *_PHASED[1])
KAIFA_LISTS: Mapping[int, tuple[str, ...]] = {
    len(codes): codes
    for codes in (
        ("1.7.0",),
        _ONE_PHASE,
        _THREE_PHASES,
        (*_ONE_PHASE, "", *_REGISTERS),
        (*_THREE_PHASES, "", *_REGISTERS),
    )
}
"""Codes in order, by the number of values; the empty name before the registers is a clock."""
KAIFA_VERSION = "KFM"
_CURRENTS = ("31", "51", "71")
_VOLTAGES = ("32", "52", "72")

Amounts = dict[str, Amount | None]
Scale = Callable[[str], int]


def amounts(body: Data) -> Amounts | None:
    """Return the values of a list by OBIS code, or None if it is of an unknown kind.

    An amount of None is a value that cannot be read; a missing value is not there at all.
    """
    if not isinstance(body, list) or not body:
        return None
    if all(isinstance(item, list) for item in body):
        return _described(body)
    if isinstance(body[0], str) and body[0].startswith("Kamstrup"):
        return _pairs(body, _kamstrup_scale(body))
    if any(_text(item).startswith(KAIFA_VERSION) for item in body) and _code(body[0]) is not None:
        return _pairs(body, _kaifa_exponent)
    return _kaifa(body)


def _described(body: list[Data]) -> Amounts | None:
    """Aidon: each value with its code, and if it is a number with its scaler and unit."""
    found: Amounts = {}
    for item in body:
        if not isinstance(item, list) or not item:
            return None
        code = _code(item[0])
        if code is None:
            return None
        if code not in CODES or item[1:2] == [None]:
            continue
        found.setdefault(code, _described_amount(item))
    return found


def _described_amount(item: list[Data]) -> Amount | None:
    match item:
        case [_, int(number), [int(exponent), int(unit)]]:
            return dlms_amount(number, exponent, unit)
        case _:
            return None


def _pairs(body: list[Data], exponent: Scale) -> Amounts:
    """Code, value, code, value ..., with empty places where a phase is missing."""
    found: Amounts = {}
    items = iter(body)
    for item in items:
        code = _code(item)
        if code is None:
            continue
        value = next(items, None)
        if code in CODES and value is not None:
            found.setdefault(code, _fixed(code, value, exponent))
    return found


def _fixed(code: str, value: Data, exponent: Scale) -> Amount | None:
    if not isinstance(value, int):
        return None
    return dlms_amount(value, exponent(code), _unit(code))


def _unit(code: str) -> int:
    group_c, group_d, _ = code.split(".")
    if group_d == "8":
        return FIXED_ENERGY_UNITS[group_c]
    if group_c in _CURRENTS:
        return AMPERE
    return VOLT if group_c in _VOLTAGES else FIXED_UNITS.get(group_c[-1], 0)


def _kamstrup_scale(body: list[Data]) -> Scale:
    """Energy in 10 Wh, current in 10 mA, or in mA behind current transformers."""
    by_transformer = any(_text(item).startswith(TRANSFORMER_METER) for item in body[1:])

    def exponent(code: str) -> int:
        group_c, group_d, _ = code.split(".")
        if group_d == "8":
            return 1
        if group_c in _CURRENTS:
            return -3 if by_transformer else -2
        return 0

    return exponent


def _kaifa_exponent(code: str) -> int:
    """Return the scale of Kaifa's numbers: current in mA, voltage in 0.1 V, the rest in units."""
    group_c, _, _ = code.split(".")
    if group_c in _CURRENTS:
        return -3
    return -1 if group_c in _VOLTAGES else 0


def _kaifa(body: list[Data]) -> Amounts | None:
    codes = KAIFA_LISTS.get(len(body))
    if codes is None or (len(body) > 1 and not _text(body[0]).startswith(KAIFA_VERSION)):
        return None
    values = {
        code: value for code, value in zip(codes, body, strict=True) if code and value is not None
    }
    return {
        code: _fixed(code, value, _kaifa_exponent)
        for code, value in values.items()
        if code not in set(_not_measured(values))
    }


def _not_measured(values: Mapping[str, Data]) -> Iterator[str]:
    """Yield the voltages that are zero although a current flows: not measured in an IT network."""
    for current, voltage in zip(*_PHASED, strict=True):
        if values.get(voltage) == 0 and values.get(current):
            yield voltage


def _code(value: Data) -> str | None:
    """Return ``C.D.E`` of an OBIS code; other media and stored values get an unknown code."""
    if not isinstance(value, bytes) or len(value) != OBIS_BYTES:
        return None
    medium, _, group_c, group_d, group_e, storage = value
    if (medium, storage) != (MEDIUM_ELECTRICITY, CURRENT_STORAGE):
        return ""
    return f"{group_c}.{group_d}.{group_e}"


def _text(value: Data) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""
