"""docs/payloads.md and its pages show what the code writes, to the letter."""

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Batch
from gateway.forward import Format
from gateway.forward.formats import SensorFacts, load_format
from gateway.forward.formats.home_assistant import HomeAssistant
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.forward.reports import (
    gap_payload,
    offline_payload,
    online_payload,
    time_fix_payload,
)
from gateway.reading import Aggregation, Flag, Series
from tests.forward.entities import series_of
from tests.forward.fakes import CONTEXT, OFFSET_NS
from tests.forward.test_formats import CONTEXTS, check_format, class_of, declared

DOCS = Path(__file__).resolve().parents[2] / "docs"
OVERVIEW = DOCS / "payloads.md"
OURS = ("ngsi-ld", "json", "homeassistant")
TIME_NS = 86_400_125_000_000
STATUS = {"sensors": {"air-roof": {"state": "fresh"}, "radar": {"state": "silent"}}}
FACTS = SensorFacts(
    driver="sds011",
    title="Nova SDS011 particle sensor",
    domain="air",
    interval_s=1.0,
    privacy="P0",
    quantities=("air.pm25", "air.pm10"),
)
PLACED = dataclasses.replace(
    CONTEXT,
    sensors={"air-roof": FACTS},
    version="0.1.0",
    status_topic="city/aarhus/dokk1-03/status",
)

Row = tuple[str, Aggregation, str, float, int]
TWO: list[Row] = [
    ("air.pm25", "instant", "ug/m3", 8.4, 0),
    ("air.pm10", "instant", "ug/m3", 12.0, int(Flag.SPIKE)),
]
WINDOWS: list[Row] = [
    ("air.pm25", "mean", "ug/m3", 8.4, 0),
    ("air.pm25", "max", "ug/m3", 31.0, 0),
]


def series_of_rows(rows: list[Row]) -> dict[int, Series]:
    return {
        number: series_of(
            number,
            "air-roof",
            quantity,
            aggregation=aggregation,
            unit=unit,
            window_s="" if aggregation == "instant" else "900",
        )
        for number, (quantity, aggregation, unit, *_) in enumerate(rows)
    }


def encoded(encoder: Format, rows: list[Row]) -> str:
    batch = Batch(
        epoch=12,
        boot=7,
        first=48213,
        series=list(range(len(rows))),
        times_ns=[TIME_NS] * len(rows),
        values=[row[3] for row in rows],
        flags=[row[4] for row in rows],
        offset_ns=OFFSET_NS,
        synced=True,
    )
    context = dataclasses.replace(PLACED, topic=encoder.topic)
    lookup = series_of_rows(rows).__getitem__
    (message,) = encoder.encode(batch, range(len(rows)), lookup, context)
    return message.payload.decode().rstrip("\n")


def announced(encoder: Format, number: int = 0) -> str:
    context = dataclasses.replace(PLACED, topic=encoder.topic)
    series = list(series_of_rows(TWO).values())
    return encoder.announce("air-roof", series, context, OFFSET_NS)[number].payload.decode()


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


def time_fix() -> str:
    return time_fix_payload(
        CONTEXT,
        epoch=12,
        boot=7,
        first=48301,
        last=48911,
        correction_s=3599.998,
        bound_s=16.0,
        estimated=False,
        wall_ns=OFFSET_NS + TIME_NS,
    ).decode()


def code_of_the_page() -> str:
    found = block_of(OVERVIEW, "lab")
    assert found is not None
    return found


def lab_format() -> type[Format]:
    """Run the page's own example of a format."""
    names: dict[str, Any] = {"__name__": "lab_csv"}
    exec(compile(code_of_the_page(), "docs/payloads.md", "exec"), names)
    found: type[Format] = names["LabCsv"]
    return found


def make_lab(**options: str) -> Format:
    cls = lab_format()
    return cls(cls.Options.model_validate(options))


