"""Payload cases as data: a file holds options, readings and the messages that they become.

Times are ``at_ns`` after 2026-11-22T09:00:00Z. A payload is compared as the object that it says, so
that a case reads well; what the bytes look like is for each format's own tests.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.forward.formats.base import Format, FormatContext, Message, SensorFacts, load_format
from gateway.reading import Series, SeriesKey

__all__ = [
    "CONTEXT",
    "LOST",
    "OFFSET_NS",
    "Row",
    "batch_of",
    "case_messages",
    "cases",
    "context_for",
    "encode",
    "example_of",
    "run_case",
]

FOLDER = Path(__file__).resolve().parent
PAGES = FOLDER.parents[1] / "docs" / "payloads"
OFFSET_NS = 1_795_338_000_000_000_000
"""Boot time 0 is 2026-11-22T09:00:00Z."""
CONTEXT = FormatContext(
    tenant="aarhus",
    gateway="dokk1-03",
    location=Position(lon=10.2134, lat=56.1535),
    locations={"radar": Position(lon=10.2, lat=56.1)},
    sensors={
        "air-roof": SensorFacts(
            driver="sds011",
            title="Fine dust",
            domain="air",
            interval_s=1.0,
            privacy="P0",
            quantities=("air.pm25", "air.pm10"),
        )
    },
)
LOST = FormatContext(tenant="aarhus", gateway="dokk1-03")

Row = tuple[SeriesKey, int, float, int]
"""Series, boot time in ns, value, flags."""


def context_for(
    encoder: Format, context: FormatContext = CONTEXT, topic: str = ""
) -> FormatContext:
    """Return the context with the topic that the link would set."""
    return FormatContext(
        tenant=context.tenant,
        gateway=context.gateway,
        location=context.location,
        locations=context.locations,
        topic=topic or encoder.topic_template(),
        sensors=context.sensors,
    )


def batch_of(
    rows: Iterable[Row],
    *,
    synced: bool = True,
    units: Mapping[str, str] | None = None,
    calibrations: Mapping[str, Mapping[str, str]] | None = None,
) -> tuple[Batch, dict[int, Series]]:
    """Return the rows as a batch, and their series by id; units and calibration by quantity."""
    batch = Batch(epoch=3, boot=2, first=1000, offset_ns=OFFSET_NS, synced=synced)
    by_key: dict[SeriesKey, Series] = {}
    for key, time_ns, value, flags in rows:
        if key not in by_key:
            by_key[key] = Series(
                len(by_key) + 1,
                key,
                (units or {}).get(key.quantity, "1"),
                calibration=(calibrations or {}).get(key.quantity, {}),
            )
        batch.series.append(by_key[key].id)
        batch.times_ns.append(time_ns)
        batch.values.append(value)
        batch.flags.append(flags)
    return batch, {series.id: series for series in by_key.values()}


def encode(
    encoder: Format, rows: Sequence[Row], context: FormatContext | None = None, **batch: Any
) -> list[Message]:
    """Return the messages of all rows."""
    found, series = batch_of(rows, **batch)
    return encoder.encode(
        found, range(len(found)), series.__getitem__, context or context_for(encoder)
    )


def cases(folder: str) -> list[Path]:
    """Return the case files of a format."""
    return sorted((FOLDER / folder).glob("*.json"))


def case_messages(case: Mapping[str, Any], name: str) -> list[Message]:
    """Return what a format makes of the readings of a case."""
    encoder = load_format(name, case.get("options"))
    rows = [
        (
            SeriesKey(
                row["sensor"],
                row["quantity"],
                tuple(sorted(row.get("dims", {}).items())),
                row.get("aggregation", "instant"),
            ),
            row["at_ns"],
            row["value"],
            row.get("flags", 0),
        )
        for row in case["readings"]
    ]
    context = context_for(encoder, LOST if case.get("lost") else CONTEXT, case.get("topic", ""))
    return encode(
        encoder,
        rows,
        context,
        synced=case.get("synced", True),
        units=case.get("units"),
        calibrations=case.get("calibrations"),
    )


def run_case(path: Path, name: str, decode: Callable[[bytes], Any] = json.loads) -> None:
    """Check one case file against a format."""
    case = json.loads(path.read_text(encoding="utf-8"))
    found = [
        {
            "topic": message.topic,
            "first": message.first,
            "last": message.last,
            "count": message.count,
            "payload": decode(message.payload),
        }
        for message in case_messages(case, name)
    ]
    assert found == case["messages"], json.dumps(found, default=str)


def example_of(page: str, name: str) -> str:
    """Return the example of that name on a page of docs/payloads."""
    text = (PAGES / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)\n```\n", text, re.DOTALL)
    assert found is not None, f"{page} has no example {name}"
    return found.group(1)
