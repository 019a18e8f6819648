"""The words that every room shares: what was measured, by whom, and how well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntFlag
from typing import Literal, NamedTuple

__all__ = [
    "FAULT_KINDS",
    "Aggregation",
    "Dims",
    "Fault",
    "FaultKind",
    "Flag",
    "Measured",
    "PrivacyClass",
    "Quality",
    "Series",
    "SeriesKey",
    "flag_names",
    "quality_of",
]

Dims = tuple[tuple[str, str], ...]
"""Dimensions of a series as (key, value) pairs, sorted by key: ``(("lane", "1"),)``."""

Aggregation = Literal["instant", "mean", "min", "max", "sum", "count", "last", "p50", "p85", "p95"]
Quality = Literal["good", "uncertain", "bad", "stale"]
PrivacyClass = Literal["P0", "P1", "P2", "P3"]

FaultKind = Literal[
    "noise",  # bytes that belong to no frame
    "checksum",  # a frame whose check failed
    "short",  # a frame that ended too early
    "unknown",  # a valid frame that this driver does not know
    "range",  # a value that the device cannot produce
    "key_missing",  # encrypted, and no key is configured
    "key_wrong",  # encrypted, and the configured key does not fit
    "timeout",  # no answer to a request
    "echo",  # our own request came back
    "device_error",  # the device reports an error of its own
]
FAULT_KINDS: tuple[FaultKind, ...] = (
    "noise",
    "checksum",
    "short",
    "unknown",
    "range",
    "key_missing",
    "key_wrong",
    "timeout",
    "echo",
    "device_error",
)


class Flag(IntFlag):
    """What is doubtful about one reading; 16 bits, kept beside the value in the ring."""

    RANGE = 1 << 0
    RATE = 1 << 1
    SPIKE = 1 << 2
    STUCK = 1 << 3
    WARM_UP = 1 << 4
    CALIBRATING = 1 << 5
    SUBSTITUTED = 1 << 6
    SUPPRESSED = 1 << 7
    ESTIMATED = 1 << 8
    CLOCK_UNSYNCED = 1 << 9
    COUNTER_RESET = 1 << 10
    RESTART = 1 << 11
    STALE = 1 << 12


_BAD = Flag.RANGE | Flag.STUCK
_UNCERTAIN = (
    Flag.RATE
    | Flag.SPIKE
    | Flag.WARM_UP
    | Flag.CALIBRATING
    | Flag.SUBSTITUTED
    | Flag.SUPPRESSED
    | Flag.ESTIMATED
    | Flag.CLOCK_UNSYNCED
)


def quality_of(flags: int) -> Quality:
    """Return the one-word quality that a consumer without our flags can use."""
    if flags & _BAD:
        return "bad"
    if flags & Flag.STALE:
        return "stale"
    if flags & _UNCERTAIN:
        return "uncertain"
    return "good"


def flag_names(flags: int) -> list[str]:
    """Return the lower-case names of the flags that are set, lowest bit first."""
    return [str(flag.name).lower() for flag in Flag if flags & flag]


class Measured(NamedTuple):
    """One value that a driver decoded, in the registry's unit of its quantity."""

    quantity: str
    value: float
    dims: Dims = ()
    age_s: float = 0.0
    flags: int = 0


class Fault(NamedTuple):
    """Something that a driver could not use; counted per sensor and kind, never raised."""

    kind: FaultKind
    detail: str
    sample: bytes = b""


class SeriesKey(NamedTuple):
    """What makes two readings comparable; equal keys share one series id for ever."""

    sensor: str
    quantity: str
    dims: Dims = ()
    aggregation: Aggregation = "instant"


@dataclass(frozen=True, slots=True)
class Series:
    """One line of the series catalogue: the id that the ring stores, and what it means."""

    id: int
    key: SeriesKey
    unit: str
    """UCUM code, the registry's unit of the quantity at the time the series was created."""
    privacy: PrivacyClass = "P0"
    calibration: Mapping[str, str] = field(default_factory=dict)