def block_of(page: Path, name: str) -> str | None:
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w*\n(.*?)\n?```\n", text, re.DOTALL)
    return found.group(1) if found else None


EXAMPLES: Mapping[tuple[str, str], Callable[[], str]] = {
    ("payloads", "gap"): gap,
    ("payloads", "time-fix"): time_fix,
    ("payloads", "online"): lambda: online_payload(CONTEXT, OFFSET_NS + TIME_NS, STATUS).decode(),
    ("payloads", "offline"): lambda: offline_payload(CONTEXT, "lost").decode(),
    ("payloads", "lab-output"): lambda: encoded(make_lab(), TWO),
    ("payloads/ngsi-ld", "ngsi-ld"): lambda: encoded(NgsiLd(), TWO),
    ("payloads/ngsi-ld", "ngsi-ld-device"): lambda: announced(NgsiLd()),
    ("payloads/ngsi-ld", "ngsi-ld-window"): lambda: encoded(NgsiLd(), WINDOWS),
    ("payloads/json", "json"): lambda: encoded(JsonLines(), TWO),
    ("payloads/json", "json-window"): lambda: encoded(JsonLines(), WINDOWS[:1]),
    ("payloads/homeassistant", "ha-config"): lambda: announced(HomeAssistant()),
    ("payloads/homeassistant", "ha-availability"): lambda: announced(HomeAssistant(), 1),
    ("payloads/homeassistant", "ha-state"): lambda: encoded(HomeAssistant(), TWO),
}


@pytest.mark.parametrize(("page", "name"), sorted(EXAMPLES))
def test_examples_are_what_the_code_writes(page: str, name: str) -> None:
    expected = EXAMPLES[page, name]()
    found = block_of(DOCS / f"{page}.md", name)
    assert found == expected, f"should be:\n{expected}"


@pytest.mark.timeout(30)
def test_the_format_of_the_page_keeps_the_contract() -> None:
    rows = [
        (sensor, quantity, (("lane", "1"),), "instant", i, float(i), 0)
        for i, sensor in enumerate(("air-roof", "radar") * 5)
        for quantity in ("air.pm25", "traffic.count")
    ]
    for context in CONTEXTS:
        check_format(make_lab, rows, synced=False, history=True, context=context)  # type: ignore[arg-type]
    assert ";" in encoded(make_lab(separator=";"), TWO)


def test_topics_and_flags_of_the_overview_are_those_of_the_code() -> None:
    page = OVERVIEW.read_text(encoding="utf-8")
    for name in OURS:
        assert f"`{class_of(name).topic}`" in page
    for topic in ("city/{tenant}/{gateway}/gap", "city/{tenant}/{gateway}/status"):
        assert f"`{topic}`" in page
    table = page.split("## Quality")[1].split("`json` tells")[0]
    for flag in Flag:
        assert f"`{str(flag.name).lower()}`" in table


def test_every_format_stands_in_the_overview() -> None:
    page = OVERVIEW.read_text(encoding="utf-8")
    for name in declared():
        assert re.search(rf"\[`{name}`\]\(payloads/[a-z-]+\.md\)", page), name


def test_every_link_of_the_pages_leads_somewhere() -> None:
    for page in (OVERVIEW, *(DOCS / "payloads").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", text):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("name", OURS)
def test_the_page_of_a_format_tells_its_topic_and_its_options(name: str) -> None:
    page = (DOCS / "payloads" / f"{name}.md").read_text(encoding="utf-8")
    cls = class_of(name)
    assert f"`{cls.topic}`" in page
    for key in cls.Options.model_fields:
        assert f"| `{key}` |" in page


@pytest.mark.parametrize("page", [OVERVIEW, *(DOCS / f"payloads/{name}.md" for name in OURS)])
def test_the_configurations_of_the_pages_are_valid(page: Path) -> None:
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        for broker in tomllib.loads(text)["broker"]:
            load_format(broker["format"], broker.get("options", {}))
