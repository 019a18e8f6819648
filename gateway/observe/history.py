"""The last hour of each series that may be shown: the lowest and highest value of each minute.

It exists while a status page is served, looks at the live values now and then, and costs the path
of a reading nothing. Two doubles a minute, and those that were told last: about 2.5 KiB a
series.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, nan

from gateway.observe.view import LiveFigures, View
from gateway.reading import Flag, PrivacyClass

__all__ = ["MINUTES", "NOTHING", "SHOWN_CLASSES", "History", "Hour"]

SHOWN_CLASSES: tuple[PrivacyClass, ...] = ("P0", "P1")
"""Privacy classes whose values may be shown (PRIV-14 holds for the page too)."""
MINUTES = 60
MINUTE_NS = 60_000_000_000
MAX_SERIES = 1000
"""More have no past on the page."""

_NO_VALUES = array("d", [nan]) * MINUTES


@dataclass(frozen=True, slots=True, eq=False)
class Hour:
    """The lowest and highest value of each minute, the oldest first; nan: none.

    Arrays, because thousands of small objects a minute would keep the garbage collector busy. Two
    are never equal, so that what was made of one can be remembered cheaply.
    """

    lows: "array[float]"
    highs: "array[float]"
    low: float
    """Of the whole hour."""
    high: float


NOTHING = Hour(_NO_VALUES, _NO_VALUES, nan, nan)


class _Track:
    __slots__ = ("highs", "lows", "newest", "oldest", "seen_ns", "told", "told_minute")

    def __init__(self, minute: int) -> None:
        self.newest = minute
        self.oldest = minute - MINUTES + 1
        """What is older has been forgotten."""
        self.seen_ns = -1
        self.lows = _NO_VALUES[:]
        self.highs = _NO_VALUES[:]
        self.told = NOTHING
        self.told_minute = -1
        """The minute up to which the hour was told last; -1: it has to be told anew."""

    def move_to(self, minute: int, oldest: int) -> None:
        """Make room for the minutes up to this one, and forget those before the oldest."""
        for passed in range(max(self.newest, minute - MINUTES) + 1, minute + 1):
            self.lows[passed % MINUTES] = self.highs[passed % MINUTES] = nan
        self.newest = max(self.newest, minute)
        for gone in range(max(self.oldest, minute - MINUTES + 1), oldest):
            self.lows[gone % MINUTES] = self.highs[gone % MINUTES] = nan
            self.told_minute = -1
        self.oldest = max(self.oldest, oldest)

    def note(self, minute: int, value: float) -> None:
        """Take a value of one of the minutes that are kept."""
        at = minute % MINUTES
        # Written so that any value is lower than none.
        if not self.lows[at] <= value:
            self.lows[at] = value
        if not self.highs[at] >= value:
            self.highs[at] = value
        if not self.told.low <= value <= self.told.high:
            self.told_minute = -1

    def hour(self, last: int) -> Hour:
        """Return the hour up to that minute; the same for a minute, unless it has new bounds.

        A line that moved with every value would be most of what a watcher is sent.
        """
        if self.told_minute != last:
            lows, highs = self._ordered(self.lows, last), self._ordered(self.highs, last)
            low = min((each for each in lows if isfinite(each)), default=nan)
            high = max((each for each in highs if isfinite(each)), default=nan)
            self.told, self.told_minute = Hour(lows, highs, low, high), last
        return self.told

    def _ordered(self, ring: "array[float]", last: int) -> "array[float]":
        """Return a value of each minute up to the last, which may be later than the newest."""
        first = (self.newest + 1) % MINUTES
        passed = min(last - self.newest, MINUTES)
        return (ring[first:] + ring[:first])[passed:] + _NO_VALUES[:passed]


def _oldest_minute(now_ns: int, kept_s: float) -> int:
    """Return the first minute of which nothing is too old, of the last hour."""
    hour = now_ns // MINUTE_NS - MINUTES + 1
    if kept_s >= MINUTES * MINUTE_NS / 1e9:
        return hour
    return max(hour, -(-(now_ns - int(kept_s * 1e9)) // MINUTE_NS))


class History:
    """Minutes by series; a series that is no longer there (removed, purged) is forgotten."""

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}

    def __len__(self) -> int:
        return len(self._tracks)

    def look(self, view: View) -> None:
        """Note what the sensors of the classes that may be shown have now."""
        now_ns = view.clock.now_ns()
        shown: set[int] = set()
        for sensor in view.sensors.values():
            if sensor.privacy in SHOWN_CLASSES:
                shown.update(self._note_all(sensor.live.values(), view, now_ns))
        for series_id in self._tracks.keys() - shown:
            del self._tracks[series_id]

    def _note_all(self, figures: Iterable[LiveFigures], view: View, now_ns: int) -> Iterable[int]:
        minute = now_ns // MINUTE_NS
        for live in figures:
            if live.series.privacy not in SHOWN_CLASSES:
                continue
            series_id = live.series.id
            track = self._tracks.get(series_id)
            if track is None:
                if len(self._tracks) >= MAX_SERIES:
                    continue
                track = self._tracks[series_id] = _Track(minute)
            yield series_id
            oldest = _oldest_minute(now_ns, view.kept_s(live.series))
            track.move_to(minute, oldest)
            taken_ns = min(live.time_ns, now_ns)
            if taken_ns == track.seen_ns or taken_ns // MINUTE_NS < oldest:
                continue
            track.seen_ns = taken_ns
            # A count that is hidden now stays hidden (PRIV-05).
            if isfinite(live.value) and not live.flags & Flag.SUPPRESSED:
                track.note(taken_ns // MINUTE_NS, live.value)

    def hour(self, series_id: int, now_ns: int) -> Hour:
        """Return the minutes up to now; ``NOTHING`` of a series that is not known."""
        track = self._tracks.get(series_id)
        return NOTHING if track is None else track.hour(now_ns // MINUTE_NS)
