"""What leaves this box for one broker, as the status page asks for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.observe.view import View
from gateway.observe.words import redacted
from gateway.reading import PrivacyClass, Series

__all__ = ["Departures", "Leaving", "LookLeaving", "nothing_known"]

KEPT_NS = 10_000_000_000
"""What leaves changes with the configuration; who watches need not see that at once."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """One broker: where it is, how it is spoken to, and what it may get."""

    destination: str
    """``mqtts://host:port``; never a user name."""
    format: str
    encrypted: bool
    open: bool
    """Everybody can read what it gets."""
    allows: Callable[[Series], bool]
    """Whether the readings of a series may leave."""
    knows: Callable[[str, PrivacyClass], bool]
    """Whether it may be told that a sensor of that class exists."""


LookLeaving = Callable[[], Mapping[str, Leaving]]
"""By broker name."""


def nothing_known() -> Mapping[str, Leaving]:
    """Say that nobody told."""
    return {}


class Departures:
    """Names what leaves for whom, from the series that sensors have brought; never a value."""

    def __init__(self, look: LookLeaving) -> None:
        self._look = look
        self._made_ns: int | None = None
        self._told: dict[str, dict[str, Any]] = {}

    def __call__(self, view: View) -> Mapping[str, Mapping[str, Any]]:
        """Return by broker: destination, format, encrypted, open, sensors, withheld."""
        now_ns = view.clock.now_ns()
        if self._made_ns is None or not 0 <= now_ns - self._made_ns < KEPT_NS:
            self._told = {name: _told(view, leaving) for name, leaving in self._look().items()}
            self._made_ns = now_ns
        return self._told


def _told(view: View, leaving: Leaving) -> dict[str, Any]:
    sensors: dict[str, list[str]] = {}
    withheld = []
    for name, sensor in view.sensors.items():
        series = [live.series for live in sensor.live.values()]
        gone = {each.key.quantity for each in series if leaving.allows(each)}
        if gone:
            sensors[name] = sorted(gone)
        elif series or not leaving.knows(name, sensor.privacy):
            withheld.append(name)
    return {
        "destination": redacted(leaving.destination),
        "format": leaving.format,
        "encrypted": leaving.encrypted,
        "open": leaving.open,
        "sensors": sensors,
        "withheld": withheld,
    }
