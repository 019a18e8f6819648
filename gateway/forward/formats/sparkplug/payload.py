"""The Sparkplug B payload: metrics and properties, written and read.

Field numbers and data types are those of the schema in chapter 6 of the specification. Data sets,
templates, files and arrays are not written here, and a reader sees them as no value at all.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from gateway.forward.formats.sparkplug import wire

__all__ = [
    "DataType",
    "Metric",
    "Payload",
    "Property",
    "Scalar",
    "counted",
    "decode_payload",
    "metric_field",
    "property_set",
    "value_field",
]

Scalar = bool | int | float | str

MAX_PAYLOAD_BYTES = 16_384
"""Of a payload that is read: a command. What other hosts write to other nodes is not ours."""
MAX_METRICS = 256
MAX_PROPERTIES = 64

# Payload
TIMESTAMP, METRICS, SEQ = 1, 2, 3
# Metric
NAME, ALIAS, METRIC_TIMESTAMP, DATATYPE, IS_HISTORICAL, IS_NULL, PROPERTIES = 1, 2, 3, 4, 5, 7, 9
INT_VALUE, LONG_VALUE, FLOAT_VALUE, DOUBLE_VALUE, BOOLEAN_VALUE, STRING_VALUE = range(10, 16)
# PropertySet and PropertyValue
KEYS, VALUES = 1, 2
PROPERTY_TYPE, PROPERTY_IS_NULL = 1, 2
PROPERTY_SHIFT = 7
"""The values of a property have the numbers of a metric's values less this: 3 to 8."""


class DataType(IntEnum):
    """The data types that this gateway writes, with the numbers of the specification."""

    INT32 = 3
    INT64 = 4
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12


@dataclass(frozen=True, slots=True)
class Property:
    """One value of a property set, as it was read."""

    type: int | None
    value: Scalar | None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric as it was read; None is what was not there."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    is_historical: bool = False
    is_null: bool = False
    properties: Mapping[str, Property] = field(default_factory=dict)
    value: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """One payload as it was read."""

    timestamp_ms: int | None = None
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None


def value_field(datatype: DataType, value: Scalar, *, shift: int = 0) -> bytes:
    """Return the one field that holds a value; negative Int32 in 32 bits, as the schema wants."""
    if datatype is DataType.DOUBLE:
        return wire.double(DOUBLE_VALUE - shift, float(value))
    if datatype is DataType.BOOLEAN:
        return wire.unsigned(BOOLEAN_VALUE - shift, int(bool(value)))
    if datatype is DataType.STRING:
        return wire.blob(STRING_VALUE - shift, str(value).encode())
    if datatype is DataType.INT32:
        return wire.unsigned(INT_VALUE - shift, int(value) & 0xFFFF_FFFF)
    return wire.unsigned(LONG_VALUE - shift, int(value))


def property_set(properties: Mapping[str, tuple[DataType, Scalar]]) -> bytes:
    """Return the field ``properties`` of a metric; nothing for an empty mapping."""
    if not properties:
        return b""
    keys = b"".join(wire.blob(KEYS, key.encode()) for key in properties)
    values = b"".join(
        wire.blob(
            VALUES,
            wire.unsigned(PROPERTY_TYPE, kind) + value_field(kind, value, shift=PROPERTY_SHIFT),
        )
        for kind, value in properties.values()
    )
    return wire.blob(PROPERTIES, keys + values)


def metric_field(
    identity: bytes,
    timestamp_ms: int,
    datatype: DataType,
    value: bytes | None,
    properties: bytes = b"",
) -> bytes:
    """Return a metric of a birth as a field of the payload.

    ``identity`` is its name and perhaps its alias, ``value`` a field of ``value_field`` or None
    where nothing is known.
    """
    body = identity + wire.unsigned(METRIC_TIMESTAMP, timestamp_ms)
    body += wire.unsigned(DATATYPE, datatype)
    body += wire.unsigned(IS_NULL, 1) if value is None else b""
    return wire.blob(METRICS, body + properties + (value or b""))


def counted(metrics: bytes, timestamp_ms: int, seq: int) -> bytes:
    """Return the payload with its time and number; fields may stand in any order."""
    return metrics + wire.unsigned(TIMESTAMP, timestamp_ms) + wire.unsigned(SEQ, seq)


