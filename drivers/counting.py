"""Passages counted and summed up over windows, for sensors that send many frames a second.

A driver has no clock, but such a sensor is one: it sends its frames at a known rate. A window is a
number of frames. It stretches where frames are lost and drifts against wall time as the sensor's
own clock does; no passage is lost or counted twice by that, only the length is not exact. A window
in which too much could not be used is flagged ``estimated``.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import floor
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.reading import Dims, Flag, Measured

__all__ = [
    "COUNTED",
    "Counted",
    "FrameWindow",
    "Mean",
    "Name",
    "Names",
    "PassageCounter",
    "Report",
    "SpeedTally",
    "WindowOptions",
    "lane_dims",
]

Counted = Literal["vehicles", "bicycles", "people"]
"""What passes: it decides in which quantities of the registry the result is told."""
Report = Literal["windows", "events"]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")]
"""Of a lane or a direction; it becomes the value of a dimension."""

DOUBTFUL_SHARE = 0.01
"""A window of which more frames than this could not be used is flagged."""
SPEED_STEPS_PER_KMH = 10
"""Speeds are ranked in steps of 0.1 km/h, so that a window of any length needs little memory."""
HIGHEST_KMH = 500.0
"""Bounds the number of steps; no sensor that counts here measures more."""
P85 = 0.85
SPEED_DIGITS = 3


class Names(NamedTuple):
    """The quantities of one thing that is counted."""

    passages: str
    speed_avg: str
    speed_p85: str = ""
    """Empty: the registry has none."""
    speed_dims: Dims = ()


COUNTED: Mapping[Counted, Names] = {
    "vehicles": Names("traffic.count", "traffic.speed_avg", "traffic.speed_p85"),
    # There is no speed of bicycles; the class of the vehicle says what the speed is of.
    "bicycles": Names(
        "bicycle.count",
        "traffic.speed_avg",
        "traffic.speed_p85",
        (("vehicle_class", "bicycle"),),
    ),
    "people": Names("people.count", "people.speed_avg"),
}


class WindowOptions(BaseModel):
    """The options of a driver that counts: when it tells, and what."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    report: Report = Field(
        default="windows",
        description="windows: what each window sums up to. events: each passage when it happens, "
        "for a window filter behind it.",
    )
    window_s: float = Field(
        default=60.0,
        ge=1.0,
        le=3600.0,
        description="Length of a window in seconds of the sensor's frames; with events, how often "
        "a 0 is told where nothing passed.",
    )


def lane_dims(*, lane: str = "", direction: str = "") -> Dims:
    """Return the dimensions of a place, without those that are empty."""
    pairs = (("direction", direction), ("lane", lane))
    return tuple(pair for pair in pairs if pair[1])


class FrameWindow:
    """Tells when a window of so many frames is over, and how far it can be trusted."""

    def __init__(self, window_s: float, frames_per_s: float) -> None:
        self._length = max(1, round(window_s * frames_per_s))
        self._frames = 0
        self._doubts = 0
        self._begun = False

    @property
    def doubtful(self) -> bool:
        """Tell whether too much of this window could not be used."""
        return self._doubts > self._length * DOUBTFUL_SHARE

    @property
    def flags(self) -> int:
        """Return the flags of what is told about the frames so far."""
        return int(Flag.ESTIMATED) if self.doubtful else 0

    def doubt(self, *, of_frame: bool = False) -> None:
        """Note that something could not be used: a frame that counts as time, or other bytes.

        Other bytes before the first frame are no loss: listening began in the middle of one.
        """
        self._doubts += of_frame or self._begun

    def tick(self) -> bool:
        """Count one frame; tell whether it is the last one of the window."""
        self._begun = True
        self._frames += 1
        return self._frames >= self._length

    def restart(self) -> None:
        """Begin the next window."""
        self._frames = 0
        self._doubts = 0


class Mean:
    """The mean of the values that were added."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Take one value."""
        self.count += 1
        self._sum += value

    def take(self) -> float | None:
        """Return the mean, None where nothing was added, and begin anew."""
        mean = round(self._sum / self.count, SPEED_DIGITS) if self.count else None
        self.count = 0
        self._sum = 0.0
        return mean


class SpeedTally:
    """Mean and 85th percentile of speeds in km/h; memory does not grow with their number."""

    def __init__(self) -> None:
        self._mean = Mean()
        self._steps: Counter[int] = Counter()

    def add(self, kmh: float) -> None:
        """Take one speed of 0 to ``HIGHEST_KMH``."""
        self._mean.add(kmh)
        self._steps[round(min(kmh, HIGHEST_KMH) * SPEED_STEPS_PER_KMH)] += 1

    def take(self) -> tuple[float, float] | None:
        """Return mean and p85, None where nothing was added, and begin anew.

        The percentile is linear between the two nearest ranks, of speeds rounded to 0.1 km/h.
        """
        place = P85 * (self._mean.count - 1)
        mean = self._mean.take()
        if mean is None:
            return None
        below = floor(place)
        low, high = self._at(below), self._at(min(below + 1, self._steps.total() - 1))
        self._steps.clear()
        return mean, round((low + (high - low) * (place - below)) / SPEED_STEPS_PER_KMH, 3)

    def _at(self, rank: int) -> int:
        """Return the speed of one rank, in steps."""
        seen = 0
        for step in sorted(self._steps):
            seen += self._steps[step]
            if rank < seen:
                return step
        raise ValueError(f"there is no rank {rank} among {seen}")


class PassageCounter:
    """Counts passages at places; a place is the dimensions of its series.

    ``windows``: at the end of a window count, mean and p85 speed of each place; a place without a
    passage counts 0. ``events``: a count of 1 and a speed for each passage when it happens; at
    the end of a window a 0 for each place where nothing passed, so that silence is told from rest.
    """

    def __init__(self, counted: Counted, places: Sequence[Dims], report: Report) -> None:
        self._names = COUNTED[counted]
        self._events = report == "events"
        self._counts: dict[Dims, int] = dict.fromkeys(places, 0)
        self._speeds = {place: SpeedTally() for place in places}

    def add(self, place: Dims, kmh: float | None, flags: int = 0) -> list[Measured]:
        """Count a passage, with its speed where it is known; return what is due now."""
        self._counts[place] += 1
        if not self._events:
            if kmh is not None:
                self._speeds[place].add(kmh)
            return []
        told = [Measured(self._names.passages, 1.0, place, 0.0, flags)]
        if kmh is not None:
            dims = self._speed_dims(place)
            speed = round(kmh, SPEED_DIGITS)
            told.append(Measured(self._names.speed_avg, speed, dims, 0.0, flags))
        return told

    def close(self, flags: int = 0) -> list[Measured]:
        """End a window; return what it says."""
        told: list[Measured] = []
        for place, count in self._counts.items():
            if not (self._events and count):
                told.append(Measured(self._names.passages, float(count), place, 0.0, flags))
            told += self._speed(place, flags)
            self._counts[place] = 0
        return told

    def _speed(self, place: Dims, flags: int) -> list[Measured]:
        figures = self._speeds[place].take()
        if figures is None:
            return []
        dims = self._speed_dims(place)
        names = (self._names.speed_avg, self._names.speed_p85)
        return [
            Measured(name, figure, dims, 0.0, flags)
            for name, figure in zip(names, figures, strict=True)
            if name
        ]

    def _speed_dims(self, place: Dims) -> Dims:
        return tuple(sorted((*place, *self._names.speed_dims)))
