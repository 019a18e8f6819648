"""Audit events: what changes who may see what, and who removed or took out what (SEC-11).

They go through their own logger, which is heard at every level; the journal keeps them with the
field ``AUDIT=1``. There is no file of them: names of sensors would outlive a purge in it (PRIV-11).
Neither secrets nor values are told, ever.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping

from gateway import logs
from gateway.config.model import BrokerSection, Configuration, SensorSection
from gateway.driver import driver_class, is_crowd
from gateway.forward.policy import may_know
from gateway.reading import PrivacyClass

__all__ = [
    "audit",
    "audit_command",
    "audit_privacy",
    "fingerprint",
    "privacy_in_force",
]

LOGGER = logging.getLogger("citylab_gateway.audit")

FINGERPRINT_CHARS = 16
NOTHING = "nothing"


def audit(event: str, text: str, *values: object, level: int = logging.INFO) -> None:
    """Tell of one event; ``event`` is what the journal has as ``EVENT=``."""
    LOGGER.log(level, text, *values, extra={"event": event})


def audit_command(event: str, text: str, *values: object) -> None:
    """Tell the journal, where there is one, of what a command does while no daemon tells of it.

    The journal adds who it was; at the terminal the command says itself what it did.
    """
    with logs.command_journal():
        audit(event, text, *values)


def fingerprint(configuration: Configuration) -> str:
    """Return what tells one configuration from another, and nothing of its content."""
    content = configuration.model_dump_json().encode()
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_CHARS]


def privacy_in_force(configuration: Configuration) -> dict[str, str]:
    """Return what a configuration means for people, in words: subject and what is so.

    Which classes each broker may get of the sensors that there are, and who counts devices. (That
    raw bytes of private sensors are recorded by the daemon is refused, config/privacy_checks.py.)
    """
    return dict(_in_force(configuration))


def _in_force(configuration: Configuration) -> Iterator[tuple[str, str]]:
    classes = {each.name: _class_of(each) for each in configuration.sensor}
    for broker in configuration.broker:
        yield f"broker {broker.name}", _may_get(broker, classes)
    for sensor in configuration.sensor:
        driver = driver_class(sensor.driver)
        if driver is not None and is_crowd(driver):
            yield f"counting of devices by {sensor.name}", "on"


def _may_get(broker: BrokerSection, classes: Mapping[str, PrivacyClass]) -> str:
    known = {each for name, each in classes.items() if may_know(broker.select, name, each)}
    marks = [word for word, is_so in (("open", broker.open), ("plain", broker.insecure)) if is_so]
    return " ".join((", ".join(sorted(known)) or NOTHING, *(f"({mark})" for mark in marks)))


def _class_of(sensor: SensorSection) -> PrivacyClass:
    driver = driver_class(sensor.driver)
    # What nobody can say is taken for the gravest.
    return sensor.privacy or ("P3" if driver is None else driver.info.privacy)


def audit_privacy(before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Tell of each difference; at a start ``before`` is empty, and all that is in force is told."""
    for subject in sorted(before.keys() | after.keys()):
        old, new = before.get(subject), after.get(subject, "off")
        if old is None:
            audit("privacy", "privacy: %s: %s", subject, new)
        elif old != new:
            audit("privacy", "privacy: %s: %s, until now %s", subject, new, old)
