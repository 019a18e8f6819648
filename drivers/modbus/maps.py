"""Register maps: what stands where in a device, as data.

A map is a TOML file in ``maps/``; a lab writes the same keys into the options of its sensor.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from math import isfinite
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from drivers.modbus.rtu import MAX_REGISTERS
from gateway.quantities import DIMS, registry

__all__ = [
    "QUANTITIES",
    "Register",
    "RegisterMap",
    "Status",
    "Words",
    "map_names",
    "packaged_map",
]

MAX_ADDRESS = 0xFFFF
MAX_ENTRIES = 200
"""Registers of one map; more belong to more than one sensor."""
MAX_DIM_LENGTH = 32
Words = Literal["high_first", "low_first"]
Kind = Literal["u16", "s16", "u32", "s32", "float32", "bit"]
WIDE: frozenset[Kind] = frozenset({"u32", "s32", "float32"})

QUANTITIES = (
    "power.active",
    "power.reactive",
    "power.apparent",
    "power.factor",
    "electric.voltage",
    "electric.voltage_line",
    "electric.current",
    "electric.frequency",
    "electric.thd_voltage",
    "electric.thd_current",
    "energy.active_import",
    "energy.active_export",
    "energy.reactive_import",
    "energy.reactive_export",
    "energy.apparent_import",
    "meter.total",
    "heat.energy",
    "heat.power",
    "heat.flow_temperature",
    "heat.return_temperature",
    "heat.volume",
    "water.volume",
    "water.flow",
    "gas.volume",
    "air.co2",
    "air.temperature",
    "air.humidity",
    "air.pressure",
    "air.pm25",
    "air.pm10",
    "wind.speed",
    "wind.gust",
    "wind.direction",
    "rain.amount",
    "rain.rate",
    "solar.irradiance",
    "light.illuminance",
    "uv.index",
    "noise.laeq",
    "traffic.count",
    "traffic.flow",
    "traffic.speed_avg",
    "traffic.occupancy",
    "bicycle.count",
    "people.count",
    "parking.occupied",
    "device.temperature",
    "device.voltage",
    "device.uptime",
)
"""What a map may yield."""


def _quantity(name: str) -> str:
    if name not in QUANTITIES:
        raise ValueError(f"{name!r} is no quantity that a register map can yield")
    return name


def _dims(dims: Mapping[str, str]) -> Mapping[str, str]:
    for key, value in dims.items():
        if key not in DIMS:
            raise ValueError(f"{key!r} is no dimension; there are {', '.join(DIMS)}")
        if not 0 < len(value) <= MAX_DIM_LENGTH:
            raise ValueError(f"{key} has a value of 1 to {MAX_DIM_LENGTH} characters")
    return dims


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    address: int = Field(
        ge=0,
        le=MAX_ADDRESS,
        description="Address as it is sent, from 0 on: input register 30001 has address 0.",
    )
    function: Literal[3, 4] | None = Field(
        default=None, description="3: holding registers, 4: input registers, if not the map's."
    )


class Register(_Entry):
    """One value: where it stands, how it is written, what it means."""

    type: Kind = Field(description="How it is written; 32 bits are two registers.")
    quantity: Annotated[str, AfterValidator(_quantity)] = Field(
        description="Quantity of the registry, in its unit after scale and per."
    )
    dims: Annotated[Mapping[str, str], AfterValidator(_dims)] = Field(
        default_factory=dict, description="Dimensions, such as phase or lane."
    )
    words: Words | None = Field(
        default=None, description="Which register of 32 bits comes first, if not the map's."
    )
    bit: int | None = Field(default=None, ge=0, le=15, description="For type bit: which, from 0.")
    scale: float = Field(default=1.0, description="The number is multiplied by this.")
    per: float = Field(default=1.0, description="And divided by this: 10 for tenths.")
    invalid: tuple[int, ...] = Field(
        default=(), description='Numbers, before scale and per, that mean "no value".'
    )
    lowest: float | None = Field(default=None, description="Below is a fault, in the unit.")
    highest: float | None = Field(default=None, description="Above is a fault, in the unit.")
    cumulative: bool = Field(
        default=True,
        description="For what is counted per reading (traffic.count): the register counts up for "
        "ever, and the increase is the reading. false: it holds the count of an interval.",
    )

    @property
    def size(self) -> int:
        """Return how many registers it takes."""
        return 2 if self.type in WIDE else 1

    @property
    def counts_up(self) -> bool:
        """Tell whether its increase is the reading."""
        return self.cumulative and registry()[self.quantity].kind == "delta"

    @model_validator(mode="after")
    def _makes_sense(self) -> "Register":
        if (self.type == "bit") != (self.bit is not None):
            raise ValueError("bit is for type bit, which needs it")
        if not self.per or not self.scale or not isfinite(self.scale / self.per):
            raise ValueError("scale and per must not be 0")
        if self.counts_up and self.type not in ("u16", "u32"):
            raise ValueError("what counts up for ever has type u16 or u32")
        if self.address + self.size > MAX_ADDRESS + 1:
            raise ValueError("its second register would have an address above 65535")
        return self


class Status(_Entry):
    """A register that says whether the device is well."""

    mask: int = Field(default=0xFFFF, ge=1, le=0xFFFF, description="Bits that mean trouble.")
    about: str = Field(default="status", max_length=60, description="What it is, for the fault.")
    withhold: bool = Field(
        default=True, description="In trouble the values of this round are no readings."
    )

    @property
    def size(self) -> int:
        """Return how many registers it takes."""
        return 1


class RegisterMap(BaseModel):
    """A device, or a lab's own list of registers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    document: str = ""
    unit: int = Field(default=1, ge=1, le=254)
    function: Literal[3, 4] = 4
    words: Words = "high_first"
    gap: int = Field(default=0, ge=0, le=MAX_REGISTERS)
    longest_read: int = Field(default=MAX_REGISTERS, ge=2, le=MAX_REGISTERS)
    invalid: Mapping[Kind, tuple[int, ...]] = Field(default_factory=dict)
    """Numbers that mean "no value" in every register of a type."""
    registers: tuple[Register, ...] = Field(min_length=1, max_length=MAX_ENTRIES)
    status: tuple[Status, ...] = Field(default=(), max_length=8)


@cache
def map_names() -> tuple[str, ...]:
    """Return the names of the maps that come with the driver, sorted."""
    folder = files("drivers.modbus").joinpath("maps")
    return tuple(
        sorted(
            each.name.removesuffix(".toml")
            for each in folder.iterdir()
            if each.name.endswith(".toml")
        )
    )


@cache
def packaged_map(name: str) -> RegisterMap:
    """Return one of them; KeyError if there is none of that name."""
    if name not in map_names():
        raise KeyError(name)
    text = files("drivers.modbus").joinpath(f"maps/{name}.toml").read_text(encoding="utf-8")
    return RegisterMap.model_validate(tomllib.loads(text))
