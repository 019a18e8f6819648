"""Checks that need more than one value: drivers and names; ``*_checks`` has the other subjects.

They look at the plain document, not at the models, so that one wrong value does not hide the
others: each check skips what has the wrong type, which the models report.
"""

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from gateway.config.broker_checks import check_broker
from gateway.config.explain import check_options
from gateway.config.filter_checks import check_filters
from gateway.config.installed import Installed, is_connected, is_polled, source_of
from gateway.config.literals import REFERENCE_SUFFIXES
from gateway.config.merge import Document
from gateway.config.model.sensor import Framing, chosen_lines
from gateway.config.model.words import EVERYBODY
from gateway.config.privacy_checks import check_privacy, check_record
from gateway.config.shape import fields
from gateway.config.words import Loc, nearest
from gateway.driver import Driver, SerialLine, common_lines, info_with, is_crowd

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
        ("sensor", "address"),
    ):
        _check_unique(document, kind, key)
    _check_ports(document, sensors, installed)


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
            _report_twice(document, (*loc, key), first[value], value)
        else:
            first[value] = loc


def _report_twice(document: Document, here: Loc, first: Loc, value: str) -> None:
    other = document.file_of(first)
    where = f", first in {other}" if other != document.file_of(here) else ""
    document.report(here, f"is used twice{where}", value=value)


def _check_ports(
    document: Document, sensors: list[tuple[Loc, Mapping[str, Any]]], installed: Installed
) -> None:
    """Report ports with two sensors, unless all are asked and agree on the line setting."""
    first: dict[str, Loc] = {}
    lines: dict[str, list[tuple[SerialLine, ...]]] = {}
    for loc, sensor in sensors:
        port, driver = sensor.get("port"), installed.find_driver(sensor.get("driver"))
        if not isinstance(port, str) or not port:
            continue
        asked = driver is not None and is_polled(driver)
        if port not in first:
            first[port] = loc
            lines[port] = [_lines(sensor, driver)] if driver is not None and asked else []
        elif driver is None or not asked or not lines[port]:
            _report_twice(document, (*loc, "port"), first[port], port)
        else:
            lines[port].append(_lines(sensor, driver))
            if not common_lines(lines[port]):
                lines[port].pop()
                problem = "has sensors without a line setting in common; set baud and framing"
                document.report((*loc, "port"), problem, value=port)


def _lines(sensor: Mapping[str, Any], driver: type[Driver]) -> tuple[SerialLine, ...]:
    """Return the line settings that a sensor allows; a wrong value is reported elsewhere."""
    baud, framing = sensor.get("baud"), sensor.get("framing")
    return chosen_lines(
        driver.info.lines,
        baud if isinstance(baud, int) and not isinstance(baud, bool) else None,
        framing if framing in get_args(Framing) else None,
    )


def _check_sensor(
    document: Document, loc: Loc, sensor: Mapping[str, Any], installed: Installed
) -> None:
    driver = _check_driver(document, loc, sensor, installed)
    if driver is not None:
        _check_source(document, loc, sensor, driver)
        _check_options(document, loc, sensor, driver)
    check_privacy(document, loc, sensor, driver)
    check_record(document, loc, sensor, driver)
    table = sensor.get("filter")
    if isinstance(table, Mapping):
        options = sensor.get("options")
        known = options if isinstance(options, Mapping) else {}
        info = None if driver is None else info_with(driver, known)
        check_filters(document, (*loc, "filter"), table, info)


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
    asked = is_polled(driver) or is_connected(driver)
    if sensor.get("interval") is not None and not asked:
        problem = f"driver {driver.info.name} speaks by itself; interval is for what is asked"
        document.report((*loc, "interval"), problem)
    if not source:
        problem = f"driver {driver.info.name} has a shape that no transport of this version serves"
        document.report((*loc, "driver"), problem)
    elif is_polled(driver) and sensor.get("replay"):
        problem = f"driver {driver.info.name} asks its device; a recording answers nothing"
        document.report((*loc, "replay"), problem)
    elif source == "port" and sensor.get("address"):
        keys = "port" if is_polled(driver) else "port or replay"
        problem = f"driver {driver.info.name} reads a serial port; use {keys}"
        document.report((*loc, "address"), problem)
    elif source == "address":
        _check_address(document, loc, sensor, driver)
        for key in ("port", "replay"):
            if sensor.get(key):
                problem = f"driver {driver.info.name} reads Bluetooth; use address"
                if key == "replay":
                    problem += ", and bluetooth.replay for recorded advertisements"
                document.report((*loc, key), problem)
        _check_connection(document, loc, sensor, driver)


def _check_connection(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver]
) -> None:
    """Report a sensor that nothing can be connected to, because the radio is a recording."""
    radio = document.content.get("bluetooth")
    recorded = isinstance(radio, Mapping) and radio.get("replay")
    if is_connected(driver) and sensor.get("address") and recorded:
        problem = f"driver {driver.info.name} connects to its device; bluetooth.replay has none"
        document.report((*loc, "address"), problem)


def _check_address(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver]
) -> None:
    """Refuse one device's address for a driver that counts them all, and the other way round."""
    address, key = sensor.get("address"), (*loc, "address")
    if is_crowd(driver):
        if isinstance(address, str) and address not in ("", EVERYBODY):
            problem = f"driver {driver.info.name} counts whoever passes"
            document.report(key, problem, value=address, allowed=f'"{EVERYBODY}"')
        if document.at(("bluetooth", "replay")):
            problem = f"driver {driver.info.name} needs the radio; recordings hold no passers-by"
            document.report((*loc, "driver"), problem)
    elif address == EVERYBODY:
        problem = f"driver {driver.info.name} reads one device; only footfall takes {EVERYBODY}"
        document.report(key, problem, value=address)


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
