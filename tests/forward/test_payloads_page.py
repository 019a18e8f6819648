"""docs/payloads.md shows what the code writes, to the letter."""

import dataclasses
import re
from pathlib import Path

import pytest

from gateway.buffer import Batch
from gateway.forward import Format
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.forward.reports import (
    GAP_TOPIC,
    STATUS_TOPIC,
    gap_payload,
    offline_payload,
    online_payload,
)
from gateway.reading import Flag
from tests.forward.fakes import CONTEXT, OFFSET_NS, Catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "payloads.md"
TIME_NS = 86_400_125_000_000
STATUS = {"sensors": {"air-roof": {"state": "fresh"}, "radar": {"state": "silent"}}}


def readings(encoder: Format) -> str:
    catalogue = Catalogue()
    rows = [
        ("air-roof", "air.pm25", "ug/m3", 8.4, 0),
        ("air-roof", "air.pm10", "ug/m3", 12.0, int(Flag.SPIKE)),
    ]
    batch = Batch(
        epoch=12,
        boot=7,
        first=48213,
        series=[catalogue.add(sensor, quantity, unit=unit) for sensor, quantity, unit, *_ in rows],
        times_ns=[TIME_NS] * len(rows),
        values=[row[3] for row in rows],
        flags=[row[4] for row in rows],
        offset_ns=OFFSET_NS,
        synced=True,
    )
    context = dataclasses.replace(CONTEXT, topic=encoder.topic)
    (message,) = encoder.encode(batch, range(len(rows)), catalogue, context)
    return message.payload.decode().rstrip("\n")


def gap() -> str:
    return gap_payload(
        CONTEXT,
        first=48301,
        last=52344,
        count=4044,
        reason="overwritten",
        first_time_ns=OFFSET_NS,
        last_time_ns=OFFSET_NS + TIME_NS,
    ).decode()


EXAMPLES = {
    "ngsi-ld": readings(NgsiLd()),
    "json": readings(JsonLines()),
    "gap": gap(),
    "online": online_payload(CONTEXT, OFFSET_NS + TIME_NS, STATUS).decode(),
    "offline": offline_payload(CONTEXT, "lost").decode(),
}


def block(name: str, text: str) -> str:
    return f"<!-- example: {name} -->\n```json\n{text}\n```\n"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_what_the_code_writes(name: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```json\n(.*?)\n?```\n", page, re.DOTALL)
    assert found is not None
    assert found.group(1) == EXAMPLES[name], f"should be:\n{block(name, EXAMPLES[name])}"


def test_topics_and_flags_of_the_page_are_those_of_the_code() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for topic in (NgsiLd.topic, JsonLines.topic, GAP_TOPIC, STATUS_TOPIC):
        assert f"`{topic}`" in page
    table = page.split("## Quality")[1].split("In `json`")[0]
    for flag in Flag:
        assert f"`{str(flag.name).lower()}`" in table
