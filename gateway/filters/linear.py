"""``linear``: a + b · x."""

from math import isfinite
from typing import ClassVar

from pydantic import Field, model_validator

from gateway.filters.calibrating import Calibrating, CalibrationOptions
from gateway.filters.contract import FilterOptions, Passed

__all__ = ["Linear", "LinearOptions"]


class LinearOptions(CalibrationOptions):
    """A straight line: a + b · x."""

    a: float = Field(default=0.0, description="What is added, in the unit of the quantity.")
    b: float = Field(default=1.0, description="What each value is multiplied by; not 0.")

    @model_validator(mode="after")
    def _does_something(self) -> "LinearOptions":
        if self.b == 0:
            raise ValueError("with b = 0 every value becomes the same")
        if self.a == 0 and self.b == 1:
            raise ValueError("needs a or b, otherwise it changes nothing")
        return self

    def described(self) -> str:
        """Return in one line what it does."""
        return f"{self.a!r} + {self.b!r} * x"


class Linear(Calibrating):
    """Puts a + b · x in the place of x."""

    name: ClassVar[str] = "linear"
    Options: ClassVar[type[FilterOptions]] = LinearOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_a", "_b")

    def __init__(self, options: LinearOptions) -> None:
        super().__init__(options)
        self._a = options.a
        self._b = options.b

    def _calibrate(self, time_ns: int, value: float, flags: int) -> Passed | None:
        value = self._a + self._b * value
        return (time_ns, value, flags) if isfinite(value) else None
