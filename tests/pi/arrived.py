"""What arrived in the city: readings by name, their mended times, and the reports they carry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from json import loads
from typing import Any

from tests.end_to_end.held_line import number_of
from tests.end_to_end.subscriber import Subscriber
from tests.pi.disk import Name
from tests.pi.tools import Failed

__all__ = ["SAME", "Arrivals", "Report", "arrivals"]

SAME = ("boot", "boottime_ns", "sensor", "quantity", "value")
"""What every copy of a reading has in common; its time may become better known."""
UNSURE = {"clock_unsynced", "estimated"}


@dataclass(frozen=True, slots=True)
class Report:
    """When one report of the sensor was taken, as the city sees it."""

    boottime_s: float
    wall_s: float
    sure: bool
    """Nothing says that its time is doubtful."""
    bound_s: float | None
    """How far off a doubtful time may be, where that was told."""


@dataclass(frozen=True)
class Arrivals:
    """All of it."""

    readings: Mapping[Name, Mapping[str, Any]]
    """The first of each name."""
    reports: Mapping[int, Report]
    """By number."""
    halves: int
    """Reports of which only one value arrived."""
    repeats: int
    gaps: Sequence[Mapping[str, Any]]
    fixes: int


def arrivals(listener: Subscriber) -> Arrivals:
    """Return what the listener has got so far. Failed if one name stands for two readings."""
    copies = listener.readings()
    first = _first(copies)
    fixes = [loads(each.payload) for each in listener.messages("/time-fix")]
    best = {name: _mended(name, row, fixes) for name, row in _best(copies).items()}
    pairs: dict[tuple[int, int], dict[str, tuple[float, Report]]] = {}
    for name, row in first.items():
        moment = (row["boot"], row["boottime_ns"])
        pairs.setdefault(moment, {})[row["quantity"]] = (row["value"], best[name])
    reports, halves = {}, 0
    for pair in pairs.values():
        if len(pair) == 1:
            halves += 1
            continue
        (fine, time), (coarse, _) = pair["air.pm25"], pair["air.pm10"]
        reports[number_of(fine, coarse)] = time
    gaps = [loads(each.payload) for each in listener.messages("/gap")]
    return Arrivals(first, reports, halves, len(copies) - len(first), gaps, len(fixes))


def _first(copies: Sequence[Mapping[str, Any]]) -> Mapping[Name, Mapping[str, Any]]:
    """Return the first copy of each; only what is known of its time may differ in later ones."""
    found: dict[Name, Mapping[str, Any]] = {}
    for row in copies:
        known = found.setdefault((row["epoch"], row["sequence"]), row)
        if any(known[key] != row[key] for key in SAME):
            raise Failed(f"one name stands for two readings: {known} and {row}")
    return found


def _best(copies: Sequence[Mapping[str, Any]]) -> Mapping[Name, Mapping[str, Any]]:
    """Of several copies of a reading one without doubt counts, else the last."""
    found: dict[Name, Mapping[str, Any]] = {}
    for row in copies:
        name = (row["epoch"], row["sequence"])
        if name not in found or UNSURE & {*found[name]["flags"]}:
            found[name] = row
    return found


def _mended(name: Name, row: Mapping[str, Any], fixes: Sequence[Mapping[str, Any]]) -> Report:
    """Return the time as docs/payloads.md says that a consumer has to understand it."""
    epoch, sequence = name
    wall_s = datetime.fromisoformat(row["time"]).timestamp()
    unsure, bound_s = bool(UNSURE & {*row["flags"]}), None
    for fix in fixes:
        if unsure and fix["epoch"] == epoch and fix["from"] <= sequence <= fix["to"]:
            wall_s += fix["correction_s"]
            unsure, bound_s = fix["estimated"], fix["bound_s"]
    return Report(row["boottime_ns"] / 1e9, wall_s, not unsure, bound_s)
