"""``convert``: another unit, or a gas from mass concentration to mole fraction and back.

A gas of molar mass M at temperature T and pressure p, as an ideal gas:
mole fraction = mass concentration · R · T / (p · M).
"""

from dataclasses import replace
from math import isfinite
from typing import Any, ClassVar, NamedTuple

from pydantic import Field, model_validator

from gateway.config.units import Duration
from gateway.filters.calibrating import Calibrating, CalibrationOptions
from gateway.filters.contract import FilterOptions, Flow, Passed, Place
from gateway.filters.expression import INHERITED
from gateway.filters.siblings import Siblings
from gateway.filters.units import UNITS, line_between
from gateway.quantities import registry
from gateway.reading import Dims, Flag

__all__ = ["GAS_CONSTANT", "MOLAR_MASS", "Convert", "ConvertOptions"]

GAS_CONSTANT = 8.314462618
"""J/(mol·K), exact in the SI of 2019 to these digits."""
ABSOLUTE_ZERO_CEL = -273.15
REFERENCE_CEL = 19.85
REFERENCE_HPA = 1013.0
"""293 K and 101.3 kPa, to which Directive 2008/50/EC, annex VI C, refers gases."""
ASSUMED = int(Flag.ESTIMATED)
MOLAR_MASS = {
    "air.no2": 46.0055,
    "air.no": 30.0061,
    "air.o3": 47.9982,
    "air.so2": 64.0638,
    "air.co": 28.0101,
    "air.co2": 44.0095,
    "air.h2s": 34.0809,
    "air.benzene": 78.1118,
}
"""g/mol, from the standard atomic weights; of a mixture (TVOC, NOx) nobody knows it."""
FRACTION_SUFFIX = "_mole_fraction"


def _gas(quantity: str) -> str:
    return quantity.removesuffix(FRACTION_SUFFIX)


