"""Units that one filter can turn into another: what a quantity is, in UCUM codes.

Factors are exact by definition or rounded as the SI brochure and UCUM give them.
"""

from typing import NamedTuple

__all__ = ["UNITS", "Unit", "line_between", "rate_factor"]


class Unit(NamedTuple):
    """``base = offset + factor · value`` in the base unit of its kind."""

    kind: str
    factor: float
    offset: float = 0.0


UNITS: dict[str, Unit] = {
    "K": Unit("temperature", 1.0),
    "Cel": Unit("temperature", 1.0, 273.15),
    "[degF]": Unit("temperature", 5 / 9, 459.67 * 5 / 9),
    "Pa": Unit("pressure", 1.0),
    "hPa": Unit("pressure", 100.0),
    "kPa": Unit("pressure", 1000.0),
    "mbar": Unit("pressure", 100.0),
    "bar": Unit("pressure", 100_000.0),
    "mm[Hg]": Unit("pressure", 133.322387415),
    "m/s": Unit("speed", 1.0),
    "km/h": Unit("speed", 1 / 3.6),
    "mm/h": Unit("speed", 0.001 / 3600),
    "[mi_i]/h": Unit("speed", 0.44704),
    "[kn_i]": Unit("speed", 1852 / 3600),
    "mm": Unit("length", 0.001),
    "cm": Unit("length", 0.01),
    "m": Unit("length", 1.0),
    "km": Unit("length", 1000.0),
    "[in_i]": Unit("length", 0.0254),
    "ug/m3": Unit("mass concentration", 1e-9),
    "mg/m3": Unit("mass concentration", 1e-6),
    "g/m3": Unit("mass concentration", 1e-3),
    "[ppb]": Unit("fraction", 1e-9),
    "[ppm]": Unit("fraction", 1e-6),
    "%": Unit("fraction", 0.01),
    "1": Unit("fraction", 1.0),
    "J": Unit("energy", 1.0),
    "MJ": Unit("energy", 1e6),
    "GJ": Unit("energy", 1e9),
    "W.h": Unit("energy", 3600.0),
    "kW.h": Unit("energy", 3.6e6),
    "MW.h": Unit("energy", 3.6e9),
    "W": Unit("power", 1.0),
    "kW": Unit("power", 1000.0),
    "MW": Unit("power", 1e6),
    "var.h": Unit("reactive energy", 3600.0),
    "kvar.h": Unit("reactive energy", 3.6e6),
    "var": Unit("reactive power", 1.0),
    "kvar": Unit("reactive power", 1000.0),
    "V.A.h": Unit("apparent energy", 3600.0),
    "kV.A.h": Unit("apparent energy", 3.6e6),
    "V.A": Unit("apparent power", 1.0),
    "kV.A": Unit("apparent power", 1000.0),
    "m3": Unit("volume", 1.0),
    "L": Unit("volume", 0.001),
    "m3/h": Unit("flow", 1 / 3600),
    "m3/s": Unit("flow", 1.0),
    "L/h": Unit("flow", 0.001 / 3600),
    "L/min": Unit("flow", 0.001 / 60),
    "L/s": Unit("flow", 0.001),
    "V": Unit("voltage", 1.0),
    "mV": Unit("voltage", 0.001),
    "kV": Unit("voltage", 1000.0),
    "A": Unit("current", 1.0),
    "mA": Unit("current", 0.001),
    "Hz": Unit("frequency", 1.0),
    "mHz": Unit("frequency", 0.001),
    "s": Unit("time", 1.0),
    "ms": Unit("time", 0.001),
    "min": Unit("time", 60.0),
    "h": Unit("time", 3600.0),
    "W/m2": Unit("irradiance", 1.0),
    "kW/m2": Unit("irradiance", 1000.0),
    "lx": Unit("illuminance", 1.0),
    "klx": Unit("illuminance", 1000.0),
    "deg": Unit("angle", 1.0),
    "rad": Unit("angle", 57.29577951308232),
    "{vehicle}": Unit("vehicles", 1.0),
    "{vehicle}/h": Unit("vehicle flow", 1 / 3600),
    "{vehicle}/min": Unit("vehicle flow", 1 / 60),
}
RATES = {
    "energy": "power",
    "reactive energy": "reactive power",
    "apparent energy": "apparent power",
    "volume": "flow",
    "length": "speed",
    "vehicles": "vehicle flow",
}
"""What it becomes per second."""


def line_between(source: str, target: str) -> tuple[float, float] | None:
    """Return (a, b) of ``target = a + b · source``, or None if they are not of one kind."""
    first, second = UNITS.get(source), UNITS.get(target)
    if first is None or second is None or first.kind != second.kind:
        return None
    return (first.offset - second.offset) / second.factor, first.factor / second.factor


def rate_factor(counted: str, target: str) -> float | None:
    """Return what one unit a second is in the target unit, or None if that is no rate of it."""
    first, second = UNITS.get(counted), UNITS.get(target)
    if first is None or second is None or RATES.get(first.kind) != second.kind:
        return None
    return first.factor / second.factor
