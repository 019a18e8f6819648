"""``range``: a value outside min..max is flagged, or dropped."""

from typing import ClassVar

from gateway.filters.contract import FilterOptions, Passed
from gateway.filters.range_options import RangeOptions
from gateway.reading import Flag

__all__ = ["Range", "RangeOptions"]

OUTSIDE = int(Flag.RANGE)
"""As a plain int, because the operators of IntFlag cost more than the whole filter."""


class Range:
    """Sets ``Flag.RANGE`` on a value below min or above max, or drops it."""

    name: ClassVar[str] = "range"
    Options: ClassVar[type[FilterOptions]] = RangeOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_drops", "_max", "_min")

    def __init__(self, options: RangeOptions) -> None:
        self._min = float("-inf") if options.min is None else options.min
        self._max = float("inf") if options.max is None else options.max
        self._drops = options.action == "drop"

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading, flagged if it is outside; None if it is outside and to be dropped."""
        number = value
        if self._min <= number <= self._max:
            return time_ns, value, flags
        if self._drops:
            return None
        return time_ns, value, flags | OUTSIDE
