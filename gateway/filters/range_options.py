"""What can be set for ``range``."""

from typing import Literal

from pydantic import Field, model_validator

from gateway.filters.contract import FilterOptions

__all__ = ["RangeOptions"]


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
