"""What the edge node writes is read by an implementation that is not ours: Eclipse Tahu's."""

import json
import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions
from gateway.forward.formats.sparkplug.payload import DataType, Metric, decode_payload
from gateway.reading import Flag, Series, SeriesKey
from tests.forward.sparkplug.conversation import (
    HOST,
    START_MS,
    EdgeNode,
    Event,
    Reading,
    full_conversation,
)

HERE = Path(__file__).parent
NODE_MODULES = Path(os.environ.get("CITYLAB_NODE_MODULES") or HERE.parent / "node_modules")
TYPE_NAMES = {kind.value: kind.name.title() for kind in DataType}

pytestmark = [
    pytest.mark.node,
    pytest.mark.timeout(60),
    pytest.mark.skipif(
        not (NODE_MODULES / "sparkplug-payload").is_dir(), reason="sparkplug-payload is missing"
    ),
]


def decoded(payloads: Sequence[bytes]) -> list[dict[str, Any]]:
    node = shutil.which("node")
    assert node is not None, "the test needs the marker node"
    framed = b"".join(len(payload).to_bytes(4, "big") + payload for payload in payloads)
    done = subprocess.run(
        [node, str(HERE / "decode.js")], input=framed, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@cache
def conversation(name: str) -> list[Event]:
    options = {
        "plain": SparkplugOptions(),
        "aliases": SparkplugOptions(aliases=True),
        "host": SparkplugOptions(primary_host=HOST),
    }
    return [event for event in full_conversation(options[name]) if event.payload and event.topic]


def as_tahu_tells(metric: Metric) -> dict[str, Any]:
    """Return what the decoder should make of a metric that names its data type."""
    value: object = metric.value
    if metric.datatype == DataType.INT64 and value is not None:
        value = str(value)
    told: dict[str, Any] = {
        "name": metric.name,
        "alias": None if metric.alias is None else str(metric.alias),
        "timestamp": str(metric.timestamp_ms),
        "isHistorical": True if metric.is_historical else None,
        "value": value,
        "type": TYPE_NAMES[metric.datatype or 0],
        "properties": {
            key: {"type": TYPE_NAMES[one.type or 0], "value": one.value}
            for key, one in metric.properties.items()
        }
        or None,
    }
    return {key: one for key, one in told.items() if one is not None or key == "value"}


@pytest.mark.parametrize("name", ["plain", "host"])
def test_every_message_of_a_conversation_is_read_as_it_was_meant(name: str) -> None:
    sent = [event for event in conversation(name) if event.topic.split("/")[2] in TYPES]
    found = decoded([event.payload for event in sent])
    assert len(found) == len(sent) > 300
    for event, told in zip(sent, found, strict=True):
        meant = decode_payload(event.payload)
        assert told["timestamp"] == str(meant.timestamp_ms)
        assert told.get("seq") == (None if meant.seq is None else str(meant.seq))
        assert told["metrics"] == [as_tahu_tells(metric) for metric in meant.metrics]


TYPES = ("NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH")


def test_aliases_are_read_where_the_data_does_not_need_its_type() -> None:
    """Why names are the default: without the type in the data this library finds no value."""
    data = [event for event in conversation("aliases") if "/DDATA/" in event.topic]
    metrics = [metric for told in decoded([data[0].payload]) for metric in told["metrics"]]
    assert [metric["alias"] for metric in metrics] == [
        str(metric.alias) for metric in decode_payload(data[0].payload).metrics
    ]
    assert all(metric["value"] is None for metric in metrics)


KINDS = {
    "air.temperature": [8.4, -40.25, 0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0],
    "traffic.count": [0.0, 12.0, 2.0**53 + 2, -(2.0**62)],
    "people.present": [0.0, 3.0, -1.0, 2.0**31 - 1, -(2.0**31)],
    "parking.occupied": [0.0, 1.0],
    "traffic.vehicle_class": [3.0, 2.5],
}


@pytest.mark.parametrize("quantity", sorted(KINDS))
def test_values_at_the_edges(quantity: str) -> None:
    series = Series(1, SeriesKey("a", quantity), "1")
    node = EdgeNode(SparkplugB(), [series])
    node.connect()
    for value in KINDS[quantity]:
        node.data(Reading(series, 1, value))
    payloads = [event.payload for event in node.events if "/DDATA/" in event.topic]
    found = [told["metrics"][0]["value"] for told in decoded(payloads)]
    expected: dict[str, list[object]] = {
        "traffic.count": [str(int(value)) for value in KINDS[quantity]],
        "parking.occupied": [False, True],
        "traffic.vehicle_class": ["3", "2.5"],
    }
    assert found == expected.get(quantity, list(KINDS[quantity]))


def test_quality_units_and_null() -> None:
    series = Series(300, SeriesKey("ø/å", "air.pm25"), "ug/m3")
    node = EdgeNode(SparkplugB(), [series])
    node.connect()
    node.data(Reading(series, 1, 8.4, int(Flag.RANGE)))
    birth, data = (event.payload for event in node.events if "/ø/å" in event.topic)
    (null,) = [one for one in decoded([birth])[0]["metrics"] if one["name"] == "air/pm25"]
    assert null["value"] is None
    assert null["properties"]["engUnit"] == {"type": "String", "value": "μg/m³"}
    (metric,) = decoded([data])[0]["metrics"]
    assert metric["properties"]["Quality"] == {"type": "Int32", "value": 0}
    assert metric["timestamp"] == str(START_MS - 1)
    assert math.isclose(metric["value"], 8.4, rel_tol=0, abs_tol=0)
