"""``stuck``: a sensor that says the same for too long, or whose noise is gone."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow, Passed
from gateway.reading import Flag

__all__ = ["MIN_READINGS", "Stuck", "StuckOptions"]

FROZEN = int(Flag.STUCK)
MIN_READINGS = 3
"""A stretch with fewer readings says nothing about their variance."""


class StuckOptions(FilterOptions):
    """The same value for longer than that, or a variance below a limit: flag, or drop."""

    longer: Duration = Field(
        ge=1.0, le=30 * 86400.0, description="How long a good sensor may say the same."
    )
    variance: float | None = Field(
        default=None,
        gt=0,
        description="Instead of the very same value: the variance over a stretch of that length "
        "is below this; in the unit of the quantity, squared.",
    )
    action: Literal["flag", "drop"] = Field(
        default="flag", description="flag: keep it and say that it is bad; drop: lose it."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"longer": options} if isinstance(options, str | int | float) else options

    def refuse(self, flow: Flow) -> str:
        """Refuse a variance of what has none, and dropping what is added up."""
        if self.variance is not None and flow.kind != "gauge":
            return f"{flow.quantity} is a {flow.kind}; its variance means nothing"
        if flow.kind == "delta" and self.action == "drop":
            return f'would lose a part of {flow.quantity}, which is added up; use action = "flag"'
        return ""


class Stuck:
    """Sets ``Flag.STUCK`` on readings of a sensor that does not move any more.

    Without ``variance``: on a reading whose value has been the same since more than ``longer``.
    With it: time is cut into stretches of that length, the first beginning with the first reading.
    Once a stretch of at least three readings had less variance than that, readings are flagged
    until a stretch has more; within the running stretch, as soon as it has.
    """

    name: ClassVar[str] = "stuck"
    Options: ClassVar[type[FilterOptions]] = StuckOptions
    thins: ClassVar[bool] = False
    __slots__ = (
        "_count",
        "_drops",
        "_limit",
        "_longer_ns",
        "_mean",
        "_quiet",
        "_since_ns",
        "_squares",
        "_value",
        "apply",
    )

    def __init__(self, options: StuckOptions) -> None:
        self._longer_ns = round(options.longer * 1e9)
        self._limit = options.variance or 0.0
        self._drops = options.action == "drop"
        self._since_ns: int | None = None
        self._value = self._mean = self._squares = 0.0
        self._count = 0
        self._quiet = False
        self.apply = self._same if options.variance is None else self._still
        """Take the next reading and return what comes out, or None if nothing does."""

    def _same(self, time_ns: int, value: float, flags: int) -> Passed | None:
        if self._since_ns is None or value != self._value:
            self._since_ns = time_ns
            self._value = value
        elif time_ns - self._since_ns > self._longer_ns:
            return None if self._drops else (time_ns, value, flags | FROZEN)
        return time_ns, value, flags

    def _still(self, time_ns: int, value: float, flags: int) -> Passed | None:
        if self._since_ns is None:
            self._since_ns = time_ns
        elif time_ns - self._since_ns >= self._longer_ns:
            stretches = (time_ns - self._since_ns) // self._longer_ns
            self._quiet = stretches == 1 and self._below() and self._count >= MIN_READINGS
            self._since_ns += stretches * self._longer_ns
            self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._count += 1
        step = value - self._mean
        self._mean += step / self._count
        self._squares += step * (value - self._mean)
        if self._quiet and self._below():
            return None if self._drops else (time_ns, value, flags | FROZEN)
        self._quiet = False
        return time_ns, value, flags

    def _below(self) -> bool:
        return self._squares / self._count < self._limit
