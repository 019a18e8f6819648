"""The status page: HTML that works without scripts, with cells that a script keeps fresh.

It is made for a phone in the sun: black on white, large, state in words and not by colour alone.
Everything that comes from outside is escaped, and nothing is asked of anybody else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.observe.page_cells import ENGLISH, Sheet, Snapshot, plain, shape_of
from gateway.observe.page_files import CSS, JS, address_of
from gateway.observe.page_links import links_section
from gateway.observe.page_lists import definitions, utc
from gateway.observe.page_sensors import sensors_section
from gateway.observe.page_texts import LANGUAGES, Words
from gateway.observe.slices import Steps, at_once

__all__ = ["page", "page_steps"]

Document = Mapping[str, Any]

RELOAD_S = 10
"""Without scripts."""


def page(document: Document, language: str) -> Snapshot:
    """Return the page for one ``page_document`` in one language."""
    return at_once(page_steps(document, language))


def page_steps(document: Document, language: str) -> Steps[Snapshot]:
    """Make ``page``, a sensor a step."""
    words = Words(language)
    sheet, top = Sheet(), Sheet()
    sections = {
        "sensors": (yield from sensors_section(document["sensors"], words, sheet)),
        "links": links_section(document["links"], words, sheet),
        "buffer": _buffer(document["buffer"], words, sheet),
        "clock": _clock(document["clock"], words, sheet),
        "ports": _ports(document["sensors"], words, sheet)
        + _bluetooth(document["bluetooth"], words, sheet),
        "events": _events(document["events"], words, sheet),
    }
    live = "".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}" tabindex="-1">{words(name)}</h2>'
        f"{text}</section>"
        for name, text in sections.items()
    )
    reasons = _reasons(document["health"]["reasons"], words, sheet)
    head, header = _head(document, words), _header(document, words, top)
    yield
    shape = shape_of(head, header, reasons, live)
    yield
    parts = {"reasons": sheet.filled(reasons), "live": sheet.filled(live)}
    text = (
        f"{head}{top.filled(header)}"
        f'<div id="reasons">{parts["reasons"]}</div></header>'
        f'<main id="live">{parts["live"]}</main></body></html>\n'
    )
    return Snapshot(text, parts, {**top.cells, **sheet.cells}, shape, top.cells)


def _head(document: Document, words: Words) -> str:
    return (
        f'<!doctype html><html lang="{words.language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<noscript><meta http-equiv="refresh" content="{RELOAD_S}"></noscript>'
        f'<link rel="icon" href="data:,"><title>{plain(document["gateway"])}</title>'
        f'<link rel="stylesheet" href="{address_of(CSS)}">'
        f'<script src="{address_of(JS)}" defer></script></head>'
    )


def _header(document: Document, words: Words, sheet: Sheet) -> str:
    state = document["health"]["state"]
    facts = (
        sheet.cell("up", words("up", age=words.age(document["uptime_s"]))),
        sheet.cell("boot", words("boot", number=document["boot"])),
        sheet.cell("version", words("version", version=document["software"]["version"])),
    )
    badge = sheet.state("health", state, words.term("state", state))
    return (
        f'<body><a class="skip" href="#sensors">{words("skip")}</a>'
        f'<p id="lost" role="status" data-text="{plain(words("lost"))}"></p>'
        f'<header><div class="row"><h1>{plain(document["gateway"])}</h1>'
        f'<span role="status">{badge}</span></div>'
        f"{sheet.cell('summary', _summary(document, words), 'p')}"
        f"<p>{' · '.join(facts)}</p>{_switch(words)}"
    )


def _summary(document: Document, words: Words) -> str:
    """Return how many sensors and links are well, so that nobody has to scroll for it."""
    sensors = [each["state"] for each in document["sensors"].values()]
    links = [each["state"] for each in document["links"].values()]
    counts = {
        "sensors": len(sensors),
        "sensors_well": sensors.count("fresh"),
        "links": len(links),
        "links_well": links.count("online"),
    }
    return words("summary", **counts)


def _switch(words: Words) -> str:
    """Return the links to the languages."""
    current = {words.language: ' aria-current="true"'}
    links = " ".join(
        f'<a href="?lang={code}" lang="{code}"{current.get(code, "")}>{name}</a>'
        for code, name in LANGUAGES.items()
    )
    return f'<nav aria-label="{words("language")}">{links}</nav>'


def _reasons(sentences: Sequence[str], words: Words, sheet: Sheet) -> str:
    lines = []
    for at, sentence in enumerate(sentences):
        text, translated = words.reason(sentence)
        language = "" if translated else f" {ENGLISH}"
        lines.append(sheet.cell(f"reason/{at}", text, f'p class="wrong"{language}'))
    return "".join(lines)


def _buffer(buffer: Document, words: Words, sheet: Sheet) -> str:
    used = buffer["used"]
    part = words.decimals(f"{100 * used:.1f} %")
    label = words("buffer_used", part=part, size=f"{buffer['size_bytes'] / 2**20:.0f}")
    progress = f'progress max="1" aria-label="{words("buffer")}"'
    rows = (
        ("readings_kept", str(buffer["readings"])),
        ("unflushed", str(buffer["unflushed"])),
        ("oldest_reading", utc(buffer["oldest"])),
        ("damaged", str(buffer["damaged_blocks"] or "")),
    )
    return (
        sheet.cell("buffer/used", label, "p")
        + sheet.frame("buffer/fill", "", progress, value=str(used))
        + sheet.wrong("buffer/reason", buffer["reason"])
        + definitions("buffer", rows, words, sheet)
    )


def _clock(clock: Document, words: Words, sheet: Sheet) -> str:
    bound_s = clock["bound_s"]
    rows = (
        ("state", words("clock_right" if clock["synced"] else "clock_unset")),
        ("clock_source", "" if clock["source"] == "none" else clock["source"]),
        ("bound", words("unknown") if bound_s is None else f"{words.rough(bound_s)} s"),
        ("clock_steps", str(clock["steps"])),
        ("last_step", utc(clock["last_step"])),
    )
    return definitions("clock", rows, words, sheet)


def _ports(sensors: Document, words: Words, sheet: Sheet) -> str:
    ports = {name: each for name, each in sensors.items() if each["port"] is not None}
    if not ports:
        return f"<p>{words('ports_none')}</p>"
    rows = (
        _row(f"port/{name}", (name, each["port"], "port_step"), each, words, sheet)
        for name, each in ports.items()
    )
    return _table("sensor", rows, words)


def _bluetooth(bluetooth: Document | None, words: Words, sheet: Sheet) -> str:
    if bluetooth is None:
        return ""
    rows = (
        _row(f"adapter/{name}", (name, each["state"], "adapter_step"), each, words, sheet)
        for name, each in bluetooth["adapters"].items()
    )
    heard = words(
        "adverts",
        count=bluetooth["adverts"],
        overflowed=bluetooth["overflowed"],
        limited=bluetooth["limited"],
    )
    return (
        f"<h3>{words('bluetooth')}</h3>{_table('adapter', rows, words)}"
        f"{sheet.cell('adverts', heard, 'p')}"
    )


def _table(first: str, rows: Iterator[str], words: Words) -> str:
    heads = "".join(f'<th scope="col">{words(key)}</th>' for key in (first, "state", "recovery"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(at: str, what: tuple[str, str, str], entry: Document, words: Words, sheet: Sheet) -> str:
    """Return one port or adapter (its name, state, kind of steps): how it does."""
    name, state, steps = what
    number = entry["recovery_step"]
    step = words("recovery_none")
    if number:
        step = words("recovery_step", number=number, what=words.term(steps, str(number)))
    badge = sheet.state(f"{at}/state", state, words.term("state", state))
    return (
        f'<tr><th scope="row">{plain(name)}</th><td>{badge}</td>'
        f"<td>{sheet.cell(f'{at}/step', step)}</td></tr>"
        f'<tr><td colspan="3">{sheet.wrong(f"{at}/error", entry["error"])}</td></tr>'
    )


def _events(events: Sequence[Document], words: Words, sheet: Sheet) -> str:
    if not events:
        return f"<p>{words('events_none')}</p>"
    lines = []
    for number, event in enumerate(events):
        at = f"event/{number}"
        age = sheet.cell(f"{at}/age", words.ago(event["age_s"]), "b")
        mark = sheet.cell(f"{at}/mark", words("audit") if event["audit"] else "", "i")
        text = sheet.cell(f"{at}/text", event["text"], f"span {ENGLISH}")
        lines.append(sheet.frame(at, f"{age} {mark} {text}", "li", data_level=event["level"]))
    return f'<ul class="events">{"".join(lines)}</ul>'
