"""Reads the lines that an OmniPreSense radar writes, JSON or plain text.

There is no checksum, so a line is believed only as a whole and only in a shape that the manuals
show; nothing is saved from a damaged one. Documents: OmniPreSense OPS-UM-001 (OPS242), UM-003
(OPS243) and AN-010 (API interface).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_LINE_BYTES", "LineReader", "Report", "parse_line"]

MAX_LINE_BYTES = 1024
"""Nine speeds and magnitudes with time and units take about 300."""
MAX_SPEEDS = 9
"""The radar reports at most nine at a time (O9)."""
MAX_NESTING = 8
"""More brackets than any line of the manuals has; keeps the parser shallow."""
LINE_END = re.compile(rb"[\r\n]")
NUMBER = re.compile(r"-?[0-9]{1,4}(?:\.[0-9]{1,5})?")
PLAIN = re.compile(r'(?:"([a-z]{2,5})",)?(-?[0-9]{1,4}\.[0-9]{1,5})')

UNIT_NAMES: Mapping[str, float] = {
    "mps": 3.6,
    "m-per-sec": 3.6,
    "kmph": 1.0,
    "km-per-hr": 1.0,
    "mph": 1.609344,
    "fps": 1.09728,
    "ft-per-sec": 1.09728,
    "cmps": 0.036,
    "cm-per-sec": 0.036,
}
"""Factor to km/h, by the names in reports (mps) and in answers to a command (m-per-sec)."""
INFORMATION = frozenset(
    {
        "Build",
        "Clock",
        "DetectedObjectCount",
        "IdleWaitTime",
        "MotionSignal",
        "OutputFeature",
        "PowerMode",
        "Product",
        "Q2COUNT",
        "RequiredDirection",
        "RequiredMaxSpeed",
        "RequiredMinSpeed",
        "Resolutions",
        "SampleSize",
        "SamplingRate",
        "Squelch",
        "SquelchMax",
        "SquelchMin",
        "UID",
        "Version",
        "range",
    }
)
"""Keys of lines that are known and hold no speed: answers to commands, ranges of the -C models."""
ANSWERS = ("SamplingRate", "RequiredMinSpeed", "RequiredMaxSpeed")
"""Keys of numbers that tell what the radar is set to."""
SETTING = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,5})?")
OBJECT_KEY = "DetectedObjectVelocity"
SPEED_KEY = "speed"
DIRECTIONS = frozenset({"inbound", "outbound"})


class Report(NamedTuple):
    """What one good line says."""

    source: str = ""
    """``object``, ``speed`` or ``plain`` for speeds; ``units``, ``reset`` or ``information``."""
    speeds: tuple[float, ...] = ()
    """Signed, towards the radar positive, in the unit of the line."""
    unit: str = ""
    """Name of a unit in ``UNIT_NAMES``, or empty: the unit that the radar was set to."""
    answers: tuple[tuple[str, float], ...] = ()
    """What the radar says that it is set to: a key of ``ANSWERS`` and its number."""


class LineReader:
    """Cuts the stream into lines; a carriage return ends one as well as a line feed does.

    A line longer than ``MAX_LINE_BYTES`` is dropped as noise.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._overlong = False
        self._noise = NoiseCounter()

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their line."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return the lines that ``data`` completes, without blank ones, and dropped noise."""
        found: list[bytes | Fault] = []
        *lines, rest = LINE_END.split(self._rest + data)
        for line in lines:
            if self._overlong or len(line) > MAX_LINE_BYTES:
                found += self._noise.drop(line)
                found += self._noise.end()
                self._overlong = False
            elif line.strip():
                found.append(line)
        if self._overlong or len(rest) > MAX_LINE_BYTES:
            found += self._noise.drop(rest)
            self._overlong = True
            rest = b""
        self._rest = rest
        return found


def parse_line(line: bytes) -> Report | Fault:
    """Return what one line says, or the fault of a line that cannot be believed."""
    text = line.decode("latin-1").strip()
    if not text.startswith("{"):
        match = PLAIN.fullmatch(text)
        if match is None or (match[1] and match[1] not in UNIT_NAMES):
            return Fault("noise", "line that is neither JSON nor a speed", line[:16])
        return Report("plain", (float(match[2]),), match[1] or "")
    if text.count("{") + text.count("[") > MAX_NESTING:
        return Fault("noise", "line with too many brackets", line[:16])
    try:
        fields = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
    except ValueError:
        return Fault("noise", "line that is not whole JSON", line[:16])
    return _report(fields, line)


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice: two lines were glued together")
    return fields


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _report(fields: Mapping[str, Any], line: bytes) -> Report | Fault:
    if "ResetReason" in fields:
        return Report("reset")
    if "Units" in fields:
        unit = fields["Units"]
        if isinstance(unit, str) and unit in UNIT_NAMES:
            return Report("units", unit=unit)
        return Report("information") if "RangeUnit" in fields else _unknown("unit", line)
    for key, source in ((OBJECT_KEY, "object"), (SPEED_KEY, "speed")):
        if key in fields:
            return _speeds(fields, key, source, line)
    if INFORMATION & fields.keys():
        return Report("information", answers=tuple(_answers(fields)))
    return _unknown("line", line)


def _speeds(fields: Mapping[str, Any], key: str, source: str, line: bytes) -> Report | Fault:
    unit = fields.get("unit", "")
    if not isinstance(unit, str) or (unit and unit not in UNIT_NAMES):
        return _unknown("unit", line)
    value = fields[key]
    values = value if isinstance(value, list) else [value]
    if len(values) > MAX_SPEEDS:
        return _unknown("number of speeds", line)
    speeds = [_number(item) for item in values]
    if any(speed is None for speed in speeds):
        return _unknown("speed", line)
    signed = [speed for speed in speeds if speed is not None]
    direction = fields.get("direction")
    if direction is not None:
        known = isinstance(direction, str) and direction in DIRECTIONS
        if not known or any(speed < 0 and direction == "inbound" for speed in signed):
            return _unknown("direction", line)
        if direction == "outbound":
            signed = [-abs(speed) for speed in signed]
    return Report(source, tuple(signed), unit)


def _number(item: object, form: re.Pattern[str] = NUMBER) -> float | None:
    """Return a number that is written as JSON number or as text; None for anything else."""
    if isinstance(item, bool) or not isinstance(item, int | float | str):
        return None
    text = item if isinstance(item, str) else repr(item)
    return float(text) if form.fullmatch(text) else None


def _answers(fields: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key in ANSWERS:
        value = _number(fields.get(key), SETTING)
        if value is not None:
            yield key, value


def _unknown(what: str, line: bytes) -> Fault:
    return Fault("unknown", f"{what} that this driver does not know", line[:16])
