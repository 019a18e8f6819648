"""A light beam across a lane, made of distances: what stands in it, since when, and what passed.

Time is counted in frames. A frame without a distance says nothing: the state stays for a moment
and is unknown after it, and only what was seen to come counts.
"""

from typing import NamedTuple

__all__ = ["Beam", "Passage"]


class Passage(NamedTuple):
    """Something came into the beam that was seen to be clear before."""

    headway_frames: int | None
    """From the front of the one before to this front; None where that is not known."""
    gap_frames: int | None
    """From the end of the one before to this front."""


class Beam:
    """Takes one distance a frame."""

    def __init__(
        self, *, threshold_cm: float, hysteresis_cm: float, min_frames: int, hold_frames: int
    ) -> None:
        self._near_cm = threshold_cm
        self._clear_cm = threshold_cm + hysteresis_cm
        self._min_frames = min_frames
        self._hold_frames = hold_frames
        self._frame = 0
        self._without = 0
        """Frames without a distance in a row."""
        self._other = 0
        """Frames in a row that say the opposite of ``blocked``; those without a distance do not
        break the row."""
        self._since = 0
        """The first of them."""
        self._front: int | None = None
        self._end: int | None = None
        """Frames of the last front and end that were seen, None if one may have been missed."""
        self.blocked: bool | None = None
        """None: not known."""

    def sample(self, distance_cm: int | None) -> Passage | None:
        """Take the distance of one frame, None where it has none."""
        self._frame += 1
        if distance_cm is None:
            self._without += 1
            if self._without > self._hold_frames:
                self._forget()
            return None
        self._without = 0
        near = distance_cm < (self._clear_cm if self.blocked else self._near_cm)
        if near == self.blocked:
            self._other = 0
            return None
        if not self._other:
            self._since = self._frame
        self._other += 1
        if self._other < self._min_frames:
            return None
        return self._change(near)

    def _change(self, blocked: bool) -> Passage | None:  # noqa: FBT001 - it is the new state
        """Take over a state that has lasted long enough; it began a few frames ago."""
        before, self.blocked = self.blocked, blocked
        began = self._since
        self._other = 0
        if not blocked:
            # An end without a front is that of something that was not counted.
            self._end = began if before and self._front is not None else None
            return None
        if before is None:
            self._front = self._end = None
            return None
        passage = Passage(
            None if self._front is None else began - self._front,
            None if self._end is None else began - self._end,
        )
        self._front = began
        self._end = None
        return passage

    def _forget(self) -> None:
        self.blocked = None
        self._other = 0
        self._front = self._end = None
