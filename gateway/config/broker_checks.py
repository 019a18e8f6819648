"""Checks of one broker that need more than one value: its format, topics, history, allow-list."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from gateway.config.explain import check_options
from gateway.config.installed import FormatClass, Installed
from gateway.config.merge import Document
from gateway.config.model import DEFAULT_FORMAT
from gateway.config.words import Loc, nearest
from gateway.quantities import registry

__all__ = ["check_broker"]

WILDCARDS = "*?["
PLACEHOLDER = re.compile(r"[{}][^{}]*}?")
GATEWAY_FIELDS = ("{tenant}", "{gateway}")
TOPIC_FIELDS: Mapping[str, Sequence[str]] = {
    "topic": (*GATEWAY_FIELDS, "{sensor}"),
    "status_topic": GATEWAY_FIELDS,
    "gap_topic": GATEWAY_FIELDS,
    "time_fix_topic": GATEWAY_FIELDS,
}
"""Key of a topic template -> the placeholders that it may have."""
NOTHING_INSTALLED = "none; is the citylab-gateway package installed?"


def check_broker(
    document: Document,
    loc: Loc,
    broker: Mapping[str, Any],
    sensors: Sequence[str],
    installed: Installed,
) -> None:
    """Report what is wrong with one broker beyond its single values."""
    found = _check_format(document, loc, broker, installed)
    if found is not None:
        _check_options(document, loc, broker, found)
        _check_history(document, loc, broker, found)
    _check_topics(document, loc, broker)
    _check_select(document, loc, broker, sensors)


def _check_format(
    document: Document, loc: Loc, broker: Mapping[str, Any], installed: Installed
) -> type[FormatClass] | None:
    name = broker.get("format", DEFAULT_FORMAT)
    if not isinstance(name, str):
        return None
    known = installed.format_names()
    if name not in known:
        words = ", ".join(known) or NOTHING_INSTALLED
        near = nearest(name, known)
        if "format" in broker:
            document.report(
                (*loc, "format"), "unknown format", value=name, allowed=words, nearest=near
            )
        return None
    found = installed.find_format(name)
    if found is None:
        document.report((*loc, "format"), "this format cannot be imported", value=name)
    return found


def _check_options(
    document: Document, loc: Loc, broker: Mapping[str, Any], found: type[FormatClass]
) -> None:
    options = broker.get("options", {})
    if not isinstance(options, Mapping):
        return
    taken_out = {
        str(each[-1]) for each in document.removed if each[:-1] == (*loc, "options")
    }  # literal secrets: reported, and not missing
    check_options(document, (*loc, "options"), found.Options, options, given_elsewhere=taken_out)


def _check_history(
    document: Document, loc: Loc, broker: Mapping[str, Any], found: type[FormatClass]
) -> None:
    """Refuse an order that the consumers of the format cannot stand."""
    history = broker.get("history")
    choices = [each for each in found.histories if each in ("in-order", "beside")]
    if history not in ("in-order", "beside") or history in choices:
        return
    name = broker.get("format", DEFAULT_FORMAT)
    problem = f"does not fit format {name}"
    if not choices:
        problem += ", which sends no backlog"
    document.report((*loc, "history"), problem, value=history, allowed=", ".join(choices))


def _check_topics(document: Document, loc: Loc, broker: Mapping[str, Any]) -> None:
    for key, known in TOPIC_FIELDS.items():
        topic = broker.get(key)
        for field in PLACEHOLDER.findall(topic) if isinstance(topic, str) else ():
            if field not in known:
                document.report(
                    (*loc, key),
                    "has an unknown placeholder",
                    value=topic,
                    allowed=", ".join(known),
                    nearest=nearest(field, known),
                )


def _check_select(
    document: Document, loc: Loc, broker: Mapping[str, Any], sensors: Sequence[str]
) -> None:
    """Refuse a plain name that fits nothing: it would withhold data for ever, silently."""
    select = broker.get("select")
    if not isinstance(select, Mapping):
        return
    for key, known in (("sensors", sensors), ("quantities", tuple(registry()))):
        patterns = select.get(key)
        for number, pattern in enumerate(patterns if isinstance(patterns, list) else ()):
            if not isinstance(pattern, str) or any(mark in pattern for mark in WILDCARDS):
                continue
            if pattern not in known:
                what = "no such sensor" if key == "sensors" else "no such quantity"
                place = cast("Loc", (*loc, "select", key, number))
                document.report(place, what, value=pattern, nearest=nearest(pattern, known))
