"""What ``check --explain`` found, as one document; the text for people is made from it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.cli.explain.trace import Change, Event, SeriesName, Tally, TracedChain
from gateway.reading import Dims, Flag, PrivacyClass, flag_names

__all__ = ["Report", "Times", "series_text"]

SHOWN_CLASSES: tuple[PrivacyClass, ...] = ("P0", "P1")
"""Classes whose values may be shown (PRIV-14)."""
NS_PER_S = 1_000_000_000
CALENDAR_FROM_NS = 1_000_000_000 * NS_PER_S
"""2001-09-09. A recording whose times are below counts seconds from any beginning."""
CALENDAR_TO_NS = 253_402_300_800 * NS_PER_S
_START = datetime(1970, 1, 1, tzinfo=UTC)


class Times:
    """Times as text: of the calendar, or as seconds where a recording only has those."""

    def __init__(self, *, calendar: bool) -> None:
        self._calendar = calendar

    @classmethod
    def of(cls, begin_ns: int | None) -> "Times":
        """Return the way in which a recording that begins there tells the time."""
        known = begin_ns is not None and CALENDAR_FROM_NS <= begin_ns < CALENDAR_TO_NS
        return cls(calendar=known)

    def __call__(self, time_ns: int) -> str:
        """Return RFC 3339 in UTC with milliseconds, or ``12.345 s``."""
        if not self._calendar or not 0 <= time_ns < CALENDAR_TO_NS:
            return f"{time_ns / NS_PER_S:.3f} s"
        moment = _START + timedelta(milliseconds=time_ns // 1_000_000)
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def series_text(quantity: str, dims: Dims, aggregation: str = "instant") -> str:
    """Return a series as a person reads it."""
    places = ", ".join(f"{key} {text}" for key, text in dims)
    figure = "" if aggregation == "instant" else f" ({aggregation})"
    return quantity + (f" [{places}]" if places else "") + figure


@dataclass(slots=True)
class Report:
    """Everything that is said, before it becomes JSON or text."""

    sensor: str
    driver: str
    privacy: PrivacyClass
    source: str
    """``stored`` or ``recording``."""
    times: Times
    begin_ns: int
    end_ns: int
    chains: Sequence[TracedChain] = ()
    notes: list[str] = field(default_factory=list)
    series_notes: dict[tuple[str, Dims], list[str]] = field(default_factory=dict)

    @property
    def shown(self) -> bool:
        """Values of this sensor may be shown."""
        return self.privacy in SHOWN_CLASSES

    def document(self) -> dict[str, Any]:
        """Return it as JSON-serialisable data."""
        return {
            "sensor": self.sensor,
            "driver": self.driver,
            "privacy": self.privacy,
            "source": self.source,
            "from": self.times(self.begin_ns),
            "to": self.times(self.end_ns),
            "notes": self.notes,
            "series": [self._series(chain) for chain in self.chains],
        }

    def _series(self, chain: TracedChain) -> dict[str, Any]:
        shown = self.shown and not chain.hides
        return {
            "quantity": chain.quantity,
            "dims": dict(chain.dims),
            "readings": chain.entered,
            "notes": self.series_notes.get((chain.quantity, chain.dims), []),
            "filters": [self._filter(tally, shown=shown) for tally in chain.tallies],
            "comes_out": [
                self._came_out(chain, name, shown=shown) for name in sorted(chain.came_out)
            ],
        }

    def _filter(self, tally: Tally, *, shown: bool) -> dict[str, Any]:
        changes: Iterable[Change] = tally.examples if self.shown else ()
        return {
            "filter": tally.name,
            "in": tally.entered,
            "out": tally.left,
            "flagged": tally.flagged_readings,
            "flags": dict(sorted(tally.flagged.items())),
            "dropped": tally.dropped,
            "absorbed": tally.absorbed,
            "figures": tally.figures,
            "kept_raw": tally.kept_raw,
            "examples": [self._change(change, shown=shown) for change in changes],
        }

    def _change(self, change: Change, *, shown: bool) -> dict[str, Any]:
        event = change.after or change.before
        before, after = (
            None if each is None else self._value(each, shown=shown)
            for each in (change.before, change.after)
        )
        return {
            "what": change.kind,
            "time": None if event is None else self.times(event.time_ns),
            "before": before,
            "after": after,
            "flags": [] if change.after is None else flag_names(change.after.flags),
        }

    @staticmethod
    def _value(event: Event, *, shown: bool) -> float | None:
        return event.value if shown and not event.flags & Flag.SUPPRESSED else None

    def _came_out(self, chain: TracedChain, name: SeriesName, *, shown: bool) -> dict[str, Any]:
        count, newest = chain.came_out[name], chain.newest[name]
        quantity, dims, aggregation = name
        return {
            "quantity": quantity,
            "dims": dict(dims),
            "aggregation": aggregation,
            "unit": newest.output.unit,
            "calibration": dict(newest.output.calibration),
            "readings": count["readings"],
            "cut_off": count["cut"],
            "newest": self.times(newest.time_ns) if self.shown else None,
            "value": self._value(newest, shown=shown),
            "flags": flag_names(newest.flags) if self.shown else [],
        }
