"""What can be set for ``spike``."""

from typing import Literal

from pydantic import Field, field_validator

from gateway.filters.contract import FilterOptions, Flow

__all__ = ["SpikeOptions"]


class SpikeOptions(FilterOptions):
    """Far from the median of the last n readings (Hampel): flag, drop, or put the median there."""

    n: int = Field(
        default=7, ge=3, le=31, description="Readings that are compared, this one included; odd."
    )
    sigmas: float = Field(
        default=3.0,
        gt=0,
        le=100,
        description="A spike is more than so many robust standard deviations (1.4826 MAD) away.",
    )
    least: float = Field(
        default=0.0,
        ge=0,
        description="A deviation up to this is never a spike; in the unit of the quantity. While "
        "the last readings hardly differ only this limit counts; with 0 there is no spike then.",
    )
    action: Literal["flag", "drop", "replace"] = Field(
        default="flag",
        description="flag: keep it and say that it is doubtful; drop: lose it; replace: the "
        "median instead, flagged.",
    )

    @field_validator("n")
    @classmethod
    def _has_a_middle(cls, n: int) -> int:
        if n % 2 == 0:
            raise ValueError("must be odd, so that one reading stands in the middle")
        return n

    def refuse(self, flow: Flow) -> str:
        """Refuse what has no spread, and anything but flagging of what is added up."""
        if flow.kind in ("bool", "enum", "counter"):
            return f"{flow.quantity} is a {flow.kind}; a median of it means nothing"
        if flow.kind == "delta" and self.action != "flag":
            return f'would falsify {flow.quantity}, which is added up; use action = "flag"'
        return ""
