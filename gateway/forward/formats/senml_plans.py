"""What all SenML records of one series have in common, worked out once."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import AnyStr, Generic

from gateway.forward.formats.base import FormatContext, render_topic
from gateway.forward.formats.senml_names import is_yes_or_no, path_of, safe
from gateway.forward.formats.senml_records import Head, Writer
from gateway.forward.formats.senml_units import Scale, Units, scale_of, scaled
from gateway.reading import Series

__all__ = ["Depth", "Plan", "base_name_of", "plan_series"]

SCHEME = "urn:dev:ops:"


class Depth(IntEnum):
    """How much of the names the base name of a pack says: what all its readings share."""

    GATEWAY = 0
    SENSOR = 1
    SERIES = 2


@dataclass(frozen=True, slots=True, eq=False)
class Plan(Generic[AnyStr]):
    """What all records of one series have in common."""

    topic: str
    sensor: str
    names: tuple[str, str, str]
    """The end of the base name by Depth."""
    unit: str
    record: tuple[Head[AnyStr], ...]
    """By Depth: with the unit."""
    bare: tuple[Head[AnyStr], ...]
    """By Depth: without the unit, because the base unit says it."""
    quality: tuple[Head[AnyStr], ...]
    """By Depth."""
    write: Callable[[float], AnyStr | None]


def base_name_of(context: FormatContext) -> str:
    """Return what all names of a gateway begin with; no part of it can contain the separator."""
    return f"{SCHEME}{safe(context.tenant)}_{safe(context.gateway)}_"


def plan_series(
    series: Series, context: FormatContext, writer: Writer[AnyStr], units: Units
) -> Plan[AnyStr]:
    """Return how the readings of one series are written."""
    key = series.key
    scale = scale_of(series, units)
    label, write = "v", _numbers(writer, scale)
    if is_yes_or_no(key):
        label, write = "vb", _booleans(writer)
    sensor, path = f"{safe(key.sensor)}:", path_of(key)
    rests = (sensor + path, path, "")
    return Plan(
        topic=render_topic(context.topic, context, key.sensor),
        sensor=key.sensor,
        names=("", sensor, sensor + path),
        unit=scale.unit,
        record=tuple(writer.head(rest, scale.unit, label) for rest in rests),
        bare=tuple(writer.head(rest, "", label) for rest in rests),
        quality=tuple(writer.head(f"{rest}:quality", "", "vs") for rest in rests),
        write=write,
    )


def _numbers(writer: Writer[AnyStr], scale: Scale) -> Callable[[float], AnyStr | None]:
    if scale.is_plain:
        return writer.number

    def write(value: float) -> AnyStr | None:
        product = scaled(value, scale)
        return None if product is None else writer.decimal(product)

    return write


def _booleans(writer: Writer[AnyStr]) -> Callable[[float], AnyStr | None]:
    return lambda value: writer.boolean(bool(value))
