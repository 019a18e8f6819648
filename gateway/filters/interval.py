"""``interval``: at most one reading per interval.

Intervals are aligned to the boot of the machine and judged by event time; there is no timer.

- ``first`` passes the first reading of each interval, at once. Nothing is held back.
- ``last`` and ``mean`` can only know that an interval is over when a reading of a later one comes.
  That reading brings out what was held and is held itself. What comes out carries the event time
  of the newest reading in it, never that of the reading which brought it out, so it stays true
  even if the sensor was silent for hours in between. At a stop the one held back is lost.

A reading of an interval that is over already (a device reported an old one late) is dropped.
"""

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow, Passed
from gateway.filters.scale import scale_of

__all__ = ["Interval", "IntervalOptions"]


class IntervalOptions(FilterOptions):
    """At most one reading per interval: text such as "10 s", or a table."""

    every: Duration = Field(ge=0.1, le=86400.0, description="Length of the interval.")
    take: Literal["first", "last", "mean"] = Field(
        default="first",
        description="first: at once; last, mean: when the next interval begins, with the time of "
        "the newest reading in it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"every": options} if isinstance(options, str | int | float) else options

    def refuse(self, flow: Flow) -> str:
        """Refuse to lose a part of a sum, and a mean where there is none."""
        if flow.kind == "delta":
            return f"would lose a part of {flow.quantity}, which is added up; window has its sum"
        if self.take == "mean" and (flow.kind != "gauge" or scale_of(flow) != "plain"):
            return f"a mean of {flow.quantity} means nothing here; take the last, or use window"
        return ""

    def after(self, flow: Flow) -> Flow:
        """Say that a mean is one, and over how long."""
        if self.take != "mean" or flow.aggregation != "instant":
            return flow
        window = {**flow.calibration, "window_s": f"{self.every:g}"}
        return replace(flow, aggregation="mean", calibration=window)


class Interval:
    """Lets one reading per interval through: the first, the last, or the mean of all."""

    name: ClassVar[str] = "interval"
    Options: ClassVar[type[FilterOptions]] = IntervalOptions
    thins: ClassVar[bool] = True
    __slots__ = ("_count", "_every_ns", "_flags", "_number", "_take", "_time_ns", "_value", "apply")

    def __init__(self, options: IntervalOptions) -> None:
        self._every_ns = round(options.every * 1e9)
        self._number: int | None = None
        """Which interval is open; None before the first reading."""
        self._time_ns = self._count = self._flags = 0
        self._value = 0.0
        self.apply = {"first": self._first, "last": self._last, "mean": self._mean}[options.take]
        """Take the next reading and return what comes out, or None if nothing does."""

    def _first(self, time_ns: int, value: float, flags: int) -> Passed | None:
        number = time_ns // self._every_ns
        if self._number is not None and number <= self._number:
            return None
        self._number = number
        return time_ns, value, flags

    def _last(self, time_ns: int, value: float, flags: int) -> Passed | None:
        number = time_ns // self._every_ns
        if number == self._number:
            if time_ns >= self._time_ns:
                self._time_ns, self._value, self._flags = time_ns, value, flags
            return None
        return self._next(number, time_ns, value, flags)

    def _mean(self, time_ns: int, value: float, flags: int) -> Passed | None:
        number = time_ns // self._every_ns
        if number == self._number:
            self._count += 1
            # Two divisions, because the difference of two finite numbers may be infinite.
            self._value += value / self._count - self._value / self._count
            self._time_ns = max(self._time_ns, time_ns)
            self._flags |= flags
            return None
        return self._next(number, time_ns, value, flags)

    def _next(self, number: int, time_ns: int, value: float, flags: int) -> Passed | None:
        """Bring out what is held and hold this reading, unless it is late."""
        held = None
        if self._number is not None:
            if number < self._number:
                return None
            held = self._time_ns, self._value, self._flags
        self._number, self._count = number, 1
        self._time_ns, self._value, self._flags = time_ns, value, flags
        return held
