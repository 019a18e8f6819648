"""What is installed beside the gateway itself: drivers and payload formats, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, cast

from pydantic import BaseModel

from gateway import plugins
from gateway.driver import Driver, driver_class, driver_names, is_crowd

__all__ = [
    "DriverLookup",
    "FormatClass",
    "FormatLookup",
    "Installed",
    "format_class",
    "format_names",
    "is_connected",
    "is_polled",
    "source_of",
]

FORMAT_GROUP = "citylab_gateway.formats"


class FormatClass(Protocol):
    """What a configuration has to know of a payload format; gateway/forward has the rest."""

    Options: ClassVar[type[BaseModel]]
    histories: ClassVar[tuple[Any, ...]]


DriverLookup = Callable[[str], type[Driver] | None]
FormatLookup = Callable[[str], type[FormatClass] | None]


def format_names() -> list[str]:
    """Return the names of all installed payload formats, sorted."""
    return plugins.names(FORMAT_GROUP)


def format_class(name: str) -> type[FormatClass] | None:
    """Import and return one format class, or None if no format of that name is installed."""
    point = plugins.find(FORMAT_GROUP, name)
    return None if point is None else cast("type[FormatClass]", point.load())


@dataclass(frozen=True, slots=True)
class Installed:
    """Where names are looked up; tests put their own look-ups here."""

    driver: DriverLookup = driver_class
    driver_names: Callable[[], Sequence[str]] = driver_names
    format_names: Callable[[], Sequence[str]] = format_names
    format: FormatLookup = format_class

    def find_driver(self, name: object) -> type[Driver] | None:
        """Return a driver class, or None if there is none or it cannot be imported."""
        try:
            return self.driver(name) if isinstance(name, str) else None
        except (ImportError, AttributeError):
            return None

    def find_format(self, name: object) -> type[FormatClass] | None:
        """Return a format class, or None if there is none or it cannot be imported."""
        try:
            return self.format(name) if isinstance(name, str) else None
        except (ImportError, AttributeError):
            return None


def source_of(driver: type[Driver]) -> Literal["port", "address", ""]:
    """Return the key that says where a driver's bytes come from, by the driver's shape.

    Empty for the shapes that no transport of this version serves.
    """
    if hasattr(driver, "feed") or is_polled(driver):
        return "port"
    has_address = hasattr(driver, "decode") or is_connected(driver) or is_crowd(driver)
    return "address" if has_address else ""


def is_connected(driver: type[Driver]) -> bool:
    """Tell whether a driver's device has to be connected to over Bluetooth."""
    return hasattr(driver, "due")


def is_polled(driver: type[Driver]) -> bool:
    """Tell whether a driver's device only answers when it is asked."""
    return hasattr(driver, "requests")
