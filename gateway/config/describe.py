"""What would run, in plain words: for ``citylab-gateway check``."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gateway.config.installed import DriverLookup
from gateway.config.model import (
    BrokerSection,
    BufferSection,
    Configuration,
    SensorSection,
    terms,
)
from gateway.config.units import duration_text, size_text
from gateway.driver import Driver, driver_class, info_with
from gateway.filters import filters_for
from gateway.quantities import SUPPRESSED_COUNTS
from gateway.reading import PrivacyClass

__all__ = ["plan_lines", "withheld"]

UNSTABLE_PORTS = ("/dev/ttyUSB", "/dev/ttyACM")
"""The kernel numbers them anew at each boot and each plug."""
STABLE_PORTS = "the names in /dev/serial/by-id stay"


def plan_lines(configuration: Configuration, *, drivers: DriverLookup = driver_class) -> list[str]:
    """Return what would run: the gateway, each sensor, and for each broker what it gets."""
    lines = _gateway_lines(configuration)
    known = {sensor.name: drivers(sensor.driver) for sensor in configuration.sensor}
    for sensor in configuration.sensor:
        lines += _sensor_lines(sensor, known[sensor.name])
    if not configuration.sensor:
        lines.append("no sensor: nothing will be measured")
    for broker in configuration.broker:
        lines += _broker_lines(broker, configuration.sensor, known)
    if not configuration.broker:
        lines.append("no broker: readings stay in the ring")
    return lines


def _gateway_lines(configuration: Configuration) -> list[str]:
    gateway, buffer, http = configuration.gateway, configuration.buffer, configuration.http
    ring = f"ring of {size_text(buffer.size)} in {buffer.directory}"
    listening = "nothing listens"
    if http is not None:
        listening = f"http on {http.listen}" + (", with token" if http.token_file else "")
    return [
        f"gateway {gateway.id} of {gateway.tenant}",
        f"{ring}; a power cut costs at most {_loss(buffer)}",
        listening,
    ]


def _loss(buffer: BufferSection) -> str:
    """Return what may be lost; an idle gateway flushes later, when hardly anything waits."""
    text = duration_text(buffer.flush_interval)
    if buffer.flush_interval_max > buffer.flush_interval:
        text += f", idle {duration_text(buffer.flush_interval_max)}"
    return text


def _privacy(sensor: SensorSection, driver: type[Driver] | None) -> PrivacyClass:
    return sensor.privacy or (driver.info.privacy if driver is not None else "P2")


def _quantities(sensor: SensorSection, driver: type[Driver] | None) -> tuple[str, ...]:
    return info_with(driver, sensor.options).quantities if driver is not None else ()


def _sensor_lines(sensor: SensorSection, driver: type[Driver] | None) -> list[str]:
    source = sensor.port or sensor.address or f"replay of {sensor.replay}"
    lines = [
        f"sensor {sensor.name}: {sensor.driver} at {source}, privacy {_privacy(sensor, driver)}"
    ]
    for quantity in _quantities(sensor, driver):
        filters = ", ".join(filters_for(sensor.filter, quantity))
        lines.append(f"  measures {quantity}" + (f", filtered by {filters}" if filters else ""))
    if sensor.port.startswith(UNSTABLE_PORTS):
        lines.append(f"  note: {sensor.port} may be another device tomorrow; {STABLE_PORTS}")
    return lines


def _broker_lines(
    broker: BrokerSection,
    sensors: Sequence[SensorSection],
    known: dict[str, type[Driver] | None],
) -> list[str]:
    who = f", as {broker.username}" if broker.username else ""
    plain = ", PLAIN TEXT: everybody on the way can read and forge" if broker.insecure else ""
    open_to_all = ", open to everybody" if broker.open else ""
    lines = [f"broker {broker.name}: {broker.url}, format {broker.format}{who}{open_to_all}{plain}"]
    for sensor in sensors:
        driver = known[sensor.name]
        privacy = _privacy(sensor, driver)
        by_reason: dict[str, list[str]] = {}
        for quantity in _quantities(sensor, driver):
            why = withheld(broker, sensor.name, privacy, quantity)
            by_reason.setdefault(why, []).append(quantity)
        if gets := by_reason.pop("", None):
            lines.append(
                f"  gets {sensor.name}: {', '.join(gets)}{_terms(broker, sensor, privacy)}"
            )
        for why, rest in by_reason.items():
            lines.append(f"  withheld {sensor.name}: {', '.join(rest)} ({why})")
    return lines


def _terms(broker: BrokerSection, sensor: SensorSection, privacy: PrivacyClass) -> str:
    """Return how seldom it leaves, where that is limited."""
    interval_s = terms(broker.select, sensor, privacy).min_interval_s
    return f", at most one in {duration_text(interval_s)}" if interval_s else ""


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def withheld(broker: BrokerSection, name: str, privacy: PrivacyClass, quantity: str) -> str:
    """Return why readings of one quantity of a sensor do not leave; empty text: they do."""
    select = broker.select
    if not _fits(name, select.sensors):
        return "not in select.sensors"
    if privacy == "P2" and quantity not in SUPPRESSED_COUNTS:
        return "privacy P2, of which nothing leaves but counts of devices that pass"
    if privacy == "P2" and not select.suppressed_counts:
        return "privacy P2, and select.suppressed_counts is false"
    if not select.admits(privacy):
        return f"privacy {privacy}, and select.privacy is {select.privacy}"
    if not _fits(quantity, select.quantities):
        return "not in select.quantities"
    return ""
