"""What is installed beside the gateway itself: drivers and payload formats, by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal

from gateway.driver import Driver, driver_class, driver_names

__all__ = ["DriverLookup", "Installed", "format_names", "source_of"]

FORMAT_GROUP = "citylab_gateway.formats"

DriverLookup = Callable[[str], type[Driver] | None]


def format_names() -> list[str]:
    """Return the names of all installed payload formats, sorted."""
    return sorted({point.name for point in entry_points(group=FORMAT_GROUP)})


@dataclass(frozen=True, slots=True)
class Installed:
    """Where names are looked up; tests put their own look-ups here."""

    driver: DriverLookup = driver_class
    driver_names: Callable[[], Sequence[str]] = driver_names
    format_names: Callable[[], Sequence[str]] = format_names


def source_of(driver: type[Driver]) -> Literal["port", "address", ""]:
    """Return the key that says where a driver's bytes come from, by the driver's shape.

    Empty for the shapes that no transport of this version serves.
    """
    if hasattr(driver, "feed"):
        return "port"
    return "address" if hasattr(driver, "decode") else ""
