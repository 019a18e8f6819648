"""``counter``: what a cumulative counter has counted since the reading before, or how fast."""

from dataclasses import replace
from math import isfinite
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from gateway.filters.calibrating import raw_dims
from gateway.filters.contract import FilterOptions, Flow, Output, Passed, Place
from gateway.filters.units import rate_factor
from gateway.quantities import registry
from gateway.reading import Flag

__all__ = ["Counter", "CounterOptions"]

RESET = int(Flag.COUNTER_RESET)


class CounterOptions(FilterOptions):
    """From a cumulative counter to what it counted between two readings, or to a rate."""

    give: Literal["delta", "rate"] = Field(
        default="delta", description="The difference to the reading before, or that per time."
    )
    to: str | None = Field(
        default=None,
        description="With rate: the quantity that the rate is, such as power.active for "
        "energy.active_import; the readings are stored as that quantity.",
    )
    rollover: float | None = Field(
        default=None,
        gt=0,
        description="The value at which the counter begins at 0 again, such as 100000 for five "
        "digits. A fall by more than half of it is a rollover, any other a reset.",
    )
    after_reset: Literal["from_zero", "nothing"] = Field(
        default="from_zero",
        description="from_zero: it began at 0 and counted up to what it shows; nothing: nobody "
        "knows, 0. Either way the reading is flagged counter_reset.",
    )
    keep_raw: bool = Field(
        default=False, description="Keep the readings of the counter, too, as they came in."
    )

    @model_validator(mode="after")
    def _a_rate_is_something(self) -> "CounterOptions":
        if self.give == "rate" and self.to is None:
            raise ValueError("a rate is another quantity; say which with to")
        if self.give == "delta" and self.to is not None:
            raise ValueError("to is for give = rate")
        if self.to is not None and self.to not in registry():
            raise ValueError(f"{self.to!r} is no quantity")
        return self

    def refuse(self, flow: Flow) -> str:
        """Refuse what does not count, and a rate that is none of what is counted."""
        if flow.kind not in ("counter", "delta") or flow.aggregation != "instant":
            return f"{flow.quantity} is no counter"
        if self.to is not None and rate_factor(flow.unit, registry()[self.to].ucum) is None:
            return f"{flow.unit} per time is not {registry()[self.to].ucum}, the unit of {self.to}"
        if self.keep_raw and "raw" in flow.calibration:
            return "the raw series is kept by a filter before this one already"
        return ""

    def after(self, flow: Flow) -> Flow:
        """Return a rate, or what is to be added up.

        The difference of a counter is no counter any more: its series has the aggregation ``sum``.
        """
        if self.to is not None:
            return replace(flow, quantity=self.to, unit=registry()[self.to].ucum, kind="gauge")
        if flow.kind == "counter":
            return replace(flow, kind="delta", aggregation="sum")
        return flow


class Counter:
    """Gives the difference between two readings of a counter, at the time of the second.

    The first reading gives nothing. A reading that is older than the one before it is lost; a rate
    waits until time has passed.
    """

    name: ClassVar[str] = "counter"
    Options: ClassVar[type[FilterOptions]] = CounterOptions
    thins: ClassVar[bool] = False
    absorbs: ClassVar[bool] = True
    __slots__ = (
        "_factor",
        "_flags",
        "_from_zero",
        "_last",
        "_last_ns",
        "_raw",
        "_raw_pending",
        "_rollover",
        "_started",
        "_to",
    )

    def __init__(self, options: CounterOptions) -> None:
        self._rollover = options.rollover or 0.0
        self._from_zero = options.after_reset == "from_zero"
        self._to = options.to
        self._factor = 0.0
        """What one unit a second is in the unit of the rate; 0 for differences."""
        self._started = False
        self._last = 0.0
        self._last_ns = self._flags = 0
        self._raw = 0 if options.keep_raw else -1
        self._raw_pending: list[tuple[int, int, float, int]] | None = None

    def enter(self, place: Place) -> None:
        """Take the unit that is counted, and announce the raw series if there is to be one."""
        flow = place.flow
        if self._to is not None:
            self._factor = rate_factor(flow.unit, registry()[self._to].ucum) or 0.0
        if self._raw >= 0:
            # The counter's own series is free, unless the differences go there.
            plain = self._to is not None or flow.kind == "counter"
            dims = place.dims if plain else raw_dims(place.dims)
            output = Output(flow.quantity, dims, flow.aggregation, flow.unit, flow.calibration)
            self._raw = place.outbox.declare(output)
            self._raw_pending = place.outbox.pending

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return difference or rate; None for the first reading and for a late one."""
        if self._raw_pending is not None:
            self._raw_pending.append((self._raw, time_ns, value, flags))
        if not self._started:
            self._started = True
            self._last, self._last_ns = value, time_ns
            return None
        passed_ns = time_ns - self._last_ns
        if passed_ns < 0 or (passed_ns == 0 and self._factor):
            self._flags |= flags
            return None
        counted, reset = self._counted(value)
        flags |= reset | self._flags
        self._last, self._last_ns, self._flags = value, time_ns, 0
        if self._factor:
            counted = counted / passed_ns * 1e9 * self._factor
        return (time_ns, counted, flags) if isfinite(counted) else None

    def _counted(self, value: float) -> tuple[float, int]:
        """Return what was counted since the last reading, and whether the counter was reset."""
        if value >= self._last:
            return value - self._last, 0
        if self._rollover and self._last - value > self._rollover / 2:
            return max(self._rollover - self._last, 0.0) + value, 0
        return (max(value, 0.0) if self._from_zero else 0.0), RESET
