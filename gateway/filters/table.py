"""``table``: a calibration curve given by points, straight between them."""

from bisect import bisect_right
from itertools import pairwise
from math import isfinite
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from gateway.filters.calibrating import Calibrating, CalibrationOptions
from gateway.filters.contract import FilterOptions, Passed
from gateway.reading import Flag

__all__ = ["MAX_POINTS", "Table", "TableOptions"]

MAX_POINTS = 200
OUTSIDE = int(Flag.RANGE)


class TableOptions(CalibrationOptions):
    """A curve through points [read, true]: a list of them, or a table."""

    points: tuple[tuple[float, float], ...] = Field(
        min_length=2,
        max_length=MAX_POINTS,
        description="What the sensor read and what was true, [[0, 0.4], [50, 47]]; what was read "
        "grows from point to point.",
    )
    outside: Literal["extend", "hold", "flag", "drop"] = Field(
        default="extend",
        description="Before the first and behind the last point: extend the line, hold the end's "
        "value, extend and flag as out of range, or drop.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"points": options} if isinstance(options, list | tuple) else options

    @field_validator("points")
    @classmethod
    def _grows(cls, points: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        for (before, low), (behind, high) in pairwise(points):
            if behind <= before:
                raise ValueError(f"{behind:g} comes behind {before:g}; what was read must grow")
            if not isfinite((high - low) / (behind - before)):
                raise ValueError(f"between {before:g} and {behind:g} it is too steep")
        return points

    def described(self) -> str:
        """Return in one line what it does."""
        return "table " + " ".join(f"{read:g}:{true:g}" for read, true in self.points)


class Table(Calibrating):
    """Puts the value of the curve at x in the place of x."""

    name: ClassVar[str] = "table"
    Options: ClassVar[type[FilterOptions]] = TableOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_outside", "_read", "_slopes", "_true")

    def __init__(self, options: TableOptions) -> None:
        super().__init__(options)
        self._read = [read for read, _ in options.points]
        self._true = [true for _, true in options.points]
        self._slopes = [
            (true - true_before) / (read - read_before)
            for (read_before, true_before), (read, true) in pairwise(options.points)
        ]
        self._outside = options.outside

    def _calibrate(self, time_ns: int, value: float, flags: int) -> Passed | None:
        read = self._read
        if value < read[0] or value > read[-1]:
            if self._outside == "drop":
                return None
            if self._outside == "hold":
                value = min(max(value, read[0]), read[-1])
            elif self._outside == "flag":
                flags |= OUTSIDE
        if value == read[-1]:
            return time_ns, self._true[-1], flags
        place = min(max(bisect_right(read, value) - 1, 0), len(self._slopes) - 1)
        value = self._true[place] + (value - read[place]) * self._slopes[place]
        return (time_ns, value, flags) if isfinite(value) else None
