"""What can be set for ``rate``."""

from typing import Literal

from pydantic import Field

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow

__all__ = ["RateOptions"]


class RateOptions(FilterOptions):
    """Changes faster than the quantity can: flag, or drop."""

    max: float = Field(gt=0, description="The largest change within ``per``, up or down.")
    per: Duration = Field(
        default=1.0, ge=0.001, le=86400.0, description="The time in which it may change so much."
    )
    action: Literal["flag", "drop"] = Field(
        default="flag", description="flag: keep it and say that it is doubtful; drop: lose it."
    )

    def refuse(self, flow: Flow) -> str:
        """Refuse states, which have no rate, and dropping what is added up."""
        if flow.kind in ("bool", "enum"):
            return f"{flow.quantity} is a state; it has no rate of change"
        if flow.kind == "delta" and self.action == "drop":
            return f'would lose a part of {flow.quantity}, which is added up; use action = "flag"'
        return ""
