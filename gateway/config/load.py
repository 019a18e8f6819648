"""From files to a checked configuration, or to all that is wrong with them at once."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from gateway.config.checks import check
from gateway.config.explain import explain
from gateway.config.installed import (
    DriverLookup,
    FormatLookup,
    Installed,
    format_class,
    format_names,
)
from gateway.config.literals import refuse_literals
from gateway.config.merge import Document, read
from gateway.config.model import Configuration
from gateway.driver import driver_class, driver_names
from gateway.errors import ConfigErrors

__all__ = ["load"]

_FROM_ENVIRONMENT = {
    "directory": "STATE_DIRECTORY",
    "runtime_directory": "RUNTIME_DIRECTORY",
}
"""Key of ``[buffer]`` -> the variable in which systemd says where it made the directory."""


def load(  # noqa: PLR0913 - each look-up is one that tests replace
    path: Path,
    *,
    drivers: DriverLookup = driver_class,
    driver_names: Callable[[], Sequence[str]] = driver_names,
    format_names: Callable[[], Sequence[str]] = format_names,
    formats: FormatLookup = format_class,
    environ: Mapping[str, str] = os.environ,
) -> Configuration:
    """Return the checked configuration of one file and the ``gateway.d/*.toml`` beside it.

    Raises ConfigErrors with everything that is wrong, in the order of the files; no message
    repeats a secret. The look-ups say what is installed. Reads files: not for the event loop.
    """
    document = read(path)
    installed = Installed(drivers, driver_names, format_names, formats)
    configuration = None
    if not document.found:
        refuse_literals(document, installed)
        check(document, installed)
        _take_directories(document, environ)
        configuration = _validate(document)
    if configuration is None or document.found:
        raise ConfigErrors(document.errors())
    return configuration


def _validate(document: Document) -> Configuration | None:
    try:
        return Configuration.model_validate(document.content)
    except ValidationError as error:
        problems = error
    # Outside the except, because pydantic's error holds the values that messages must not repeat.
    # Names used twice are reported already, with their files, by the checks.
    explain(
        problems,
        document,
        (),
        Configuration,
        skip=lambda detail: not detail["loc"] and bool(document.found),
    )
    return None


def _take_directories(document: Document, environ: Mapping[str, str]) -> None:
    """Let systemd's directories win over the defaults, but not over what the file says."""
    buffer = document.content.setdefault("buffer", {})
    for key, variable in _FROM_ENVIRONMENT.items():
        directory = environ.get(variable, "").partition(":")[0]
        if directory and isinstance(buffer, dict):
            buffer.setdefault(key, directory)
