"""Looks whether the configuration can be used, as ``check`` does, and read by the daemon."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor.box import READ, SEARCH, Box, may
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble

__all__ = ["REFUSED", "TROUBLES", "look"]

REFUSED = Trouble(
    "config_refused",
    "fail",
    "The gateway does not start with it; what depends on it was not looked at.",
    "sudoedit {file}; then citylab-gateway check --config {config}",
)
MISSING = Trouble(
    "config_missing",
    "fail",
    "There is nothing that the gateway could do.",
    "sudo citylab-gateway init --config {config}",
)
PERMISSION = Trouble(
    "config_permission",
    "fail",
    "The daemon may not read its own configuration, so it does not start.",
    "sudo chgrp {group} {file} && sudo chmod 640 {file}; its directory: sudo chmod 750, same group",
)
TROUBLES = (REFUSED, MISSING, PERMISSION)


def look(box: Box) -> Iterator[Finding]:
    """Yield all that is wrong with the configuration, or one finding that it is fine."""
    subject = "configuration"
    config = shlex.quote(str(box.config))
    try:
        box.config.stat()
    except PermissionError:
        how = "sudo citylab-gateway doctor"
        yield NOT_SEEN.found(subject, f"{box.config} may not be read by this user", how=how)
        return
    except OSError:
        yield MISSING.found(subject, f"{box.config} is not there", config=config)
        return
    yield from _permission(box)
    for error in box.errors:
        file = shlex.quote(error.file or str(box.config))
        yield REFUSED.found(subject, str(error), file=file, config=config)
    if box.configuration is not None:
        sensors, brokers = len(box.configuration.sensor), len(box.configuration.broker)
        detail = f"{box.config} is fine; sensors: {sensors}, brokers: {brokers}"
        yield Finding.fine(subject, detail)


def _permission(box: Box) -> Iterator[Finding]:
    """Look at the file, and at the directories above it, with the daemon's eyes."""
    paths: list[tuple[Path, int]] = [(box.config, READ)]
    paths += [(parent, SEARCH) for parent in box.config.resolve().parents]
    for path, wanted in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        if not may(status, box.account, wanted):
            verb = "read" if path == box.config else "entered"
            detail = f"{path} may not be {verb} by {box.account.name}"
            file = shlex.quote(str(path))
            yield PERMISSION.found("configuration", detail, group=box.account.name, file=file)
            return
