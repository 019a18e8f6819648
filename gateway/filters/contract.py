"""What a filter is: a small class with explicit state, one instance per series."""

from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

__all__ = ["Filter", "FilterOptions", "Passed"]

Passed = tuple[int, float, int]
"""What came out: event time (CLOCK_BOOTTIME, ns), value, flags.

The time is part of it because a filter may bring out a reading that it held back before; that
reading keeps the time at which it was measured.
"""


class FilterOptions(BaseModel):
    """The base of every filter's options: checked, frozen, no unknown keys, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Filter(Protocol):
    """One filter of one series.

    It works on event time, keeps O(1) state, reads no clock and draws no random number: the same
    readings give the same result. NaN and infinities never reach it.
    """

    name: ClassVar[str]
    Options: ClassVar[type[FilterOptions]]
    thins: ClassVar[bool]
    """It drops readings that are right, so it must not see quantities that are to be added up."""

    def __init__(self, options: Any) -> None:
        """Take an instance of ``Options``; raise nothing that ``Options`` could have refused."""

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Take the next reading and return what comes out, or None if nothing does."""
        ...
