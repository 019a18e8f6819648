"""What a series becomes in Sparkplug: the name of its metric, its data type, its properties.

A name is a path of folders: the parts of the quantity, with the dimensions in front of the last
one, so that no folder has the name of a metric (``electric/phase-L1/voltage`` beside
``electric/voltage``); hosts build trees from it, where a tag cannot be a folder. An aggregation
other than an instant value is part of the last name: ``traffic/lane-1/speed_avg-p85``.
"""

from collections.abc import Callable, Mapping
from struct import Struct
from typing import NamedTuple
from urllib.parse import quote

from gateway.forward.formats.sparkplug import payload, wire
from gateway.forward.formats.sparkplug.payload import DataType, Scalar
from gateway.quantities import registry
from gateway.reading import Flag, Series, SeriesKey, flag_names, quality_of

__all__ = ["Plan", "Properties", "data_type", "metric_name", "plan_series", "quality_properties"]

Properties = Mapping[str, tuple[DataType, Scalar]]
"""Names of properties and what they hold."""

QUALITY_CODES = {"good": 192, "uncertain": 192, "bad": 0, "stale": 500}
"""The three codes of the specification; it has none for "uncertain", see ``Flags``."""
FRACTIONS = ("mean", "p50", "p85", "p95")
"""Aggregations of whole numbers that are no whole numbers any more."""
ALL_FLAGS = sum(Flag)
INT32_LIMIT = 1 << 31
INT64_LIMIT = 1 << 63
DATA_TYPES = {
    "Int32": DataType.INT32,
    "Int64": DataType.INT64,
    "Double": DataType.DOUBLE,
    "Boolean": DataType.BOOLEAN,
    "String": DataType.STRING,
}
_DOUBLE_FIELD = Struct("<Bd")
_DOUBLE_KEY = payload.DOUBLE_VALUE << 3 | wire.FIXED64
_TRUE, _FALSE = (wire.unsigned(payload.BOOLEAN_VALUE, bit) for bit in (1, 0))


class Plan(NamedTuple):
    """What every metric of one series has in common."""

    topic: str
    """Of its DDATA messages."""
    identity: bytes
    """Name and perhaps alias, as they stand in a birth."""
    head: bytes
    """Of a metric in DDATA, up to and with the key of the timestamp."""
    tails: tuple[bytes, bytes]
    """Between timestamp and properties: of a current metric, of a historical one."""
    datatype: DataType
    unit: Properties
    """In births only."""
    write: Callable[[float], bytes]
    """Returns the field of a finite value; nothing for one that the data type cannot hold."""


def metric_name(key: SeriesKey) -> str:
    """Return the path of a series within its device; different series, different paths."""
    *folders, leaf = key.quantity.split(".")
    dims = [f"{name}-{quote(value, safe='')}" for name, value in key.dims]
    aggregation = "" if key.aggregation == "instant" else f"-{key.aggregation}"
    return "/".join([*folders, *dims, leaf + aggregation])


def data_type(key: SeriesKey) -> DataType:
    """Return the registry's data type, or the one that fits the aggregation of such values."""
    quantity = registry().get(key.quantity)
    found = DataType.DOUBLE if quantity is None else DATA_TYPES[quantity.sparkplug_type]
    if key.aggregation == "count":
        return DataType.INT64
    if key.aggregation in FRACTIONS:
        return DataType.DOUBLE
    if key.aggregation == "sum" and found in (DataType.BOOLEAN, DataType.STRING):
        return DataType.INT64
    return found


def plan_series(found: Series, topic: str, *, aliases: bool, unit_property: str) -> Plan:
    """Work out what never changes of a series."""
    datatype = data_type(found.key)
    name = wire.blob(payload.NAME, metric_name(found.key).encode())
    alias = wire.unsigned(payload.ALIAS, found.id)
    tail = b"" if aliases else wire.unsigned(payload.DATATYPE, datatype)
    return Plan(
        topic=topic,
        identity=name + alias if aliases else name,
        head=(alias if aliases else name) + wire.varint(payload.METRIC_TIMESTAMP << 3),
        tails=(tail, tail + wire.unsigned(payload.IS_HISTORICAL, 1)),
        datatype=datatype,
        unit=_unit(found, unit_property),
        write=WRITERS[datatype],
    )


def _unit(found: Series, unit_property: str) -> Properties:
    """Return the unit for people, and its UN/CEFACT code where the registry's unit is used."""
    quantity = registry().get(found.key.quantity)
    texts = {unit_property: found.unit}
    if found.key.aggregation == "count":
        texts = {}
    elif quantity is not None and quantity.ucum == found.unit:
        texts = {unit_property: quantity.ha_unit or found.unit, "unitCode": quantity.uncefact}
    return {key: (DataType.STRING, text) for key, text in texts.items() if text not in ("", "1")}


def quality_properties(flags: int) -> Properties:
    """Return ``Quality`` and the names of the flags; nothing where there are none."""
    if not flags & ALL_FLAGS:
        return {}
    return {
        "Quality": (DataType.INT32, QUALITY_CODES[quality_of(flags)]),
        "Flags": (DataType.STRING, " ".join(flag_names(flags))),
    }


def _write_double(value: float) -> bytes:
    return _DOUBLE_FIELD.pack(_DOUBLE_KEY, value)


def _write_boolean(value: float) -> bytes:
    return _TRUE if value else _FALSE


def _write_int32(value: float) -> bytes:
    number = round(value)
    if not -INT32_LIMIT <= number < INT32_LIMIT:
        return b""
    return payload.value_field(DataType.INT32, number)


def _write_int64(value: float) -> bytes:
    number = round(value)
    if not -INT64_LIMIT <= number < INT64_LIMIT:
        return b""
    return payload.value_field(DataType.INT64, number)


def _write_string(value: float) -> bytes:
    return payload.value_field(DataType.STRING, repr(value).removesuffix(".0"))


WRITERS: dict[DataType, Callable[[float], bytes]] = {
    DataType.DOUBLE: _write_double,
    DataType.BOOLEAN: _write_boolean,
    DataType.INT32: _write_int32,
    DataType.INT64: _write_int64,
    DataType.STRING: _write_string,
}
