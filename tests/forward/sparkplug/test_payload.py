"""The wire format against published bytes, and against bytes that nobody should send."""

import math
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.forward.formats.sparkplug import payload as schema
from gateway.forward.formats.sparkplug import wire
from gateway.forward.formats.sparkplug.payload import DataType, decode_payload

VALUES: dict[DataType, st.SearchStrategy[schema.Scalar]] = {
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(max_size=40),
}
typed_values = st.sampled_from(list(DataType)).flatmap(
    lambda kind: st.tuples(st.just(kind), VALUES[kind])
)


@pytest.mark.parametrize(
    ("data", "number", "value"),
    [
        (bytes.fromhex("089601"), 1, 150),  # the example of the encoding page
        (bytes.fromhex("08ffffffffffffffffff01"), 1, 2**64 - 1),
        (bytes.fromhex("f8ffffff0f00"), 2**29 - 1, 0),
    ],
)
def test_published_numbers(data: bytes, number: int, value: int) -> None:
    assert list(wire.fields(data)) == [wire.Field(number, wire.VARINT, value)]
    assert wire.unsigned(number, value) == data


def test_published_text_and_double() -> None:
    text = bytes.fromhex("120774657374696e67")
    assert list(wire.fields(text)) == [wire.Field(2, wire.BYTES, data=b"testing")]
    assert wire.blob(2, b"testing") == text
    assert wire.double(13, 8.4) == b"\x69" + struct.pack("<d", 8.4)


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",  # no value
        b"\x08\x80",  # half a value
        b"\x08" + b"\xff" * 9 + b"\x02",  # 65 bits
        b"\x08" + b"\x80" * 11 + b"\x01",  # endless
        b"\x00\x00",  # field 0
        b"\x80\x80\x80\x80\x10\x00",  # field 2^29
        b"\x0b\x0c",  # a group
        b"\x0e",  # kind 6
        b"\x12\x05abc",  # longer than the message
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # longer than any memory
        b"\x09" + b"\0" * 7,  # half a double
    ],
)
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="a "):
        list(wire.fields(data))


@given(
    typed_values,
    st.text(max_size=60),
    st.integers(0, 2**63),
    st.dictionaries(st.text(max_size=9), typed_values, max_size=4),
)
def test_metrics_come_back(
    typed: tuple[DataType, schema.Scalar],
    name: str,
    timestamp_ms: int,
    properties: dict[str, tuple[DataType, schema.Scalar]],
) -> None:
    kind, value = typed
    data = schema.metric_field(
        wire.blob(schema.NAME, name.encode()),
        timestamp_ms,
        kind,
        schema.value_field(kind, value),
        schema.property_set(properties),
    )
    read = decode_payload(schema.counted(data, timestamp_ms, 255))
    (metric,) = read.metrics
    assert (read.timestamp_ms, read.seq) == (timestamp_ms, 255)
    assert (metric.name, metric.timestamp_ms, metric.datatype) == (name, timestamp_ms, kind)
    assert metric.value == value
    assert type(metric.value) is type(value)
    assert {key: (one.type, one.value) for key, one in metric.properties.items()} == properties


def test_null_is_said_and_floats_are_read() -> None:
    null = schema.metric_field(b"", 5, DataType.DOUBLE, None)
    single = wire.blob(
        schema.METRICS,
        wire.varint(schema.FLOAT_VALUE << 3 | wire.FIXED32) + struct.pack("<f", 0.5),
    )
    first, second = decode_payload(null + single).metrics
    assert first.is_null
    assert first.value is None
    assert second.value == 0.5


@given(st.binary(max_size=300))
@example(wire.blob(schema.METRICS, wire.blob(schema.NAME, b"\xff")))
@example(wire.blob(schema.METRICS, wire.blob(schema.PROPERTIES, wire.blob(schema.KEYS, b"a"))))
@example(wire.blob(schema.METRICS, wire.blob(schema.DOUBLE_VALUE, b"12345678")))
def test_anything_is_read_or_refused(data: bytes) -> None:
    try:
        read = decode_payload(data)
    except ValueError:
        return
    assert read.seq is None or 0 <= read.seq < 2**64


@given(st.data(), typed_values)
def test_damaged_payloads_are_read_or_refused(
    data: st.DataObject, typed: tuple[DataType, schema.Scalar]
) -> None:
    kind, value = typed
    whole = bytearray(
        schema.metric_field(
            wire.blob(schema.NAME, b"Node Control/Rebirth"),
            1,
            kind,
            schema.value_field(kind, value),
            schema.property_set({"Quality": (DataType.INT32, 192)}),
        )
    )
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    try:
        decode_payload(bytes(whole))
    except ValueError:
        return


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * (schema.MAX_PAYLOAD_BYTES + 1),
        wire.blob(schema.METRICS, b"") * (schema.MAX_METRICS + 1),
        wire.blob(
            schema.METRICS,
            wire.blob(schema.PROPERTIES, wire.blob(schema.KEYS, b"") * (schema.MAX_PROPERTIES + 1)),
        ),
    ],
    ids=["bytes", "metrics", "properties"],
)
def test_what_is_too_large_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="too"):
        decode_payload(data)


def test_deep_nesting_is_not_followed() -> None:
    data = b""
    while len(data) < schema.MAX_PAYLOAD_BYTES - 10:
        data = wire.blob(18, data)  # template_value, which may hold metrics
    (metric,) = decode_payload(wire.blob(schema.METRICS, data)).metrics
    assert metric.value is None


def test_infinities_survive_though_nobody_sends_them() -> None:
    data = schema.metric_field(b"", 1, DataType.DOUBLE, wire.double(13, math.inf))
    assert decode_payload(data).metrics[0].value == math.inf
