"""Checks of what a privacy class asks for: reasons, a sign where devices are counted, retention."""

from collections.abc import Mapping
from typing import Any

from gateway.config.installed import is_connected
from gateway.config.merge import Document
from gateway.config.model import RetentionSection
from gateway.config.units import duration_text, parse_duration
from gateway.config.words import Loc
from gateway.driver import Driver, is_crowd

__all__ = [
    "COUNTING_NEEDS",
    "NEVER_RECORDED",
    "NOTHING_RAW",
    "P3_NEEDS",
    "check_privacy",
    "check_record",
]

P3_NEEDS = ("purpose", "controller", "legal_basis", "retention")
"""PRIV-07."""
COUNTING_NEEDS = ("purpose", "controller", "legal_basis", "sign")
"""Who has a phone on them does not know that it is counted, unless somebody tells them."""
COUNTED = "P2"
NOTHING_RAW = "is connected to; of that there are no raw bytes to record"
"""Of a device that is asked over Bluetooth only values are seen, as its driver reads them."""
NEVER_RECORDED: Mapping[object, str] = {
    "P2": "an identifier is never written to a disk (PRIV-01)",
    "P3": "raw bytes tell more and stay longer than its readings may (PRIV-09, PRIV-10). "
    "To look for a fault, stop the daemon, use `citylab-gateway record`, and delete the file",
}
P3_REASON = (
    "is data of a household or a person; a meter that is no dwelling's is not: "
    'say so with privacy = "P0"'
)


def check_privacy(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver] | None
) -> None:
    """Refuse a P3 sensor that does not say why, for whom, by what right and for how long.

    The same for counting devices that pass, which are told by a sign instead of a time.
    """
    if driver is not None and is_crowd(driver):
        _check_counting(document, loc, sensor, driver)
        return
    default = driver.info.privacy if driver is not None else None
    if sensor.get("privacy", default) != "P3":
        return
    which = "P3" if "privacy" in sensor else f"P3, the default of driver {sensor['driver']},"
    missing = [key for key in P3_NEEDS if _is_blank(sensor.get(key))]
    if missing:
        problem = f"{which} {P3_REASON}; as P3 it needs {', '.join(missing)}"
        document.report((*loc, "privacy"), problem)
    _check_retention(document, loc, sensor)


def check_record(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver] | None
) -> None:
    """Refuse a recording that would keep what must be forgotten, and one of nothing."""
    if sensor.get("record") is not True:
        return
    if sensor.get("replay"):
        document.report((*loc, "record"), "this is a recording already; record needs a device")
    if driver is not None and is_connected(driver):
        problem = f"the device of driver {driver.info.name} {NOTHING_RAW}"
        document.report((*loc, "record"), problem)
    privacy = sensor.get("privacy", driver.info.privacy if driver is not None else None)
    if privacy in NEVER_RECORDED:
        problem = f"{privacy} is never recorded by the daemon: {NEVER_RECORDED[privacy]}"
        document.report((*loc, "record"), problem)


def _check_counting(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver]
) -> None:
    """Refuse counting without its reasons, and a class that would say it is something else."""
    missing = [key for key in COUNTING_NEEDS if _is_blank(sensor.get(key))]
    if missing:
        problem = f"{driver.info.name} counts the devices of people who pass; it needs "
        document.report((*loc, "driver"), problem + ", ".join(missing))
    if sensor.get("privacy", COUNTED) != COUNTED:
        problem = f"is that of driver {driver.info.name}, which holds identifiers for a while"
        document.report((*loc, "privacy"), problem, value=sensor["privacy"], allowed=COUNTED)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _check_retention(document: Document, loc: Loc, sensor: Mapping[str, Any]) -> None:
    """Refuse a promise that the limit of the class would break."""
    limit_s = _seconds(document.at(("buffer", "retention", "P3")))
    if limit_s is None:
        limit_s = float(RetentionSection.model_fields["P3"].default)
    wanted_s = _seconds(sensor.get("retention"))
    if wanted_s is not None and wanted_s > limit_s:
        document.report(
            (*loc, "retention"),
            "is longer than buffer.retention.P3",
            value=sensor["retention"],
            allowed=f"at most {duration_text(limit_s)}",
        )


def _seconds(text: object) -> float | None:
    """Return a duration, or None for what is none; the models say what is wrong with it."""
    try:
        return parse_duration(text)
    except ValueError:
        return None
