"""``median``, ``mean``, ``ewma``: smoothing over the last n readings, or over a time constant.

All three leave out readings that are flagged as bad (range, stuck): these pass as they are and do
not touch the others. Time and flags of what comes out are those of the reading that went in.
"""

from bisect import bisect_left, insort
from collections import deque
from math import expm1, isfinite
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow, Passed
from gateway.filters.scale import scale_of
from gateway.reading import Flag

__all__ = ["Ewma", "EwmaOptions", "Mean", "MeanOptions", "Median", "MedianOptions"]

BAD = int(Flag.RANGE | Flag.STUCK)
MAX_READINGS = 100


def _refuse(flow: Flow, *, mean: bool) -> str:
    if flow.kind != "gauge":
        return f"{flow.quantity} is a {flow.kind}; smoothing would falsify it"
    scale = scale_of(flow)
    if scale == "circle":
        return f"{flow.quantity} is an angle, for which that means nothing; window has its mean"
    if scale == "level" and mean:
        return f"{flow.quantity} is in decibels, which cannot be averaged so; window has its mean"
    return ""


class _OverReadings(FilterOptions):
    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        if isinstance(options, int) and not isinstance(options, bool):
            return {"n": options}
        return options


class MedianOptions(_OverReadings):
    """The median of the last n readings: a number, or a table."""

    n: int = Field(ge=3, le=MAX_READINGS - 1, description="Readings, this one included; odd.")

    @field_validator("n")
    @classmethod
    def _has_a_middle(cls, n: int) -> int:
        if n % 2 == 0:
            raise ValueError("must be odd, so that one reading stands in the middle")
        return n

    def refuse(self, flow: Flow) -> str:
        """Refuse all but gauges that have an order."""
        return _refuse(flow, mean=False)


class Median:
    """The median of the last n readings; before the n-th, of those there are.

    Of an even number the lower one of the two in the middle, so that only measured values come
    out.
    """

    name: ClassVar[str] = "median"
    Options: ClassVar[type[FilterOptions]] = MedianOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_order", "_size", "_sorted")

    def __init__(self, options: MedianOptions) -> None:
        self._size = options.n
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return time, median and flags."""
        if flags & BAD:
            return time_ns, value, flags
        order, ranked = self._order, self._sorted
        if len(order) == self._size:
            del ranked[bisect_left(ranked, order.popleft())]
        order.append(value)
        insort(ranked, value)
        return time_ns, ranked[(len(ranked) - 1) // 2], flags


class MeanOptions(_OverReadings):
    """The mean of the last n readings: a number, or a table."""

    n: int = Field(ge=2, le=MAX_READINGS, description="Readings, this one included.")

    def refuse(self, flow: Flow) -> str:
        """Refuse all but gauges that can be averaged."""
        return _refuse(flow, mean=True)


class Mean:
    """The mean of the last n readings; before the n-th, of those there are."""

    name: ClassVar[str] = "mean"
    Options: ClassVar[type[FilterOptions]] = MeanOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_last",)

    def __init__(self, options: MeanOptions) -> None:
        self._last: deque[float] = deque(maxlen=options.n)

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return time, mean and flags; None where the numbers are too large to be added."""
        if flags & BAD:
            return time_ns, value, flags
        last = self._last
        last.append(value)
        # Added anew each time: a running sum would carry the rounding of years with it.
        mean = sum(last) / len(last)
        return (time_ns, mean, flags) if isfinite(mean) else None


class EwmaOptions(FilterOptions):
    """An exponentially weighted mean, over n readings or over a time constant."""

    n: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Each reading weighs 2 / (n + 1)."
    )
    time: Duration | None = Field(
        default=None,
        ge=0.001,
        le=30 * 86400.0,
        description="Time constant: a reading weighs 1 - exp(-age of the one before / time).",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        if isinstance(options, str):
            return {"time": options}
        if isinstance(options, int) and not isinstance(options, bool):
            return {"n": options}
        return options

    @model_validator(mode="after")
    def _one_of_both(self) -> "EwmaOptions":
        if (self.n is None) == (self.time is None):
            raise ValueError("needs n or time, and not both")
        return self

    def refuse(self, flow: Flow) -> str:
        """Refuse all but gauges that can be averaged."""
        return _refuse(flow, mean=True)


class Ewma:
    """y += w · (x - y), beginning with the first reading.

    With ``time`` w depends on the time since the newest reading before, so that uneven spacing
    counts as it should; a reading that comes late or at the same time has w = 0: it comes out as
    the mean that is known.
    """

    name: ClassVar[str] = "ewma"
    Options: ClassVar[type[FilterOptions]] = EwmaOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_last_ns", "_mean", "_started", "_time_ns", "_weight")

    def __init__(self, options: EwmaOptions) -> None:
        self._weight = 2 / (options.n + 1) if options.n is not None else 0.0
        self._time_ns = (options.time or 0.0) * 1e9
        self._started = False
        self._mean = 0.0
        self._last_ns = 0

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return time, weighted mean and flags."""
        if flags & BAD:
            return time_ns, value, flags
        if not self._started:
            self._started = True
            self._mean = value
            self._last_ns = time_ns
            return time_ns, value, flags
        weight = self._weight
        if self._time_ns:
            weight = -expm1(-max(time_ns - self._last_ns, 0) / self._time_ns)
            self._last_ns = max(time_ns, self._last_ns)
        # Two products, because the difference of two finite numbers may be infinite.
        self._mean = self._mean * (1 - weight) + value * weight
        return time_ns, self._mean, flags
