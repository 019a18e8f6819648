"""Finds sensors: each way of looking is one finder, and whoever asks does not know which."""

from gateway.cli.init.find_bluetooth import find_bluetooth
from gateway.cli.init.find_serial import find_serial
from gateway.cli.init.looking import Candidate, Finder, Search
from gateway.driver import driver_class

__all__ = ["FINDERS", "find_all", "proposed_name"]

KINDS = {"air": "air", "traffic": "traffic", "energy": "meter", "site": "site"}
"""Domain of a driver -> what its sensors are called unless somebody knows better."""
FINDERS: tuple[Finder, ...] = (find_serial, find_bluetooth)


def find_all(search: Search) -> list[Candidate]:
    """Return what all finders find."""
    return [candidate for finder in FINDERS for candidate in finder(search)]


def proposed_name(candidate: Candidate) -> str:
    """Return what kind of sensor it is, as the beginning of a name."""
    cls = driver_class(candidate.driver)
    return KINDS[cls.info.domain] if cls is not None else "sensor"
