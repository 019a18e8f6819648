"""What can be set for ``deadband``."""

import re
from typing import Any

from pydantic import Field, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow

__all__ = ["DEFAULT_HEARTBEAT_S", "DeadbandOptions"]

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

    def refuse(self, flow: Flow) -> str:
        """Refuse to lose a part of a sum."""
        if flow.kind == "delta" and flow.aggregation == "instant":
            return f"would lose a part of {flow.quantity}, which is added up"
        return ""
