"""Checks that need more than one value: drivers, formats, filters, privacy, names.

They look at the plain document, not at the models, so that one wrong value does not hide the
others: each check skips what has the wrong type, which the models report.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError

from gateway.config.explain import explain, unknown_key
from gateway.config.installed import Installed, source_of
from gateway.config.literals import REFERENCE_SUFFIXES, find_driver
from gateway.config.merge import Document
from gateway.config.shape import fields
from gateway.config.words import Loc, nearest
from gateway.driver import Driver
from gateway.filters import ALL_QUANTITIES, FILTERS, parse_options
from gateway.filters.interval import IntervalOptions
from gateway.quantities import registry

__all__ = ["check"]

P3_REASON = (
    "is refused in this version: it is data of a household or a person, and not all of the rules "
    "for that are built yet; a meter that is no dwelling's is not P3: say so with "
    'privacy = "P0"'
)
WILDCARDS = "*?["
PLACEHOLDER = re.compile(r"[{}][^{}]*}?")
TOPIC_FIELDS = ("{tenant}", "{gateway}", "{sensor}")
SUMS = ("delta",)
"""Kinds of quantities whose readings are added up: one that is dropped is missing in the sum."""


def check(document: Document, installed: Installed) -> None:
    """Report everything that is wrong beyond the shape of the single values."""
    sensors = list(_tables(document, "sensor"))
    for loc, sensor in sensors:
        _check_sensor(document, loc, sensor, installed)
    names = [str(sensor.get("name")) for _, sensor in sensors]
    formats = installed.format_names()
    for loc, broker in _tables(document, "broker"):
        _check_format(document, loc, broker, formats)
        _check_select(document, loc, broker, names)
    for kind, key in (
        ("sensor", "name"),
        ("broker", "name"),
        ("sensor", "port"),
        ("sensor", "address"),
    ):
        _check_unique(document, kind, key)


def _tables(document: Document, key: str) -> Iterator[tuple[Loc, Mapping[str, Any]]]:
    entries = document.content.get(key)
    for number, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield (key, number), entry


def _check_unique(document: Document, kind: str, key: str) -> None:
    first: dict[str, Loc] = {}
    for loc, entry in _tables(document, kind):
        value = entry.get(key)
        if not isinstance(value, str) or not value:
            continue
        value = value.upper() if key == "address" else value
        if value in first:
            here = (*loc, key)
            other = document.file_of(first[value])
            where = f", first in {other}" if other != document.file_of(here) else ""
            document.report(here, f"is used twice{where}", value=value)
        else:
            first[value] = loc


def _check_sensor(
    document: Document, loc: Loc, sensor: Mapping[str, Any], installed: Installed
) -> None:
    driver = _check_driver(document, loc, sensor, installed)
    if driver is not None:
        _check_source(document, loc, sensor, driver)
        _check_options(document, loc, sensor, driver)
    default = driver.info.privacy if driver is not None else None
    if sensor.get("privacy", default) == "P3":
        which = "P3" if "privacy" in sensor else f"P3, the default of driver {sensor['driver']},"
        document.report((*loc, "privacy"), f"{which} {P3_REASON}")
    table = sensor.get("filter")
    if isinstance(table, Mapping):
        for quantity, filters in table.items():
            _check_filters(document, (*loc, "filter", quantity), filters, driver)


def _check_driver(
    document: Document, loc: Loc, sensor: Mapping[str, Any], installed: Installed
) -> type[Driver] | None:
    name = sensor.get("driver")
    if not isinstance(name, str) or not name:
        return None
    driver = find_driver(installed, name)
    if driver is None:
        known = installed.driver_names()
        if name in known:
            document.report((*loc, "driver"), "this driver cannot be imported", value=name)
        else:
            words = ", ".join(known) or "none; is the citylab-gateway package installed?"
            near = nearest(name, known)
            document.report(
                (*loc, "driver"), "unknown driver", value=name, allowed=words, nearest=near
            )
    return driver


def _check_source(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver]
) -> None:
    source = source_of(driver)
    if not source:
        problem = f"driver {driver.info.name} is polled or connected to; no transport does that yet"
        document.report((*loc, "driver"), problem)
    elif source == "port" and sensor.get("address"):
        problem = f"driver {driver.info.name} reads a serial port; use port or replay"
        document.report((*loc, "address"), problem)
    elif source == "address":
        for key in ("port", "replay"):
            if sensor.get(key):
                problem = f"driver {driver.info.name} reads Bluetooth; use address"
                if key == "replay":
                    problem += ", and bluetooth.replay for recorded advertisements"
                document.report((*loc, key), problem)


def _check_options(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver]
) -> None:
    """Let the driver check its options; of a secret only the reference is looked at."""
    options = sensor.get("options", {})
    if not isinstance(options, Mapping):
        return
    referred = {
        name: [name + suffix for suffix in REFERENCE_SUFFIXES if name + suffix in options]
        for name in driver.info.secrets
    }
    references = {key for keys in referred.values() for key in keys}
    for name, keys in referred.items():
        if len(keys) > 1:
            document.report((*loc, "options"), f"has both {' and '.join(keys)}; keep one")
        field = fields(driver.Options).get(name)
        required = field is not None and field.is_required()
        if required and not keys and (*loc, "options", name) not in document.removed:
            document.report((*loc, "options"), f"needs {name}_file or {name}_env")
        for key in keys:
            if not isinstance(options[key], str) or not options[key]:
                document.report((*loc, "options", key), f"must say where {name} is read from")
    plain = {key: value for key, value in options.items() if key not in references}
    try:
        driver.Options.model_validate(plain)
    except ValidationError as error:
        problems = error
    else:
        return
    explain(
        problems,
        document,
        (*loc, "options"),
        driver.Options,
        skip=lambda detail: detail["type"] == "missing" and detail["loc"][0] in referred,
    )


def _check_filters(
    document: Document, loc: Loc, filters: object, driver: type[Driver] | None
) -> None:
    quantity = str(loc[-1])
    declared = driver.info.quantities if driver is not None else tuple(registry())
    if quantity != ALL_QUANTITIES and quantity not in declared:
        _unknown_quantity(document, loc, filters, declared)
        return
    if not isinstance(filters, Mapping):
        return
    for name, raw in filters.items():
        here = (*loc, name)
        if name not in FILTERS:
            unknown_key(document, here, list(FILTERS))
            continue
        try:
            options = parse_options(name, raw)
        except ValidationError as error:
            problems = error
        else:
            reached = declared if quantity == ALL_QUANTITIES else (quantity,)
            if driver is not None:
                _check_kinds(document, here, options, reached)
            continue
        explain(problems, document, here, FILTERS[name].Options)


def _unknown_quantity(
    document: Document, loc: Loc, filters: object, declared: Sequence[str]
) -> None:
    """Report a quantity; the commonest slip is ``[sensor.filter.air.pm25]`` without quotes."""
    quantity = str(loc[-1])
    for part in filters if isinstance(filters, Mapping) else ():
        if f"{quantity}.{part}" in registry():
            document.report(
                (*loc, part),
                "a quantity has a dot in it and stands in quotes",
                allowed=f'[sensor.filter."{quantity}.{part}"]',
            )
            return
    problem = "this driver does not measure it" if quantity in registry() else "unknown quantity"
    near = nearest(quantity, declared) if quantity not in registry() else ""
    words = "" if near else ", ".join((*declared, ALL_QUANTITIES))
    document.report(loc, problem, allowed=words, nearest=near)


def _check_kinds(document: Document, loc: Loc, options: object, quantities: Sequence[str]) -> None:
    """Refuse filters that would falsify what a quantity means."""
    name = str(loc[-1])
    known = [registry()[quantity] for quantity in quantities if quantity in registry()]
    sums = [quantity.name for quantity in known if quantity.kind in SUMS]
    if FILTERS[name].thins and sums:
        document.report(
            loc,
            f"would lose a part of {', '.join(sums)}, whose readings are added up; "
            "name the other quantities one by one",
        )
        return
    uneven = [quantity.name for quantity in known if quantity.kind != "gauge"]
    if isinstance(options, IntervalOptions) and options.take == "mean" and uneven:
        document.report(
            loc, f"a mean of {', '.join(uneven)} means nothing", allowed='take = "last" or "first"'
        )


def _check_format(
    document: Document, loc: Loc, broker: Mapping[str, Any], formats: Sequence[str]
) -> None:
    name = broker.get("format")
    if isinstance(name, str) and name not in formats:
        words = ", ".join(formats) or "none; is the citylab-gateway package installed?"
        document.report(
            (*loc, "format"),
            "unknown format",
            value=name,
            allowed=words,
            nearest=nearest(name, formats),
        )
    topic = broker.get("topic")
    if isinstance(topic, str):
        for field in PLACEHOLDER.findall(topic):
            if field not in TOPIC_FIELDS:
                document.report(
                    (*loc, "topic"),
                    "has an unknown placeholder",
                    value=topic,
                    allowed=", ".join(TOPIC_FIELDS),
                    nearest=nearest(field, TOPIC_FIELDS),
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
