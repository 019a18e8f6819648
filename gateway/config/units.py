"""Durations and sizes, written in the configuration as text with a unit."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

__all__ = ["Duration", "Size", "duration_text", "parse_duration", "parse_size", "size_text"]

_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def _parse(text: object, units: dict[str, Any], what: str) -> float:
    allowed = f"{what} with a unit, one of {', '.join(units)}"
    if not isinstance(text, str):
        raise ValueError(f"is not text; write {allowed}")  # noqa: TRY004 - pydantic reports it
    match = _TEXT.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(f"is no {what}; write {allowed}")
    return float(match[1]) * float(units[match[2]])


def parse_duration(text: object) -> float:
    """Return seconds for text such as ``"5 s"``, ``"250 ms"``, ``"2 h"``; ValueError otherwise."""
    return _parse(text, _SECONDS, "a duration")


def parse_size(text: object) -> int:
    """Return bytes for text such as ``"256 MiB"``; ValueError otherwise."""
    return int(_parse(text, _BYTES, "a size"))


def duration_text(seconds: float) -> str:
    """Return the shortest text that ``parse_duration`` turns into ``seconds``."""
    for unit in ("d", "h", "min", "s", "ms"):
        count = seconds / _SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)} {unit}"
    return f"{seconds:g} s"


def size_text(size: int) -> str:
    """Return the shortest text that ``parse_size`` turns into ``size``."""
    for unit in ("GiB", "MiB", "KiB"):
        if size >= _BYTES[unit] and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]} {unit}"
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
