"""``deadband``: send on change, with a heartbeat so that silence stays visible."""

import re
from typing import Any, ClassVar

from pydantic import Field, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Passed

__all__ = ["Deadband", "DeadbandOptions"]

DEFAULT_HEARTBEAT_S = 60.0
_PERCENT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*")


class DeadbandOptions(FilterOptions):
    """Send on change: a number, text such as "5 %", or a table. 0 means: on every change."""

    absolute: float | None = Field(
        default=None, ge=0, description="A change above this passes; in the unit of the quantity."
    )
    percent: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="A change above so many percent of the value passed last passes. "
        "With absolute as well, the larger of the two counts.",
    )
    heartbeat: Duration = Field(
        default=DEFAULT_HEARTBEAT_S,
        ge=1.0,
        le=86400.0,
        description="A reading passes after so long even without a change.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        if isinstance(options, str):
            match = _PERCENT.fullmatch(options)
            if match is None:
                raise ValueError('must be a number, text such as "5 %", or a table')
            return {"percent": float(match[1])}
        if isinstance(options, int | float) and not isinstance(options, bool):
            return {"absolute": options}
        return options

    @model_validator(mode="after")
    def _a_width_is_given(self) -> "DeadbandOptions":
        if self.absolute is None and self.percent is None:
            raise ValueError("needs absolute or percent or both")
        return self


class Deadband:
    """Passes a reading that differs from the one it passed last.

    It passes when it is the first, when its flags differ, when its value differs by more than the
    band (the larger of ``absolute`` and ``percent`` of the value passed last), or when its event
    time is at least ``heartbeat`` after that of the reading passed last.
    """

    name: ClassVar[str] = "deadband"
    Options: ClassVar[type[FilterOptions]] = DeadbandOptions
    thins: ClassVar[bool] = True
    __slots__ = ("_absolute", "_due_ns", "_flags", "_heartbeat_ns", "_high", "_low", "_share")

    def __init__(self, options: DeadbandOptions) -> None:
        self._absolute = options.absolute or 0.0
        self._share = (options.percent or 0.0) / 100
        self._heartbeat_ns = round(options.heartbeat * 1e9)
        self._flags = -1
        """Of the reading passed last; -1, which no reading has, before the first."""
        self._low = self._high = 0.0
        self._due_ns = 0

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading if it says something new or the heartbeat is due, else None."""
        if self._low <= value <= self._high and time_ns < self._due_ns and flags == self._flags:
            return None
        width = max(self._absolute, abs(value) * self._share)
        self._low = value - width
        self._high = value + width
        self._due_ns = time_ns + self._heartbeat_ns
        self._flags = flags
        return time_ns, value, flags
