"""The document of ``check --explain`` as text for people: at most 80 columns."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from gateway.cli.explain.report import series_text

__all__ = ["lines"]

WIDTH = 80
COLUMNS = ("in", "out", "flagged", "dropped", "absorbed")
NAME_WIDTH = 16
NUMBER_WIDTH = 10
WITHHELD = "withheld"

Document = Mapping[str, Any]


def lines(document: Document) -> Iterator[str]:
    """Yield the lines; each printable and short enough for a terminal."""
    for line in _lines(document):
        yield "".join(char if char.isprintable() else "?" for char in line)


def _lines(document: Document) -> Iterator[str]:
    what = "stored readings" if document["source"] == "stored" else "recording"
    yield from _wrapped(
        f"sensor {document['sensor']}: {document['driver']}, privacy {document['privacy']}"
    )
    yield from _wrapped(f"{what} {document['from']} to {document['to']}")
    for note in document["notes"]:
        yield from _wrapped(f"note: {note}")
    for series in document["series"]:
        yield ""
        yield from _series(series)


def _series(series: Document) -> Iterator[str]:
    name = series_text(series["quantity"], tuple(series["dims"].items()))
    yield from _wrapped(f"{name}: {_readings(series['readings'])}")
    for note in series["notes"]:
        yield from _wrapped(f"note: {note}", "  ")
    if not series["filters"]:
        yield "  no filter"
    else:
        heads = "".join(f"{head:>{NUMBER_WIDTH}}" for head in COLUMNS)
        yield f"  {'filter':<{NAME_WIDTH}}{heads}"
    for entry in series["filters"]:
        numbers = "".join(f"{entry[column]:>{NUMBER_WIDTH}}" for column in COLUMNS)
        yield f"  {entry['filter']:<{NAME_WIDTH}}{numbers}"
    for entry in series["filters"]:
        yield from _details(entry)
    for entry in series["comes_out"]:
        yield from _came_out(entry)
    if not series["comes_out"]:
        yield "  nothing comes out"


def _details(entry: Document) -> Iterator[str]:
    parts = [f"{count} flagged {flag}" for flag, count in entry["flags"].items()]
    if entry["figures"]:
        parts.append(f"{entry['figures']} figures of windows")
    if entry["kept_raw"]:
        parts.append(f"{entry['kept_raw']} kept raw beside")
    if parts:
        yield from _wrapped(f"{entry['filter']}: {', '.join(parts)}", "  ")
    for example in entry["examples"]:
        yield from _wrapped(f"{entry['filter']}: {_example(example)}", "    ")


def _example(example: Document) -> str:
    flags = ", ".join(example["flags"])
    before, after = _value(example["before"]), _value(example["after"])
    text = f"{example['time']} {example['what']}"
    if example["what"] == "dropped":
        return f"{text} {before}"
    if before == after or example["before"] is None:
        return f"{text} {after}" + (f" ({flags})" if flags else "")
    return f"{text} {before} -> {after}" + (f" ({flags})" if flags else "")


def _came_out(entry: Document) -> Iterator[str]:
    name = series_text(entry["quantity"], tuple(entry["dims"].items()), entry["aggregation"])
    text = f"comes out: {name}, {_readings(entry['readings'])}"
    if entry["cut_off"]:
        text += f" ({entry['cut_off']} cut off by the end)"
    if entry["value"] is not None:
        unit = "" if entry["unit"] == "1" else f" {entry['unit']}"
        text += f", newest {_value(entry['value'])}{unit}"
    if entry["flags"]:
        text += f", flags {', '.join(entry['flags'])}"
    yield from _wrapped(text, "  ")
    papers = ", ".join(f"{key} {value}" for key, value in entry["calibration"].items())
    if papers:
        yield from _wrapped(f"made by: {papers}", "    ")


def _readings(count: int) -> str:
    return f"{count} reading" + ("" if count == 1 else "s")


def _value(value: float | None) -> str:
    return WITHHELD if value is None else f"{value:.6g}"


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_on_hyphens=False
    )
