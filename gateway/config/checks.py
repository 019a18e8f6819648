"""Checks that need more than one value: drivers and names; ``*_checks`` has the other subjects.

They look at the plain document, not at the models, so that one wrong value does not hide the
others: each check skips what has the wrong type, which the models report.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.broker_checks import check_broker
from gateway.config.explain import check_options
from gateway.config.filter_checks import check_filters
from gateway.config.installed import Installed, source_of
from gateway.config.literals import REFERENCE_SUFFIXES
from gateway.config.merge import Document
from gateway.config.privacy_checks import check_privacy
from gateway.config.shape import fields
from gateway.config.words import Loc, nearest
from gateway.driver import Driver

__all__ = ["check"]


def check(document: Document, installed: Installed) -> None:
    """Report everything that is wrong beyond the shape of the single values."""
    sensors = list(_tables(document, "sensor"))
    for loc, sensor in sensors:
        _check_sensor(document, loc, sensor, installed)
    names = [str(sensor.get("name")) for _, sensor in sensors]
    for loc, broker in _tables(document, "broker"):
        check_broker(document, loc, broker, names, installed)
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
    check_privacy(document, loc, sensor, driver)
    table = sensor.get("filter")
    if isinstance(table, Mapping):
        check_filters(document, (*loc, "filter"), table, driver)


def _check_driver(
    document: Document, loc: Loc, sensor: Mapping[str, Any], installed: Installed
) -> type[Driver] | None:
    name = sensor.get("driver")
    if not isinstance(name, str) or not name:
        return None
    driver = installed.find_driver(name)
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
    check_options(document, (*loc, "options"), driver.Options, plain, given_elsewhere=referred)
