from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import build_chain, chain_builder, parse_options
from gateway.filters.units import UNITS, line_between
from gateway.reading import Flag
from tests.filters.readings import SECOND_NS, near

KNOWN = [  # what the units are by their own definitions, not by the table of the filter
    ("air.temperature", "[degF]", 212.0, 100.0),
    ("air.temperature", "K", 0.0, -273.15),
    ("air.pressure", "mm[Hg]", 760.0, 1013.25),
    ("wind.speed", "km/h", 36.0, 10.0),
    ("wind.speed", "[kn_i]", 1.0, 1852 / 3600),
    ("energy.active_import", "MJ", 3.6, 1.0),
    ("water.volume", "L", 1000.0, 1.0),
    ("water.flow", "L/s", 1.0, 3.6),
    ("air.co", "ug/m3", 1000.0, 1.0),
    ("air.humidity", "1", 0.5, 50.0),
    ("rain.amount", "[in_i]", 1.0, 25.4),
]


@pytest.mark.parametrize(("quantity", "unit", "given_value", "expected"), KNOWN)
def test_units_become_those_of_the_quantity(
    quantity: str, unit: str, given_value: float, expected: float
) -> None:
    chain = build_chain({"convert": unit}, quantity)()
    assert chain.apply(5, given_value, 1) == (5, near(expected), 1)


@given(
    value=st.floats(-1e6, 1e6),
    units=st.sampled_from([(a, b) for a in UNITS for b in UNITS if UNITS[a].kind == UNITS[b].kind]),
)
def test_there_and_back_is_the_same(value: float, units: tuple[str, str]) -> None:
    there, back = line_between(*units), line_between(units[1], units[0])
    assert there is not None
    assert back is not None
    assert back[0] + back[1] * (there[0] + there[1] * value) == near(value, within=1e-6, rel=1e-9)


def test_gases_at_the_reference_of_the_directive() -> None:
    """1 ppb NO2 is 1.9125 ug/m3 at 293 K and 101.3 kPa, O3 1.9957, CO 1.1642 mg/m3 a ppm."""
    for source, target, factor in [
        ("air.no2_mole_fraction", "air.no2", 1.9125),
        ("air.o3_mole_fraction", "air.o3", 1.9957),
        ("air.co_mole_fraction", "air.co", 1.1642),
    ]:
        chain = build_chain({"convert": {"to": target}}, source)()
        assert chain.apply(0, 10.0, 0) == (0, near(10 * factor, rel=1e-3), 0)
        assert chain.output is not None
        assert chain.output.quantity == target
        back = build_chain({"convert": {"to": source}}, target)()
        assert back.apply(0, 10 * factor, 0) == (0, near(10, rel=1e-3), 0)


@given(celsius=st.floats(-40, 60), hectopascal=st.floats(800, 1100), ppb=st.floats(0, 1e4))
def test_a_gas_is_an_ideal_gas(celsius: float, hectopascal: float, ppb: float) -> None:
    options = {"to": "air.no2", "temperature": celsius, "pressure": hectopascal}
    chain = build_chain({"convert": options}, "air.no2_mole_fraction")()
    moles_per_m3 = hectopascal * 100 / (8.314462618 * (celsius + 273.15))
    expected = ppb * 1e-9 * moles_per_m3 * 46.0055 * 1e6
    assert chain.apply(0, ppb, 0) == (0, near(expected), 0)


def test_temperature_and_pressure_come_from_the_sensor_itself() -> None:
    options = {"to": "air.no2", "temperature": "air.temperature", "pressure": "air.pressure"}
    build = chain_builder({"air.no2_mole_fraction": {"convert": options}})
    gas, temperature, pressure = (
        build(name) for name in ("air.no2_mole_fraction", "air.temperature", "air.pressure")
    )
    assert gas is not None
    assert temperature is not None
    assert pressure is not None
    first = gas.apply(0, 10.0, 0)
    assert first == (0, near(19.125, rel=1e-3), Flag.ESTIMATED)
    temperature.apply(0, 0.0, 0)
    pressure.apply(0, 1013.25, Flag.SPIKE)
    assert gas.apply(0, 10.0, 0) == (0, near(20.53, rel=1e-3), Flag.SPIKE)
    late_ns = 301 * SECOND_NS
    assert gas.apply(late_ns, 10.0, 0) == (late_ns, near(19.125, rel=1e-3), Flag.ESTIMATED)
    temperature.apply(late_ns, -300.0, 0)
    assert gas.apply(late_ns, 10.0, 0) is None


def test_the_raw_series_of_another_quantity_needs_no_mark() -> None:
    chain = build_chain({"convert": {"to": "air.no2", "keep_raw": True}}, "air.no2_mole_fraction")()
    (raw,) = chain.outputs
    assert (raw.quantity, raw.dims) == ("air.no2_mole_fraction", ())


@pytest.mark.parametrize(
    "raw",
    [
        {},
        "furlong",
        {"unit": "K", "to": "air.no2"},
        {"to": "air.no9"},
        {"to": "air.no2", "temperature": -300},
        {"to": "air.no2", "temperature": "air.humidity"},
        {"to": "air.no2", "pressure": 0},
        {"to": "air.no2", "molar_mass": 0},
    ],
)
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("convert", raw)
