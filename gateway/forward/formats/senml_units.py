"""Which SenML unit a series has, and how its values get there without a lost digit.

Units: the IANA registry "SenML Units" (RFC 8428 section 12.1) and its secondary units (RFC 8798).
Values are scaled in decimal, because ``8.4 * 1000`` in binary is how float noise is made.
"""

from collections.abc import Mapping
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from math import isfinite
from typing import Literal, NamedTuple

from gateway.quantities import COORDINATES, Quantity, registry
from gateway.reading import Series

__all__ = ["PRIMARY", "Scale", "Units", "scale_of", "scaled"]

Units = Literal["secondary", "primary"]

ONE = Fraction(1)
ZERO = Fraction(0)
KILO_HOUR = Fraction(3_600_000)

PRIMARY: Mapping[str, tuple[str, Fraction, Fraction]] = {
    "ug/m3": ("kg/m3", Fraction(1, 10**9), ZERO),
    "ppm": ("/", Fraction(1, 10**6), ZERO),
    "ppb": ("/", Fraction(1, 10**9), ZERO),
    "/100": ("/", Fraction(1, 100), ZERO),
    "hPa": ("Pa", Fraction(100), ZERO),
    "mm": ("m", Fraction(1, 1000), ZERO),
    "cm": ("m", Fraction(1, 100), ZERO),
    "mm/h": ("m/s", 1 / KILO_HOUR, ZERO),
    "km/h": ("m/s", Fraction(10, 36), ZERO),
    "kWh": ("J", KILO_HOUR, ZERO),
    "kvarh": ("vars", KILO_HOUR, ZERO),
    "kVAh": ("VAs", KILO_HOUR, ZERO),
    "dBm": ("dBW", ONE, Fraction(-30)),
}
"""Secondary unit -> primary unit, factor, offset; the secondary units that our registry uses."""

WORKING = Context(prec=60)
"""Three times as many digits as a double has: what ends, ends before this."""
MAX_DIGITS = 19
"""What goes into 64 bits; a longer exact result is sent as the nearest double."""


class Scale(NamedTuple):
    """Unit of a series in SenML, and sent value = registry's value * factor + offset."""

    unit: str = ""
    factor: Fraction = ONE
    offset: Fraction = ZERO

    @property
    def is_plain(self) -> bool:
        """The value goes out as it is."""
        return self.factor == 1 and self.offset == 0


def scale_of(series: Series, units: Units) -> Scale:
    """Return the scale of a series; one whose unit has no name in SenML has none.

    The unit of a quantity that the registry does not know is that of the registry's quantities in
    the same UCUM unit, where they agree on one.
    """
    quantity = registry().get(series.key.quantity)
    if series.key.aggregation == "count":  # how many readings, whatever they measured
        return Scale("count")
    found = _by_ucum().get(series.unit, Scale()) if quantity is None else _own(quantity)
    if units == "primary" and found.unit in PRIMARY:
        unit, factor, offset = PRIMARY[found.unit]
        return Scale(unit, found.factor * factor, offset)
    return found


def _own(quantity: Quantity) -> Scale:
    if quantity.senml_unit.startswith("("):  # "(vb)", "(vs)": how it is sent, and no unit
        return Scale()
    return Scale(quantity.senml_unit, quantity.senml_factor)


@cache
def _by_ucum() -> Mapping[str, Scale]:
    found: dict[str, set[Scale]] = {}
    for quantity in registry().values():
        if quantity.name not in COORDINATES:  # an angle is no place
            found.setdefault(quantity.ucum, set()).add(_own(quantity))
    return {ucum: scales.pop() for ucum, scales in found.items() if len(scales) == 1}


def scaled(value: float, scale: Scale) -> Decimal | None:
    """Return the value in the unit of ``scale``: the exact decimal, of at most MAX_DIGITS digits.

    The nearest double where the exact result never ends (a third) or is longer; None where it is
    too large for a double, because consumers would read infinity.
    """
    factor = scale.factor
    product = WORKING.multiply(Decimal(repr(value)), Decimal(factor.numerator))
    if factor.denominator != 1:
        product = WORKING.divide(product, Decimal(factor.denominator))
    if scale.offset:
        offset = WORKING.divide(Decimal(scale.offset.numerator), Decimal(scale.offset.denominator))
        product = WORKING.add(product, offset)
    nearest = float(product)
    if not isfinite(nearest):
        return None
    if not product:
        return product
    product = product.normalize(WORKING)
    return product if len(product.as_tuple().digits) <= MAX_DIGITS else Decimal(repr(nearest))
