"""What would run, in plain words: for ``citylab-gateway check``."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from gateway.config.installed import DriverLookup
from gateway.config.model import BrokerSection, BufferSection, Configuration, SensorSection
from gateway.config.units import duration_text, size_text
from gateway.driver import Driver, driver_class
from gateway.filters import filters_for
from gateway.reading import PrivacyClass

__all__ = ["plan_lines"]

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


def _quantities(driver: type[Driver] | None) -> tuple[str, ...]:
    return driver.info.quantities if driver is not None else ()


def _sensor_lines(sensor: SensorSection, driver: type[Driver] | None) -> list[str]:
    source = sensor.port or sensor.address or f"replay of {sensor.replay}"
    lines = [
        f"sensor {sensor.name}: {sensor.driver} at {source}, privacy {_privacy(sensor, driver)}"
    ]
    for quantity in _quantities(driver):
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
    lines = [f"broker {broker.name}: {broker.url}, format {broker.format}{who}{plain}"]
    for sensor in sensors:
        driver = known[sensor.name]
        reason = _withheld(broker, sensor, driver)
        quantities = _quantities(driver)
        gets = [name for name in quantities if not reason and _fits(name, broker.select.quantities)]
        rest = [name for name in quantities if name not in gets]
        if gets:
            lines.append(f"  gets {sensor.name}: {', '.join(gets)}")
        if rest:
            why = reason or "not in select.quantities"
            lines.append(f"  withheld {sensor.name}: {', '.join(rest)} ({why})")
    return lines


def _fits(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _withheld(broker: BrokerSection, sensor: SensorSection, driver: type[Driver] | None) -> str:
    """Return why this broker gets nothing of this sensor, or nothing if it gets something."""
    privacy = _privacy(sensor, driver)
    if not _fits(sensor.name, broker.select.sensors):
        return "not in select.sensors"
    if privacy > broker.select.privacy:  # P0 < P1 < P2 < P3, as text too
        return f"privacy {privacy}, and select.privacy is {broker.select.privacy}"
    return ""
