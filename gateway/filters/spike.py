"""``spike``: the Hampel identifier, median and median absolute deviation of the last n readings."""

from array import array
from bisect import bisect_left, bisect_right, insort
from typing import ClassVar

from gateway.filters.contract import FilterOptions, Passed
from gateway.filters.spike_options import SpikeOptions
from gateway.reading import Flag

__all__ = ["COMPILED", "SIGMA_PER_MAD", "Spike", "SpikeOptions"]

COMPILED = not __file__.endswith((".py", ".pyc"))
"""This module is the compiled one: loops over a few numbers cost less than calls of bisect."""

SIGMA_PER_MAD = 1.4826
"""So many times the median absolute deviation is the standard deviation of a normal sample."""
OUTLIER = int(Flag.SPIKE)
REPLACED = int(Flag.SPIKE | Flag.SUBSTITUTED)


class Spike:
    """Sets ``Flag.SPIKE`` on a reading x with |x - median| > max(sigmas · 1.4826 · MAD, least).

    Median and MAD are of the last n readings with x among them, as they came in. The first n - 1
    readings are not judged. A MAD of 0 says nothing about the spread: then only ``least`` counts.
    """

    name: ClassVar[str] = "spike"
    Options: ClassVar[type[FilterOptions]] = SpikeOptions
    thins: ClassVar[bool] = False
    __slots__ = (
        "_action",
        "_at",
        "_count",
        "_half",
        "_least",
        "_mads",
        "_order",
        "_ranked",
        "_size",
        "_sorted",
    )

    def __init__(self, options: SpikeOptions) -> None:
        self._size = options.n
        self._half = options.n // 2
        self._mads = options.sigmas * SIGMA_PER_MAD
        self._least = options.least
        self._action = options.action
        self._order = array("d", bytes(8 * options.n))
        """The last n readings, the oldest at ``_at``."""
        self._sorted = array("d", bytes(8 * options.n))
        """The same by size, where it is compiled; the first ``_count`` are in use."""
        self._ranked: list[float] = []
        """The same by size, where it is interpreted."""
        self._at = self._count = 0

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading, flagged or replaced if it is a spike; None if so and dropped."""
        number = value
        if COMPILED:
            self._push(number)
            median = self._sorted[self._half]
        else:
            ranked = self._ranked
            if self._count == self._size:
                del ranked[bisect_left(ranked, self._order[self._at])]
            else:
                self._count += 1
            insort(ranked, number)
            median = ranked[self._half] if self._count == self._size else number
        self._order[self._at] = number
        self._at = self._at + 1 if self._at + 1 < self._size else 0
        if self._count < self._size:
            return time_ns, value, flags
        deviation = abs(number - median)
        if deviation <= self._least or not self._is_far(median, deviation):
            return time_ns, value, flags
        if self._action == "flag":
            return time_ns, value, flags | OUTLIER
        if self._action == "drop":
            return None
        return time_ns, median + 0.0, flags | REPLACED  # + 0.0: never -0.0, whichever came first

    def _push(self, number: float) -> None:
        """Put a number in its place among the others, and take the oldest out, in loops."""
        ranked = self._sorted
        if self._count < self._size:
            place = self._count
            self._count += 1
        else:
            oldest = self._order[self._at]
            place = 0
            while ranked[place] != oldest:
                place += 1
        while place > 0 and ranked[place - 1] > number:
            ranked[place] = ranked[place - 1]
            place -= 1
        while place + 1 < self._count and ranked[place + 1] < number:
            ranked[place] = ranked[place + 1]
            place += 1
        ranked[place] = number

    def _is_far(self, median: float, deviation: float) -> bool:
        """Tell whether MAD < deviation / (sigmas · 1.4826), without working out the MAD.

        It is below a limit just when more than half of the readings are nearer to the median, and
        above zero just when not more than half of them are equal.
        """
        limit = deviation / self._mads
        if COMPILED:
            nearer = equal = 0
            for place in range(self._size):
                nearer += median - limit < self._sorted[place] < median + limit
                equal += self._sorted[place] == median
        else:
            ranked = self._ranked
            nearer = bisect_left(ranked, median + limit) - bisect_right(ranked, median - limit)
            if nearer <= self._half:
                return False
            equal = bisect_right(ranked, median) - bisect_left(ranked, median)
        return nearer > self._half and (equal <= self._half or self._least > 0)
