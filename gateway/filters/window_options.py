"""What can be set for ``window``, and which figures of which quantity mean something."""

from typing import Any, Literal, cast

from pydantic import Field, field_validator, model_validator

from gateway.config.units import Duration
from gateway.filters.contract import FilterOptions, Flow
from gateway.filters.scale import scale_of
from gateway.quantities import Kind
from gateway.reading import Aggregation

__all__ = ["DAY_S", "Figure", "WindowOptions", "meaningful"]

Figure = Literal["mean", "min", "max", "sum", "count", "last", "p50", "p85", "p95"]

DAY_S = 86_400
ORDERED: tuple[Figure, ...] = ("min", "max", "p50", "p85", "p95")
USUAL: dict[Kind, tuple[Figure, ...]] = {
    "gauge": ("mean",),
    "delta": ("sum",),
    "counter": ("last",),
    "bool": ("mean",),
    "enum": ("last",),
}
"""What a window gives where nothing is said."""
MEANINGFUL: dict[Kind, tuple[Figure, ...]] = {
    "gauge": ("mean", *ORDERED, "last", "count"),
    "delta": ("sum", "mean", *ORDERED, "last", "count"),
    "counter": ("last", "min", "max", "count"),
    "bool": ("mean", "min", "max", "last", "count"),
    "enum": ("last", "count"),
}


def meaningful(flow: Flow) -> tuple[Figure, ...]:
    """Return the figures that mean something for what flows here."""
    if scale_of(flow) == "circle":
        return ("mean", "last", "count")
    return MEANINGFUL[flow.kind]


class WindowOptions(FilterOptions):
    """Figures over aligned windows of wall time: text such as "15 min", or a table."""

    every: Duration = Field(
        ge=1.0, le=float(DAY_S), description="Length; a day is a whole number of them."
    )
    give: tuple[Figure, ...] = Field(
        default=(),
        max_length=9,
        description="The figures, each a series of its own. Empty: the mean of a gauge, the sum "
        "of what is added up, the last of a counter.",
    )
    weight: Literal["readings", "time"] = Field(
        default="readings",
        description="What counts in the mean: each reading the same, or as long as it held.",
    )
    hold: Duration | None = Field(
        default=None,
        ge=1.0,
        le=float(DAY_S),
        description="With weight = time, the longest time for which a reading holds; empty: one "
        "window.",
    )
    leave_out: Literal["nothing", "bad", "doubtful"] = Field(
        default="nothing",
        description="Readings that do not count: those flagged as bad (range, stuck), or every "
        "one that is not good.",
    )
    settle: Duration = Field(
        default=5.0,
        ge=0.0,
        le=3600.0,
        description="How long after its end a window of a silent sensor waits for late readings.",
    )
    keep_raw: bool = Field(
        default=False, description="Keep the single readings, too, beside the figures."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"every": options} if isinstance(options, str | int | float) else options

    @field_validator("every")
    @classmethod
    def _fits_a_day(cls, every: float) -> float:
        if every != int(every) or DAY_S % int(every):
            raise ValueError("must be whole seconds, and a day must be a whole number of them")
        return every

    @field_validator("give")
    @classmethod
    def _each_once(cls, give: tuple[Figure, ...]) -> tuple[Figure, ...]:
        if len(set(give)) != len(give):
            raise ValueError("names a figure twice")
        return give

    def figures(self, flow: Flow) -> tuple[Figure, ...]:
        """Return what is given for what flows here."""
        return self.give or USUAL[flow.kind]

    def refuse(self, flow: Flow) -> str:
        """Refuse figures that mean nothing, and windows that lose a part of a sum."""
        if flow.aggregation != "instant":
            return "what comes here is a figure over time already; one window is enough"
        good = meaningful(flow)
        for figure in self.figures(flow):
            if figure not in good:
                what = flow.quantity or "it"
                return f"the {figure} of {what} means nothing; possible: {', '.join(good)}"
        if flow.kind == "delta" and not self.keep_raw:
            if "sum" not in self.figures(flow):
                return f"would lose {flow.quantity}, which is added up; give the sum, too"
            if self.leave_out != "nothing":
                return f"would lose a part of {flow.quantity}; leave nothing out, or keep_raw"
        if self.weight == "time" and flow.kind == "delta":
            return f"{flow.quantity} is added up; a value of it does not hold until the next"
        return ""

    def flow_of(self, figure: Figure, flow: Flow) -> Flow:
        """Return what one figure is: the sum of a delta is a delta again, a count has no unit."""
        kind: Kind = flow.kind
        unit = flow.unit
        if figure == "count":
            kind, unit = "gauge", "1"
        elif figure == "mean" or (flow.kind == "delta" and figure != "sum"):
            kind = "gauge"
        calibration = {**flow.calibration, "window_s": f"{self.every:g}"}
        return Flow(flow.quantity, kind, unit, cast("Aggregation", figure), calibration)
