"""Follows targets from frame to frame and says when one crosses the counting line.

The radar gives no lasting numbers to its targets, so each one is given to the track whose next
place is nearest. All lengths in mm, in the radar's plane: x across, y away from it.
"""

from collections import deque
from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

__all__ = ["MAX_TRACKS", "Crossing", "Line", "Target", "Tracker"]

MAX_TRACKS = 12
"""Three targets a frame, and those that were lost a moment ago."""
MAX_MISSED_FRAMES = 5
"""A track that got no target for longer is over: half a second."""
NEW_GATE_MM = 1500.0
"""How far a target moves at most in one frame as long as its speed is not known."""
GATE_MM = 800.0
"""How far a target may be from its expected place."""
GATE_GROWTH_MM = 100.0
"""So much further for each frame in which it was not seen."""
SETTLE_MM = 150.0
"""Nearer to the line than this a target is on neither side: somebody who stands there sways."""
HISTORY_FRAMES = 12
"""Speed and heading of a crossing are those of the last second or so."""
HEADING_FRAMES = 4
"""The expected place is extrapolated over so many."""
LEAST_COSINE = 0.5
"""Up to 60 degrees off the line of sight the radar's own speed is used, scaled to the heading."""
KMH_PER_MM_S = 0.0036
HIGHEST_KMH = 100.0
"""Whoever is faster crosses the six metres in two frames: no speed is believed."""


class Target(NamedTuple):
    """What the radar says about one target in one frame."""

    x: float
    y: float
    radial_mm_s: float
    """Speed towards or away from the radar, without its sign."""


class Crossing(NamedTuple):
    """One target that crossed the line."""

    to_right: bool
    """From the left to the right of the line, looking from its first point to its second."""
    along: float
    """Where, as a share of the line from its first point."""
    kmh: float | None


class Line:
    """The counting line from one point to another."""

    def __init__(self, first: tuple[float, float], second: tuple[float, float]) -> None:
        self._x, self._y = first
        self._dx, self._dy = second[0] - first[0], second[1] - first[1]
        self._length = hypot(self._dx, self._dy)

    def distance(self, x: float, y: float) -> float:
        """Return how far a point lies to the left of the (endless) line."""
        return (self._dx * (y - self._y) - self._dy * (x - self._x)) / self._length

    def along(self, left: tuple[float, float], right: tuple[float, float]) -> float | None:
        """Return where the way between two points on both sides crosses; None beside its ends."""
        here, there = self.distance(*left), self.distance(*right)
        share = here / (here - there)
        x = left[0] + share * (right[0] - left[0]) - self._x
        y = left[1] + share * (right[1] - left[1]) - self._y
        along = (x * self._dx + y * self._dy) / self._length**2
        return along if 0.0 <= along <= 1.0 else None


class _Track:
    """One target over time."""

    def __init__(self, frame: int, target: Target) -> None:
        self.history: deque[tuple[int, Target]] = deque(maxlen=HISTORY_FRAMES)
        self.history.append((frame, target))
        self.first = (target.x, target.y)
        self.farthest_mm = 0.0
        """How far it ever was from there."""
        self.settled: tuple[float, float] | None = None
        """The last place that was clearly on one side, and counts as that side."""

    def misfit(self, frame: int, target: Target) -> float:
        """Return how far a target is from where it is expected, 1.0 being too far."""
        last_frame, last = self.history[-1]
        ahead = frame - last_frame
        grown = (ahead - 1) * GATE_GROWTH_MM
        if len(self.history) == 1:
            return hypot(target.x - last.x, target.y - last.y) / (NEW_GATE_MM + grown)
        early_frame, early = self.history[max(0, len(self.history) - HEADING_FRAMES)]
        share = ahead / (last_frame - early_frame)
        x = last.x + (last.x - early.x) * share
        y = last.y + (last.y - early.y) * share
        return hypot(target.x - x, target.y - y) / (GATE_MM + grown)

    def kmh(self, frames_per_s: float) -> float | None:
        """Return the speed along the way: the radar's own where it looks along that way."""
        first_frame, first = self.history[0]
        last_frame, last = self.history[-1]
        dx, dy = last.x - first.x, last.y - first.y
        path = hypot(dx, dy)
        if last_frame == first_frame or not path:
            return None
        speed = path / (last_frame - first_frame) * frames_per_s
        radial = cosine = 0.0
        for _, target in self.history:
            radial += target.radial_mm_s
            away = hypot(target.x, target.y)
            cosine += abs(dx * target.x + dy * target.y) / (path * away) if away else 0.0
        if radial and cosine >= LEAST_COSINE * len(self.history):
            speed = radial / cosine
        kmh = speed * KMH_PER_MM_S
        return kmh if kmh <= HIGHEST_KMH else None


class Tracker:
    """Takes the targets of frame after frame; returns who crossed the line in it."""

    def __init__(self, line: Line, *, min_track_mm: float, frames_per_s: float) -> None:
        self._line = line
        self._min_track_mm = min_track_mm
        self._frames_per_s = frames_per_s
        self._frame = 0
        self._tracks: list[_Track] = []

    @property
    def tracks(self) -> int:
        """Return how many targets are followed."""
        return len(self._tracks)

    def frame(self, targets: Sequence[Target]) -> list[Crossing]:
        """Take the targets of one frame."""
        self._frame += 1
        oldest = self._frame - 1 - MAX_MISSED_FRAMES
        self._tracks = [track for track in self._tracks if track.history[-1][0] >= oldest]
        crossings = []
        for track, target in self._pairs(targets):
            track.history.append((self._frame, target))
            crossing = self._crossing(track, target)
            if crossing is not None:
                crossings.append(crossing)
        return crossings

    def _pairs(self, targets: Sequence[Target]) -> list[tuple[_Track, Target]]:
        """Give each target to the track that it fits best; begin tracks for the rest."""
        fits = sorted(
            (misfit, t, n)
            for t, track in enumerate(self._tracks)
            for n, target in enumerate(targets)
            if (misfit := track.misfit(self._frame, target)) < 1.0
        )
        pairs: dict[int, int] = {}
        for _, t, n in fits:
            if t not in pairs.values() and n not in pairs:
                pairs[n] = t
        found = [(self._tracks[t], targets[n]) for n, t in sorted(pairs.items())]
        for n, target in enumerate(targets):
            if n not in pairs:
                track = _Track(self._frame, target)
                if abs(self._line.distance(target.x, target.y)) >= SETTLE_MM:
                    track.settled = track.first
                self._tracks.append(track)
        del self._tracks[:-MAX_TRACKS]
        return found

    def _crossing(self, track: _Track, target: Target) -> Crossing | None:
        here = (target.x, target.y)
        track.farthest_mm = max(
            track.farthest_mm, hypot(target.x - track.first[0], target.y - track.first[1])
        )
        distance = self._line.distance(*here)
        if abs(distance) < SETTLE_MM:
            return None
        before = track.settled
        if before is None or (self._line.distance(*before) > 0) == (distance > 0):
            track.settled = here
            return None
        if track.farthest_mm < self._min_track_mm:
            return None  # not yet: it may be a flicker
        track.settled = here
        along = self._line.along(before, here)
        if along is None:
            return None
        return Crossing(distance < 0, along, track.kmh(self._frames_per_s))
