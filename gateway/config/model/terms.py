"""On what terms readings leave: how often, how precisely the place is told (PRIV-09, PRIV-12)."""

from dataclasses import dataclass
from typing import Protocol

from gateway.config.model.box import Position
from gateway.config.model.broker import SelectSection
from gateway.reading import PrivacyClass

__all__ = ["Shared", "Terms", "rounded", "terms"]

P3_MIN_INTERVAL_S = 3600.0
P3_LOCATION_DECIMALS = 3
FULL_LOCATION_DECIMALS = 7
"""About a centimetre: more than any map has."""


class Shared(Protocol):
    """What a sensor's configuration says about sharing it; None: what its class asks for."""

    @property
    def min_publish_interval(self) -> float | None:
        """Return the seconds in which at most one reading of each series leaves."""
        ...

    @property
    def location_decimals(self) -> int | None:
        """Return the decimals of its coordinates."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """How the readings of one sensor leave for one broker."""

    min_interval_s: float
    """At most one reading of each series in so long, 0: all. Sums are never thinned."""
    location_decimals: int


def terms(select: SelectSection, sensor: Shared | None, privacy: PrivacyClass) -> Terms:
    """Return the terms for readings of one privacy class; the stricter of both sides counts.

    ``sensor`` is None for readings in the ring whose sensor is not configured any more: they keep
    the defaults of their class.
    """
    interval_s = sensor.min_publish_interval if sensor is not None else None
    if interval_s is None:
        interval_s = P3_MIN_INTERVAL_S if privacy == "P3" else 0.0
    decimals = sensor.location_decimals if sensor is not None else None
    if decimals is None:
        decimals = P3_LOCATION_DECIMALS if privacy == "P3" else FULL_LOCATION_DECIMALS
    return Terms(max(select.interval, interval_s), min(select.location_decimals, decimals))


def rounded(position: Position, decimals: int) -> Position:
    """Return the place with so many decimals of a degree."""
    return Position(
        lon=round(position.lon, decimals) + 0.0, lat=round(position.lat, decimals) + 0.0
    )  # + 0.0, because round(-0.0001, 3) is -0.0
