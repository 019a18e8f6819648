"""Checks of what a privacy class asks for: P3 only with its four reasons, and not kept too long."""

from collections.abc import Mapping
from typing import Any

from gateway.config.merge import Document
from gateway.config.model import RetentionSection
from gateway.config.units import duration_text, parse_duration
from gateway.config.words import Loc
from gateway.driver import Driver

__all__ = ["P3_NEEDS", "check_privacy"]

P3_NEEDS = ("purpose", "controller", "legal_basis", "retention")
"""PRIV-07."""
P3_REASON = (
    "is data of a household or a person; a meter that is no dwelling's is not: "
    'say so with privacy = "P0"'
)


def check_privacy(
    document: Document, loc: Loc, sensor: Mapping[str, Any], driver: type[Driver] | None
) -> None:
    """Refuse a P3 sensor that does not say why, for whom, by what right and for how long."""
    default = driver.info.privacy if driver is not None else None
    if sensor.get("privacy", default) != "P3":
        return
    which = "P3" if "privacy" in sensor else f"P3, the default of driver {sensor['driver']},"
    missing = [key for key in P3_NEEDS if _is_blank(sensor.get(key))]
    if missing:
        problem = f"{which} {P3_REASON}; as P3 it needs {', '.join(missing)}"
        document.report((*loc, "privacy"), problem)
    _check_retention(document, loc, sensor)


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
