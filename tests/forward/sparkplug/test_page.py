"""docs/payloads/sparkplug-b.md shows what the code writes, read back, and lists what it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions
from gateway.forward.formats.sparkplug.payload import DataType, Metric, decode_payload
from gateway.reading import Flag, Series, SeriesKey
from tests.forward.sparkplug.conversation import START_MS, EdgeNode, Reading
from tests.forward.sparkplug.rules import RULES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "payloads" / "sparkplug-b.md"
PM25 = Series(17, SeriesKey("air-roof", "air.pm25"), "ug/m3")
PM10 = Series(18, SeriesKey("air-roof", "air.pm10"), "ug/m3")


def told(metric: Metric) -> dict[str, Any]:
    every = {
        "name": metric.name,
        "alias": metric.alias,
        "timestamp": metric.timestamp_ms,
        "datatype": None if metric.datatype is None else DataType(metric.datatype).name.title(),
        "is_historical": metric.is_historical or None,
        "is_null": metric.is_null or None,
        "properties": {key: one.value for key, one in metric.properties.items()} or None,
        "value": metric.value,
    }
    return {key: value for key, value in every.items() if value is not None}


def text(payload: bytes) -> str:
    read = decode_payload(payload)
    whole = {
        "timestamp": read.timestamp_ms,
        "metrics": [told(metric) for metric in read.metrics],
        "seq": read.seq,
    }
    return json.dumps(
        {key: value for key, value in whole.items() if value not in (None, [])},
        ensure_ascii=False,
        separators=(",", ":"),
    )


def conversation(options: SparkplugOptions) -> dict[str, bytes]:
    node = EdgeNode(SparkplugB(options), [PM25, PM10], connection_number=41)
    node.connect()
    node.now_ms = START_MS + 200
    node.data(Reading(PM25, 75, 8.4), Reading(PM10, 75, 12.0, int(Flag.SPIKE)))
    node.data(Reading(PM25, 3_600_200, 7.9), history=True)
    node.withdraw("air-roof")
    node.end()
    found: dict[str, bytes] = {}
    for event in node.events:
        if event.kind == "publish":
            kind = event.topic.split("/")[2].lower()
            found["history" if kind in found else kind] = event.payload
    return found


PAYLOADS = conversation(SparkplugOptions())
EXAMPLES = {kind: text(payload) for kind, payload in PAYLOADS.items()}
EXAMPLES["aliases"] = text(conversation(SparkplugOptions(aliases=True))["ddata"])
EXAMPLES["bytes"] = PAYLOADS["ddata"].hex()


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_what_the_code_writes(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)\n?```\n", page, re.DOTALL)
    wanted = EXAMPLES[name]
    assert found is not None, wanted
    assert found.group(1) == wanted, f"should be:\n{wanted}"


def test_the_page_names_every_option_and_topic() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for option in SparkplugOptions.model_fields:
        assert f"| `{option}` |" in page
    for kind in ("NBIRTH", "NDEATH", "NCMD"):
        assert f"`spBv1.0/{{group}}/{kind}/{{edge}}`" in page
    for kind in ("DBIRTH", "DDATA", "DDEATH"):
        assert f"`spBv1.0/{{group}}/{kind}/{{edge}}/{{sensor}}`" in page
    assert "`spBv1.0/STATE/{primary_host}`" in page


def test_the_page_tells_how_many_statements_are_checked() -> None:
    assert f"{len(RULES)} of the" in PAGE.read_text(encoding="utf-8")
