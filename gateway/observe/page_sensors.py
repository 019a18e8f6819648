"""The part of the status page that tells of the sensors: their values, and the last hour."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

from gateway.observe.history import MINUTES, SHOWN_CLASSES, Hour
from gateway.observe.page_cells import ENGLISH, Sheet, plain
from gateway.observe.page_texts import Words
from gateway.observe.slices import Steps

__all__ = ["UNITS", "line_of", "sensors_section"]

Document = Mapping[str, Any]

REMEMBERED = 1024
"""Lines; most hours are the same as two seconds ago."""
OPEN_VALUES = 4
"""More of one sensor are folded away."""
OLDER_S = 60.0
"""A value so much older than the newest of its sensor tells its age."""
HEIGHT = 99
"""Of the line of the last hour, in whole steps; it is as wide as there are minutes."""
MARGIN = 8
BRIDGED = 3.0
"""Pauses of so many intervals are drawn through."""
LEAST_BRIDGED_MIN = 2

_BREAKS = re.compile(r"(\.)(?=\w)")
UNITS = {
    "1": "",
    "Cel": "°C",
    "ug/m3": "µg/m³",
    "mg/m3": "mg/m³",
    "m3": "m³",
    "m3/h": "m³/h",
    "W/m2": "W/m²",
    "V.A": "VA",
    "kW.h": "kWh",
    "kV.A.h": "kVAh",
    "kvar.h": "kvarh",
    "[ppb]": "ppb",
    "[ppm]": "ppm",
    "dB[SPL]": "dB",
    "dB[mW]": "dBm",
    "deg": "°",
}
"""UCUM codes that people write otherwise; braces of counted things are taken off."""


def sensors_section(sensors: Document, words: Words, sheet: Sheet) -> Steps[str]:
    """Make one article a sensor."""
    articles = []
    for name, sensor in sensors.items():
        text = _sensor(name, sensor, words, sheet)
        articles.append(sheet.frame(f"sensor/{name}", text, "article", data_state=sensor["state"]))
        yield
    return "".join(articles) or f"<p>{words('none_configured')}</p>"


def _sensor(name: str, sensor: Document, words: Words, sheet: Sheet) -> str:
    at = f"sensor/{name}"
    state = sensor["state"]
    badge = sheet.state(f"{at}/state", state, words.term("state", state))
    facts = (
        plain(sensor["driver"]),
        plain(sensor["privacy"]),
        sheet.cell(f"{at}/age", words("last_reading", when=words.ago(sensor["age_s"]))),
        sheet.cell(f"{at}/readings", words("readings", count=sensor["readings"])),
        sheet.cell(f"{at}/faults", words("faults", count=sensor["faults"])),
    )
    return (
        f'<div class="row"><h3>{plain(name)}</h3>{badge}</div>'
        f'<p class="note">{" · ".join(facts)}</p>'
        + sheet.cell(f"{at}/doubts", " · ".join(_doubts(sensor, words)), 'p class="wrong"')
        + sheet.wrong(f"{at}/error", sensor["error"])
        + _fault(at, sensor["last_fault"], words, sheet)
        + _values(name, sensor, words, sheet)
    )


def _fault(at: str, text: str, words: Words, sheet: Sheet) -> str:
    """Return the last fault: its kind in this language, the rest as the driver says it."""
    kind, colon, detail = text.partition(": ")
    told = words("last_fault", fault=words.term("fault", kind) + colon.strip()) if text else ""
    return (
        f'<p class="note">{sheet.cell(f"{at}/fault", told)} '
        f"{sheet.cell(f'{at}/detail', detail, f'span {ENGLISH}')}</p>"
    )


def _doubts(sensor: Document, words: Words) -> list[str]:
    doubts = [
        words(key, count=sensor[name])
        for key, name in (
            ("calibration_expired", "expired_calibrations"),
            ("stuck_series", "stuck_series"),
        )
        if sensor[name]
    ]
    ahead_s = sensor["clock_ahead_s"]
    if ahead_s is not None and abs(ahead_s) >= OLDER_S:
        doubts.append(words("clock_ahead", seconds=f"{ahead_s:.0f}"))
    return doubts


def _values(name: str, sensor: Document, words: Words, sheet: Sheet) -> str:
    values = sensor["values"]
    if not values:
        if sensor["privacy"] in SHOWN_CLASSES:
            return ""
        return f'<p class="note">{words("values_private", privacy=sensor["privacy"])}</p>'
    rows = [
        _value(f"value/{name}/{at}", sensor, value, words, sheet) for at, value in enumerate(values)
    ]
    keys = ("quantity", "hour", "value")
    heads = "".join(f'<th scope="col">{words(key)}</th>' for key in keys)
    columns = "".join(f'<col class="{key}">' for key in keys)
    head = f'<colgroup>{columns}</colgroup><thead class="unseen"><tr>{heads}</tr></thead>'
    shown, folded = rows[:OPEN_VALUES], rows[OPEN_VALUES:]
    if not folded:
        return _table(head, shown)
    return (
        f"{_table(head, shown)}"
        f'<details id="more/{plain(name)}"><summary>{words("more_values", count=len(folded))}'
        f"</summary>{_table(head, folded)}</details>"
    )


def _table(head: str, rows: Sequence[str]) -> str:
    return f'<table class="values">{head}<tbody>{"".join(rows)}</tbody></table>'


def _value(at: str, sensor: Document, value: Document, words: Words, sheet: Sheet) -> str:
    number = value["value"]
    hidden = "withheld" if "suppressed" in value["flags"] else "no_value"
    shown = words(hidden) if number is None else words.number(number)
    flags = sheet.cell(f"{at}/flags", _flags(sensor, value, words), 'span class="flags"')
    return (
        f'<tr><th scope="row">{_series(value)}{flags}</th>'
        f"<td>{_hour(at, sensor, value, words, sheet)}</td>"
        f"<td>{sheet.cell(f'{at}/now', shown, 'b')} {plain(_unit(value['unit']))}</td></tr>"
    )


def _hour(at: str, sensor: Document, value: Document, words: Words, sheet: Sheet) -> str:
    """Return the line of the last hour, with its lowest and highest value in figures."""
    hour: Hour = value["hour"]
    label, between = words("hour_nothing"), ""
    if isfinite(hour.low):
        low, high = words.bounds(hour.low, hour.high)
        label = words("hour_label", low=low, high=high)
        between = low if low == high else words("hour_range", low=low, high=high)
    path = sheet.frame(f"{at}/line", "", "path", d=line_of(hour, sensor["interval_s"]))
    picture = f'svg viewBox="-0.5 0 {MINUTES} {HEIGHT}" preserveAspectRatio="none" role="img"'
    return sheet.frame(f"{at}/hour", path, picture, aria_label=label) + sheet.cell(
        f"{at}/range", between, 'span class="range" aria-hidden="true"'
    )


def _flags(sensor: Document, value: Document, words: Words) -> str:
    """Return what is doubtful about a value, its quality first, and its age if that is news."""
    notes = [words.term("flag", name) for name in value["flags"]]
    if value["quality"] != "good":
        notes.insert(0, words.term("quality", value["quality"]))
    if value["age_s"] > (sensor["age_s"] or 0.0) + OLDER_S:
        notes.append(words.ago(value["age_s"]))
    return ", ".join(dict.fromkeys(notes))


def _series(value: Document) -> str:
    """Return the name of a series; a narrow page may break it after a dot."""
    dims = "".join(f" {text}" for text in value["dims"].values())
    aggregation = "" if value["aggregation"] == "instant" else f" ({value['aggregation']})"
    return _BREAKS.sub(r"\1<wbr>", plain(f"{value['quantity']}{dims}{aggregation}"))


def _unit(ucum: str) -> str:
    return UNITS.get(ucum, ucum.replace("{", "").replace("}", ""))


@lru_cache(REMEMBERED)
def line_of(hour: Hour, interval_s: float) -> str:
    """Return the path of an SVG through the lowest and highest value of each minute.

    A pause that is longer than the sensor usually makes is a gap in the line.
    """
    low, high = hour.low, hour.high
    scale = (HEIGHT - 2 * MARGIN) / (high - low) if high > low else 0.0
    ground = HEIGHT - MARGIN if scale else HEIGHT // 2
    bridged = max(LEAST_BRIDGED_MIN, BRIDGED * interval_s / 60.0)
    parts: list[str] = []
    before = -MINUTES
    for minute, (least, most) in enumerate(zip(hour.lows, hour.highs, strict=True)):
        if not isfinite(least):
            continue
        bottom = round(ground - (least - low) * scale)
        top = round(ground - (most - low) * scale)
        joined = parts and minute - before <= bridged
        # A point alone is drawn as a dot: as a line of hardly any length.
        upwards = f"V{top}" if top != bottom else "" if joined else "h.1"
        parts.append(f"{'L' if joined else 'M'}{minute} {bottom}{upwards}")
        before = minute
    return "".join(parts)