def decode_payload(
    data: bytes, *, max_bytes: int = MAX_PAYLOAD_BYTES, max_metrics: int = MAX_METRICS
) -> Payload:
    """Read a payload that somebody sent. Raises ValueError for what is none, or is too large."""
    if len(data) > max_bytes:
        raise ValueError("a payload that is too large")
    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[bytes] = []
    for found in wire.fields(data):
        if found.number == TIMESTAMP and found.kind == wire.VARINT:
            timestamp_ms = found.value
        elif found.number == SEQ and found.kind == wire.VARINT:
            seq = found.value
        elif found.number == METRICS and found.kind == wire.BYTES:
            metrics.append(found.data)
    if len(metrics) > max_metrics:
        raise ValueError("too many metrics")
    return Payload(timestamp_ms, tuple(_metric(metric) for metric in metrics), seq)


def _metric(data: bytes) -> Metric:
    numbers: dict[int, int] = {}
    name: str | None = None
    properties: dict[str, Property] = {}
    raw: wire.Field | None = None
    for found in wire.fields(data):
        if INT_VALUE <= found.number <= STRING_VALUE:
            raw = found
        elif found.kind == wire.VARINT:
            numbers[found.number] = found.value
        elif found.number == NAME and found.kind == wire.BYTES:
            name = found.data.decode()
        elif found.number == PROPERTIES and found.kind == wire.BYTES:
            properties = _properties(found.data)
    datatype = numbers.get(DATATYPE)
    return Metric(
        name=name,
        alias=numbers.get(ALIAS),
        timestamp_ms=numbers.get(METRIC_TIMESTAMP),
        datatype=datatype,
        is_historical=bool(numbers.get(IS_HISTORICAL)),
        is_null=bool(numbers.get(IS_NULL)),
        properties=properties,
        value=None if raw is None else _scalar(raw, raw.number, datatype),
    )


def _properties(data: bytes) -> dict[str, Property]:
    keys: list[str] = []
    values: list[Property] = []
    for found in wire.fields(data):
        if found.kind == wire.BYTES and found.number == KEYS:
            keys.append(found.data.decode())
        elif found.kind == wire.BYTES and found.number == VALUES:
            values.append(_property(found.data))
        if len(keys) > MAX_PROPERTIES or len(values) > MAX_PROPERTIES:
            raise ValueError("too many properties")
    if len(keys) != len(values):
        raise ValueError("a property set with keys that have no value, or the reverse")
    return dict(zip(keys, values, strict=True))


def _property(data: bytes) -> Property:
    kind: int | None = None
    raw: wire.Field | None = None
    for found in wire.fields(data):
        if found.number == PROPERTY_TYPE and found.kind == wire.VARINT:
            kind = found.value
        elif INT_VALUE <= found.number + PROPERTY_SHIFT <= STRING_VALUE:
            raw = found
    value = None if raw is None else _scalar(raw, raw.number + PROPERTY_SHIFT, kind)
    return Property(kind, value)


def _scalar(raw: wire.Field, number: int, datatype: int | None) -> Scalar | None:
    """Return the value of a field with the number of a metric's value; None for a wrong kind."""
    value: Scalar | None = None
    if raw.kind == wire.VARINT and number == BOOLEAN_VALUE:
        value = bool(raw.value)
    elif raw.kind == wire.VARINT and number == INT_VALUE:
        value = raw.value & 0xFFFF_FFFF
        if datatype == DataType.INT32 and value >> 31:
            value -= 1 << 32
    elif raw.kind == wire.VARINT and number == LONG_VALUE:
        value = raw.value
        if datatype == DataType.INT64 and value >> 63:
            value -= 1 << 64
    elif raw.kind == wire.FIXED64 and number == DOUBLE_VALUE:
        value = struct.unpack("<d", raw.data)[0]
    elif raw.kind == wire.FIXED32 and number == FLOAT_VALUE:
        value = struct.unpack("<f", raw.data)[0]
    elif raw.kind == wire.BYTES and number == STRING_VALUE:
        value = raw.data.decode()
    return value
