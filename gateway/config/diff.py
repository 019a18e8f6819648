"""What changed between two configurations, by name, so that a reload restarts only that."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.model import BrokerSection, Configuration, SensorSection

__all__ = ["Changes", "diff"]

RESTART_SECTIONS = ("gateway", "buffer", "clock", "recording")
"""They are read once: identity, ring and clock cannot change under running links."""
RELOAD_SECTIONS = ("http", "bluetooth", "log", "catalogue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Names are in the order of the new file; removed ones in that of the old."""

    sensors_added: tuple[str, ...] = ()
    sensors_removed: tuple[str, ...] = ()
    sensors_changed: tuple[str, ...] = ()
    brokers_added: tuple[str, ...] = ()
    brokers_removed: tuple[str, ...] = ()
    brokers_changed: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    """Other sections that changed and can be applied while running."""
    restart: tuple[str, ...] = ()
    """Other sections that changed and wait for the next restart."""

    def __bool__(self) -> bool:
        return self != Changes()


def diff(old: Configuration, new: Configuration) -> Changes:
    """Compare two configurations; a renamed sensor or broker is one removed and one added."""
    sensors_added, sensors_removed, sensors_changed = _by_name(old.sensor, new.sensor)
    brokers_added, brokers_removed, brokers_changed = _by_name(old.broker, new.broker)
    return Changes(
        sensors_added=sensors_added,
        sensors_removed=sensors_removed,
        sensors_changed=sensors_changed,
        brokers_added=brokers_added,
        brokers_removed=brokers_removed,
        brokers_changed=brokers_changed,
        sections=_sections(old, new, RELOAD_SECTIONS),
        restart=_sections(old, new, RESTART_SECTIONS),
    )


def _sections(old: Configuration, new: Configuration, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in names if getattr(old, name) != getattr(new, name))


def _by_name(
    old: Sequence[SensorSection] | Sequence[BrokerSection],
    new: Sequence[SensorSection] | Sequence[BrokerSection],
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the names of (added, removed, changed) entries."""
    before = {entry.name: _written(entry) for entry in old}
    after = {entry.name: _written(entry) for entry in new}
    return (
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        tuple(name for name in after if name in before and after[name] != before[name]),
    )


def _written(entry: SensorSection | BrokerSection) -> str:
    """Return the entry as text, because the order of filters counts and dicts ignore theirs."""
    return entry.model_dump_json()
