"""Finds secrets that somebody wrote into the configuration, and takes them out before all else."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from gateway.config.installed import Installed
from gateway.config.merge import Document
from gateway.config.model import DEFAULT_FORMAT, Configuration
from gateway.config.shape import fields, nested
from gateway.config.words import Loc, is_secret_word, smells_of_secret
from gateway.driver import Driver

__all__ = ["REFERENCE_SUFFIXES", "refuse_literals"]

REFERENCE_SUFFIXES = ("_file", "_env")
"""A key that ends so says where the secret is, not what it is."""

_REASON = "a secret never stands in this file, which others may read"
_INSTEAD = {
    "broker": "use password_file or password_env",
    "http": "use token_file",
}


def refuse_literals(document: Document, installed: Installed) -> None:
    """Report every literal secret and remove it, so that nothing later can repeat it."""
    _walk(document, document.content, (), Configuration, installed)


def _walk(
    document: Document,
    table: dict[str, Any],
    at: Loc,
    model: type[BaseModel] | None,
    installed: Installed,
) -> None:
    known = fields(model) if model is not None else {}
    for key in list(table):
        here = (*at, key)
        value = table[key]
        if key not in known and _is_literal(document, here, installed):
            document.report(here, f"{_REASON}; {_instead(document, here, installed)}")
            document.removed.add(here)
            del table[key]
            continue
        inner = nested(known[key]) if key in known else None
        for number, entry in enumerate(value if isinstance(value, list) else ()):
            if isinstance(entry, dict):
                _walk(document, entry, (*here, number), inner, installed)
        if isinstance(value, dict):
            _walk(document, value, here, inner, installed)


def _is_literal(document: Document, loc: Loc, installed: Installed) -> bool:
    key = str(loc[-1])
    if key.endswith(REFERENCE_SUFFIXES):
        return False
    if isinstance(document.at(loc), dict | list) and not is_secret_word(key):
        return False  # such as [broker.login]: what stands in it is looked at
    options = _format_options(document, loc, installed)
    if options is not None:
        return smells_of_secret(key) and key not in fields(options)  # an "apikey" of topics is none
    driver = _options_of(document, loc, installed)
    if driver is None:
        return smells_of_secret(key)
    declared = key in fields(driver.Options)
    return (
        key in driver.info.secrets
        or is_secret_word(key)
        or (
            smells_of_secret(key) and not declared  # a driver may well have an option "pin"
        )
    )


def _options_of(document: Document, loc: Loc, installed: Installed) -> type[Driver] | None:
    """Return the driver if the place is one of its options."""
    if len(loc) != 4 or loc[0] != "sensor" or loc[2] != "options":
        return None
    sensor = document.at(loc[:2])
    return installed.find_driver(sensor.get("driver")) if isinstance(sensor, Mapping) else None


def _format_options(document: Document, loc: Loc, installed: Installed) -> type[BaseModel] | None:
    """Return the options of the broker's format if the place is one of them."""
    if len(loc) != 4 or loc[0] != "broker" or loc[2] != "options":
        return None
    broker = document.at(loc[:2])
    name = broker.get("format", DEFAULT_FORMAT) if isinstance(broker, Mapping) else None
    found = installed.find_format(name)
    return found.Options if found is not None else None


def _instead(document: Document, loc: Loc, installed: Installed) -> str:
    key = str(loc[-1])
    driver = _options_of(document, loc, installed)
    if driver is not None and key in driver.info.secrets:
        return f"use {key}_file or {key}_env"
    if driver is not None:
        return f"driver {driver.info.name} takes no secret of that name"
    if loc[:1] == ("broker",) and loc[2:3] == ("tls",):
        return "use key_file"
    return _INSTEAD.get(str(loc[0]), "a broker takes password_file or password_env")
