"""Durations and sizes, written in the configuration as text with a unit."""

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from gateway.config.refusal import Refusal

__all__ = [
    "DURATION_HELP",
    "SIZE_HELP",
    "Duration",
    "Size",
    "duration_text",
    "parse_duration",
    "parse_size",
    "size_text",
]

_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_BYTES = {
    "B": Decimal(1),
    "KiB": Decimal(1 << 10),
    "MiB": Decimal(1 << 20),
    "GiB": Decimal(1 << 30),
}
_OTHER_NAMES = {
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "m": "min",
    "mins": "min",
    "minute": "min",
    "minutes": "min",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
    "b": "B",
    "bytes": "B",
    "k": "KiB",
    "kb": "KiB",
    "kib": "KiB",
    "mb": "MiB",
    "mib": "MiB",
    "g": "GiB",
    "gb": "GiB",
    "gib": "GiB",
}
"""What people write instead, by its lower-case spelling."""
_TEXT = re.compile(r"\s*(\d{1,18}(?:\.\d{1,24})?)\s*([A-Za-z]*)\s*", re.ASCII)

DURATION_HELP = 'a duration such as "5 s" (ms, s, min, h, d)'
SIZE_HELP = 'a size such as "256 MiB" (B, KiB, MiB, GiB)'


def _parse(text: object, units: Mapping[str, Decimal], plain: str, allowed: str) -> Decimal:
    """Return the number in the smallest unit; ``plain`` is the unit proposed where none stands."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        raise Refusal("has no unit", allowed=allowed, nearest=f"{text:g} {plain}")
    match = _TEXT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise Refusal("is not a number with a unit", allowed=allowed)
    number, unit = match[1], match[2]
    if unit in units:
        return Decimal(number) * units[unit]
    meant = plain if not unit else _OTHER_NAMES.get(unit.lower(), "")
    nearest = f"{number} {meant}" if meant in units else ""
    problem = "has an unknown unit" if unit else "has no unit"
    raise Refusal(problem, allowed=allowed, nearest=nearest)


def parse_duration(text: object) -> float:
    """Return seconds for text such as ``"5 s"``, ``"250 ms"``, ``"2 h"``; ValueError otherwise."""
    return float(_parse(text, _SECONDS, "s", DURATION_HELP))


def parse_size(text: object) -> int:
    """Return bytes for text such as ``"256 MiB"``; ValueError otherwise, or if not whole bytes."""
    size = _parse(text, _BYTES, "MiB", SIZE_HELP)
    if size != int(size):
        raise Refusal("is no whole number of bytes", allowed=SIZE_HELP)
    return int(size)


def duration_text(seconds: float) -> str:
    """Return text that ``parse_duration`` turns into exactly ``seconds``, in the largest unit."""
    exact = Decimal(repr(float(seconds)))
    for unit, length in reversed(_SECONDS.items()):
        count = exact / length
        if count >= 1 and count == int(count):
            return f"{int(count)} {unit}"
    return f"{exact.normalize():f} s"


def size_text(size: int) -> str:
    """Return text that ``parse_size`` turns into exactly ``size``, in the largest unit."""
    for unit, length in reversed(_BYTES.items()):
        if size >= length and size % int(length) == 0:
            return f"{size // int(length)} {unit}"
    return f"{size} B"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(duration_text),
    WithJsonSchema({"type": "string", "examples": ["5 s", "250 ms", "2 h"]}),
]
"""Seconds, as a float."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(size_text),
    WithJsonSchema({"type": "string", "examples": ["256 MiB", "64 KiB"]}),
]
"""Bytes, as an int."""
