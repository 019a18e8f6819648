"""``suppress_small``: counts so small that they may tell of single persons do not leave (PRIV-05).

A count from 1 to k - 1 becomes 0 with the flag ``suppressed``; so nothing in value or time tells
them apart. Zero itself passes without the flag, k and more pass as they are.
"""

import re
from typing import Any, ClassVar

from pydantic import Field, model_validator

from gateway.filters.contract import FilterOptions, Flow, Passed
from gateway.reading import Flag

__all__ = ["DEFAULT_K", "LEAST_K", "SuppressSmall", "SuppressSmallOptions"]

DEFAULT_K = 5
LEAST_K = 3
HIDDEN = int(Flag.SUPPRESSED)
COUNTED = re.compile(r"\{[^{}]+\}")
"""UCUM codes of counts: {vehicle}, {person}."""


class SuppressSmallOptions(FilterOptions):
    """Counts from 1 to k - 1 become 0, flagged as suppressed: k, or a table."""

    k: int = Field(
        default=DEFAULT_K,
        ge=LEAST_K,
        le=1000,
        description="The smallest count above zero that may be known.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        if isinstance(options, int) and not isinstance(options, bool):
            return {"k": options}
        return options

    def refuse(self, flow: Flow) -> str:
        """Refuse what is no count."""
        if flow.unit and flow.aggregation != "count" and not COUNTED.fullmatch(flow.unit):
            return f"{flow.quantity} is no count"
        if flow.aggregation not in ("instant", "sum", "count", "last", "max"):
            return f"the {flow.aggregation} of {flow.quantity} is no count; give the sum only"
        return ""


class SuppressSmall:
    """Hides every value between 0 and k, both not included.

    A value below zero is no count; it is hidden, too.
    """

    name: ClassVar[str] = "suppress_small"
    Options: ClassVar[type[FilterOptions]] = SuppressSmallOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_k",)

    def __init__(self, options: SuppressSmallOptions) -> None:
        self._k = options.k

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading, or 0 and the flag in place of a small count."""
        if value >= self._k or value == 0:
            return time_ns, value, flags
        return time_ns, 0.0, flags | HIDDEN
