"""What is installed: drivers, simulated devices and payload formats, by their entry points."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

__all__ = ["find", "names"]


@cache
def _of(group: str) -> Mapping[str, EntryPoint]:
    # Each question to the library reads the files of every installed package anew, and a check
    # of a configuration asks hundreds of times. What is installed later needs a restart anyhow.
    points = tuple(entry_points(group=group))
    return {point.name: point for point in reversed(points)}  # of two, the one found first


def names(group: str) -> list[str]:
    """Return the names of all entry points of a group, ours and a lab's own, sorted."""
    return sorted(_of(group))


def find(group: str, name: str) -> EntryPoint | None:
    """Return the entry point of that name, or None if there is none; ``load()`` imports it."""
    return _of(group).get(name)
