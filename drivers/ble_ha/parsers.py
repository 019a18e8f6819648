"""Finds the parser of a package of the family by the package's name.

Nothing of the family is imported before a sensor is configured to use it: that takes up to a third
of a second and 40 MB.
"""

import importlib
import importlib.util
import inspect
import logging
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, NamedTuple, Protocol

from drivers.ble_ha.border import Raised, guarded

__all__ = ["PACKAGE", "Library", "LibraryError", "Parser", "library"]

PACKAGE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*-ble")
"""How the packages of the family are called; nothing else is ever imported."""
FAMILY = "bluetooth_sensor_state_data"
"""Has the base class of all parsers."""
KEY = "bindkey"
TALKATIVE = (FAMILY, "sensor_state_data", "bluetooth_data_tools", "habluetooth")
"""What parsers use; they write addresses and payloads to their logs, as the parsers do."""


class Parser(Protocol):
    """What the family's base class ``BluetoothData`` offers, as far as it is used here."""

    def supported(self, data: Any) -> bool:
        """Tell whether an advertisement is of a device that the parser knows."""
        ...

    def update(self, data: Any) -> Any:
        """Take an advertisement; return all that is known of the device, old and new."""
        ...


class LibraryError(Exception):
    """A package cannot be used; the text says why, and what to do."""


class Library(NamedTuple):
    """A parser that can be used."""

    make: Callable[..., Parser]
    takes_key: bool
    """Encryption keys are given to it as ``make(bindkey=...)``."""


@cache
def library(package: str) -> Library:
    """Import a package and return its parser; LibraryError if that cannot be done."""
    if PACKAGE.fullmatch(package) is None:
        raise LibraryError("is no package of the family; their names end in -ble: xiaomi-ble")
    name = package.replace("-", "_")
    if importlib.util.find_spec(name) is None:
        raise LibraryError(
            f"is not installed; put it beside the gateway: pip install {package} "
            "(the usual ones: pip install 'citylab-gateway[ble-ha]')"
        )
    _silence(name, *TALKATIVE)
    module = guarded(importlib.import_module, name)
    if isinstance(module, Raised):
        raise LibraryError(f"cannot be imported ({module.error}); install it anew")
    return _library(_parsers(vars(module)))


def _parsers(names: Mapping[str, Any]) -> list[type]:
    """Return the parsers of advertisements among what a package shows."""
    family = guarded(importlib.import_module, FAMILY)
    if isinstance(family, Raised):
        return []
    base = family.BluetoothData
    classes = dict.fromkeys(each for each in names.values() if inspect.isclass(each))
    return [each for each in classes if issubclass(each, base) and each is not base]


def _library(parsers: list[type]) -> Library:
    if not parsers:
        raise LibraryError(
            "has no parser of advertisements: its devices have to be connected to, "
            "which ble_ha does not do"
        )
    if len(parsers) > 1:
        raise LibraryError("has several parsers; ble_ha knows only packages with one")
    (parser,) = parsers
    if isinstance(guarded(parser), Raised):
        raise LibraryError("has a parser that cannot do without settings of its own")
    return Library(parser, KEY in inspect.signature(parser).parameters)


def _silence(*names: str) -> None:
    """Keep libraries from writing addresses and payloads to the log, whatever the level."""
    for name in names:
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
