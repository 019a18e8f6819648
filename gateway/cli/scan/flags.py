"""What both ways of ``scan`` ask of their flags."""

from collections.abc import Collection, Sequence

from gateway.config.units import parse_duration
from gateway.errors import ConfigError

__all__ = ["check_drivers", "duration_s"]

MAX_DURATION_S = 3600.0


def duration_s(text: str, *, key: str) -> float:
    """Return how long to listen, in seconds; ConfigError unless it is up to an hour."""
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise ConfigError(str(error), key=key) from error
    if not 0 < seconds <= MAX_DURATION_S:
        raise ConfigError("must be up to an hour", key=key, value=text)
    return seconds


def check_drivers(chosen: Sequence[str], names: Collection[str]) -> None:
    """Raise ConfigError if a driver was chosen that cannot be tried here."""
    for name in chosen:
        if name not in names:
            allowed = ", ".join(sorted(names))
            raise ConfigError("cannot be tried", key="--driver", value=name, allowed=allowed)