class ConvertOptions(CalibrationOptions):
    """From another unit, or a gas into its other quantity: the unit as text, or a table."""

    unit: str | None = Field(
        default=None,
        description="UCUM code of what the sensor really gives, such as [degF]; it becomes the "
        "unit of the quantity.",
    )
    to: str | None = Field(
        default=None,
        description="The quantity to turn this gas into, such as air.no2 for "
        "air.no2_mole_fraction; the readings are stored as that quantity.",
    )
    temperature: float | str = Field(
        default=REFERENCE_CEL,
        description="In Cel, or the quantity of this sensor that has it, such as air.temperature.",
    )
    pressure: float | str = Field(
        default=REFERENCE_HPA,
        description="In hPa, or the quantity of this sensor that has it, such as air.pressure.",
    )
    molar_mass: float | None = Field(
        default=None, gt=0, le=1000, description="In g/mol, where the gas is not known by name."
    )
    max_age: Duration = Field(
        default=300.0,
        ge=0.1,
        le=86400.0,
        description="An older temperature or pressure is not used: 19.85 Cel and 1013 hPa stand "
        "in, and the reading is flagged estimated.",
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, options: Any) -> Any:
        return {"unit": options} if isinstance(options, str) else options

    @model_validator(mode="after")
    def _makes_sense(self) -> "ConvertOptions":
        if (self.unit is None) == (self.to is None):
            raise ValueError("needs unit or to, and not both")
        if self.unit is not None and self.unit not in UNITS:
            raise ValueError(f"does not know the unit {self.unit!r}; there are {', '.join(UNITS)}")
        if self.to is not None and self.to not in registry():
            raise ValueError(f"{self.to!r} is no quantity")
        for value, unit, lowest in (
            (self.temperature, "Cel", ABSOLUTE_ZERO_CEL),
            (self.pressure, "hPa", 0.0),
        ):
            if isinstance(value, str):
                if value not in registry() or registry()[value].ucum != unit:
                    raise ValueError(f"{value!r} is no quantity in {unit}")
            elif value <= lowest:
                raise ValueError(f"{value:g} {unit} is not possible")
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Other quantities of the same sensor whose newest values it uses."""
        if self.to is None:
            return frozenset()
        return frozenset(
            each for each in (self.temperature, self.pressure) if isinstance(each, str)
        )

    def described(self) -> str:
        """Return in one line what it does."""
        if self.unit is not None:
            return f"from {self.unit}"
        return f"to {self.to} at {self.temperature} Cel, {self.pressure} hPa"

    def refuse(self, flow: Flow) -> str:
        """Refuse units of another kind, and quantities that are not the same gas."""
        if self.unit is not None:
            if flow.unit and line_between(self.unit, flow.unit) is None:
                return f"{self.unit} cannot become {flow.unit}, the unit of {flow.quantity}"
            return super().refuse(flow)
        target = registry()[str(self.to)]
        if _gas(target.name) != _gas(flow.quantity) or target.name == flow.quantity:
            return f"{flow.quantity} cannot become {target.name}; it must be the same gas"
        if self.molar_mass is None and _gas(target.name) not in MOLAR_MASS:
            return f"the molar mass of {_gas(target.name)} is not known; set molar_mass"
        if {UNITS[flow.unit].kind, UNITS[target.ucum].kind} != {"mass concentration", "fraction"}:
            return f"{flow.unit} cannot become {target.ucum}"
        return super().refuse(flow)

    def after(self, flow: Flow) -> Flow:
        """Return the other quantity, if it is to become one."""
        flow = super().after(flow)
        if self.to is None:
            return flow
        return replace(flow, quantity=self.to, unit=registry()[self.to].ucum)


class _State(NamedTuple):
    """Temperature or pressure: a constant, or a quantity and what stands in for it."""

    quantity: str
    constant: float


def _state(option: float | str, reference: float) -> _State:
    return _State(option, reference) if isinstance(option, str) else _State("", option)


class Convert(Calibrating):
    """Puts the same amount in another unit in the place of x."""

    name: ClassVar[str] = "convert"
    Options: ClassVar[type[FilterOptions]] = ConvertOptions
    thins: ClassVar[bool] = False
    __slots__ = (
        "_a",
        "_b",
        "_dims",
        "_max_age_ns",
        "_options",
        "_pressure",
        "_siblings",
        "_temperature",
        "_to_fraction",
    )

    def __init__(self, options: ConvertOptions) -> None:
        super().__init__(options)
        self._options = options
        self._max_age_ns = round(options.max_age * 1e9)
        self._temperature = _state(options.temperature, REFERENCE_CEL)
        self._pressure = _state(options.pressure, REFERENCE_HPA)
        self._a, self._b = 0.0, 1.0
        self._to_fraction: bool | None = None
        self._siblings = Siblings()
        self._dims: Dims = ()

    def enter(self, place: Place) -> None:
        """Take the units of both sides, and the sensor's other quantities."""
        super().enter(place)
        self._siblings, self._dims = place.siblings, place.dims
        options, flow = self._options, place.flow
        if options.unit is not None:
            self._a, self._b = line_between(options.unit, flow.unit) or (0.0, 1.0)
            return
        target = str(options.to)
        mass_kg = (options.molar_mass or MOLAR_MASS[_gas(target)]) / 1000
        source, wanted = UNITS[flow.unit], UNITS[registry()[target].ucum]
        self._to_fraction = wanted.kind == "fraction"
        per_mass = GAS_CONSTANT / mass_kg if self._to_fraction else mass_kg / GAS_CONSTANT
        self._b = source.factor / wanted.factor * per_mass

    def _raw_dims(self, place: Place) -> Dims:
        """Return plain dimensions where the converted series is another quantity anyway."""
        return place.dims if self._options.to is not None else super()._raw_dims(place)

    def _calibrate(self, time_ns: int, value: float, flags: int) -> Passed | None:
        if self._to_fraction is None:
            value = self._a + self._b * value
        else:
            kelvin, seen = self._newest(self._temperature, time_ns)
            flags |= seen
            kelvin -= ABSOLUTE_ZERO_CEL
            hectopascal, seen = self._newest(self._pressure, time_ns)
            flags |= seen
            if kelvin <= 0 or hectopascal <= 0:
                return None
            volume = kelvin / (hectopascal * 100)
            value *= self._b * volume if self._to_fraction else self._b / volume
        return (time_ns, value, flags) if isfinite(value) else None

    def _newest(self, state: _State, time_ns: int) -> tuple[float, int]:
        """Return temperature or pressure, and the flags that its use brings."""
        if not state.quantity:
            return state.constant, 0
        found = self._siblings.find(state.quantity, self._dims)
        if found is None or abs(time_ns - found.time_ns) > self._max_age_ns:
            return state.constant, ASSUMED
        return found.value, found.flags & INHERITED
