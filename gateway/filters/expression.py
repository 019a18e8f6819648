"""``expression``: a calibration that needs other quantities of the same sensor.

The value used of another quantity is the newest behind the calibrations of its own chain, and the
judges (range, rate, spike, stuck) that follow them, but before anything that smooths or thins; with
the same dimensions, or else the one without any. Flags that make it doubtful go over to the result.
"""

from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from gateway.config.units import Duration
from gateway.filters.calibrating import Calibrating, CalibrationOptions
from gateway.filters.contract import FilterOptions, Flow, Passed, Place
from gateway.filters.formula import Formula, parse_formula
from gateway.filters.siblings import Siblings
from gateway.quantities import registry
from gateway.reading import Flag

__all__ = ["INHERITED", "Expression", "ExpressionOptions"]

INHERITED = int(
    Flag.RANGE | Flag.RATE | Flag.SPIKE | Flag.STUCK | Flag.WARM_UP | Flag.CALIBRATING | Flag.STALE
)
"""Flags of another quantity that make the result as doubtful."""
UNCORRECTED = int(Flag.CALIBRATING)


class ExpressionOptions(CalibrationOptions):
    """Arithmetic on x and on other quantities of this sensor: text, or a table."""

    formula: str = Field(
        description="Such as 'x / (1 + 0.25 * (\"air.humidity\" / 100) ** 2)': x is this "
        "quantity, others stand in quotes; + - * / ** ( ) abs sqrt exp log log10 min max.",
    )
    max_age: Duration = Field(
        default=300.0,
        ge=0.1,
        le=86400.0,
        description="An older value of another quantity is not used.",
    )
    missing: Literal["flag", "drop"] = Field(
        default="flag",
        description="Where a value is missing or there is no result: let x through uncorrected, "
        "flagged calibrating, or drop it.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"formula": options} if isinstance(options, str) else options

    @field_validator("formula")
    @classmethod
    def _can_be_read(cls, text: str) -> str:
        formula = parse_formula(text)
        for name in formula.quantities:
            if name not in registry():
                raise ValueError(f"{name!r} is no quantity")
        if not formula.uses_x:
            raise ValueError("does not use x, the value that is calibrated")
        return text

    @cached_property
    def parsed(self) -> Formula:
        """The formula, ready to be computed."""
        return parse_formula(self.formula)

    @property
    def needs(self) -> frozenset[str]:
        """Other quantities of the same sensor whose newest values it uses."""
        return frozenset(self.parsed.quantities)

    def described(self) -> str:
        """Return in one line what it does."""
        return self.formula

    def refuse(self, flow: Flow) -> str:
        """Refuse what every calibration refuses, and the own quantity in quotes."""
        if flow.quantity in self.parsed.quantities:
            return f'"{flow.quantity}" is this quantity itself; write x'
        return super().refuse(flow)


class Expression(Calibrating):
    """Puts the result of a formula in the place of x."""

    name: ClassVar[str] = "expression"
    Options: ClassVar[type[FilterOptions]] = ExpressionOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_dims", "_drops", "_formula", "_max_age_ns", "_siblings")

    def __init__(self, options: ExpressionOptions) -> None:
        super().__init__(options)
        self._formula = options.parsed
        self._max_age_ns = round(options.max_age * 1e9)
        self._drops = options.missing == "drop"
        self._siblings = Siblings()
        self._dims: tuple[tuple[str, str], ...] = ()

    def enter(self, place: Place) -> None:
        """Take the sensor's other quantities."""
        super().enter(place)
        self._siblings = place.siblings
        self._dims = place.dims

    def _calibrate(self, time_ns: int, value: float, flags: int) -> Passed | None:
        values = [value]
        seen = 0
        for quantity in self._formula.quantities:
            found = self._siblings.find(quantity, self._dims)
            if found is None or abs(time_ns - found.time_ns) > self._max_age_ns:
                return None if self._drops else (time_ns, value, flags | UNCORRECTED)
            values.append(found.value)
            seen |= found.flags
        result = self._formula.compute(values)
        if result is None:
            return None if self._drops else (time_ns, value, flags | UNCORRECTED)
        return time_ns, result, flags | (seen & INHERITED)
