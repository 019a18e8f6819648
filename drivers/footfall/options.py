"""What can be set for counting, and the limits that cannot be."""

from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["DEFAULT_K", "LEAST_K", "WINDOW_MAX_S", "WINDOW_MIN_S", "FootfallOptions"]

WINDOW_MIN_S = 60
WINDOW_MAX_S = 900
"""PRIV-03."""
DEFAULT_K = 5
LEAST_K = 3
"""PRIV-05."""
WEAKEST_DBM = -126
STRONGEST_DBM = 20


class FootfallOptions(BaseModel):
    """How long, how near, and from how many on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_s: int = Field(
        default=300,
        ge=WINDOW_MIN_S,
        le=WINDOW_MAX_S,
        description="Seconds of one window; a device is counted once in each.",
    )
    suppress_below: int = Field(
        default=DEFAULT_K,
        ge=LEAST_K,
        le=1000,
        description="The smallest count above zero that may be known (k).",
    )
    weakest_dbm: int = Field(
        default=WEAKEST_DBM,
        ge=WEAKEST_DBM,
        le=STRONGEST_DBM,
        description="Devices heard more weakly are not counted.",
    )
    near_dbm: int | None = Field(
        default=None,
        ge=WEAKEST_DBM,
        le=STRONGEST_DBM,
        description="From here on a device is near, else far. Unset: no zones.",
    )
    middle_dbm: int | None = Field(
        default=None,
        ge=WEAKEST_DBM,
        le=STRONGEST_DBM,
        description="Below near_dbm, and from here on, a device is in the middle zone.",
    )

    @model_validator(mode="after")
    def _strongest_first(self) -> Self:
        if self.middle_dbm is not None and self.near_dbm is None:
            raise ValueError("middle_dbm needs near_dbm")
        limits = [self.near_dbm, self.middle_dbm, self.weakest_dbm]
        given = [limit for limit in limits if limit is not None]
        if any(below >= above for above, below in pairwise(given)):
            raise ValueError("near_dbm, middle_dbm and weakest_dbm must fall in this order")
        return self
