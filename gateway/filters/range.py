"""``range``: a value outside min..max is flagged, or dropped."""

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gateway.filters.contract import FilterOptions, Passed
from gateway.reading import Flag

__all__ = ["Range", "RangeOptions"]

OUTSIDE = int(Flag.RANGE)
"""As a plain int, because the operators of IntFlag cost more than the whole filter."""


class RangeOptions(FilterOptions):
    """Outside min..max (the limits themselves are inside): flag, or drop."""

    min: float | None = Field(default=None, description="Lowest good value; empty: no limit.")
    max: float | None = Field(default=None, description="Highest good value; empty: no limit.")
    action: Literal["flag", "drop"] = Field(
        default="flag", description="flag: keep it and say that it is doubtful; drop: lose it."
    )

    @model_validator(mode="after")
    def _limits_make_sense(self) -> "RangeOptions":
        if self.min is None and self.max is None:
            raise ValueError("needs min or max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


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
        if self._min <= value <= self._max:
            return time_ns, value, flags
        if self._drops:
            return None
        return time_ns, value, flags | OUTSIDE
