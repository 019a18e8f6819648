"""Looks whether every secret is where it is said to be, can be used, and by nobody else."""

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gateway.cli.doctor.box import READ, SERVICE, Box, may
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble
from gateway.config.literals import REFERENCE_SUFFIXES
from gateway.config.model import BrokerSection, Configuration
from gateway.config.secrets import (
    CREDENTIALS_MARK,
    CREDENTIALS_VARIABLE,
    GROUP_AND_OTHERS,
    expand,
    read_secret,
)
from gateway.driver import driver_class
from gateway.errors import ConfigError

__all__ = ["TROUBLES", "located", "look", "with_files"]

CREDENTIALS = "/etc/citylab-gateway/secrets"
WHY = "The gateway does not start, or does not get in, without it."
MISSING = Trouble(
    "secret_missing", "fail", WHY, "sudo install -m 600 /dev/stdin {file} (type it, Enter, Ctrl-D)"
)
VARIABLE = Trouble(
    "secret_variable", "fail", WHY, "export {name}, or name a file: password_file instead"
)
OPEN = Trouble(
    "secret_open",
    "fail",
    "Others on this box can read it, so the gateway refuses to use it; it never shows what it "
    "holds.",
    "sudo chmod 600 {file}",
)
PERMISSION = Trouble("secret_permission", "fail", WHY, "sudo chown {user} {file}")
UNUSABLE = Trouble(
    "secret_unusable", "fail", WHY, "sudo install -m 600 /dev/stdin {file} (type it, Enter, Ctrl-D)"
)
NOT_LOADED = Trouble(
    "credential_not_loaded",
    "fail",
    "%d is where systemd puts credentials, and the unit has no line for this one.",
    "printf '[Service]\\nLoadCredential={name}:{directory}/{name}\\n' | sudo install "
    "-D -m 644 /dev/stdin /etc/systemd/system/citylab-gateway.service.d/{name}.conf; "
    "sudo systemctl daemon-reload",
)
CREDENTIAL_MISSING = Trouble(
    "credential_missing",
    "fail",
    "systemd does not start the unit without it: status=243/CREDENTIALS in the journal.",
    "sudo install -m 600 /dev/stdin {file} (type it, Enter, Ctrl-D); sudo systemctl restart "
    "citylab-gateway",
)
TROUBLES = (MISSING, VARIABLE, OPEN, PERMISSION, UNUSABLE, NOT_LOADED, CREDENTIAL_MISSING)


class _Secret(NamedTuple):
    """One secret that somebody needs: who, and where it is."""

    owner: str
    reference: str
    """A path, ``%d/name`` or the name of an environment variable."""
    by_systemd: bool = False
    """systemd reads it, as root, and hands it over."""


def look(box: Box) -> Iterator[Finding]:
    """Yield one finding for each secret that cannot be used, or one that all is well."""
    wanted = [] if box.configuration is None else list(_references(box.configuration))
    findings: list[Finding] = []
    paths = 0
    for secret in (*_loaded(box, {each.reference for each in wanted}), *wanted):
        paths += 1
        findings += _look(box, secret)
    yield from findings
    if paths and not findings:
        yield Finding.fine("secrets", f"{paths} in order: for their owner alone")


def located(box: Box, reference: str) -> str:
    """Return where the file of ``%d/name`` comes from, by the unit; other references as they are.

    Empty where the unit does not load it. Inside the unit systemd has said where it is.
    """
    if not reference.startswith(f"{CREDENTIALS_MARK}/"):
        return reference
    if os.environ.get(CREDENTIALS_VARIABLE):
        return str(expand(reference))
    return _sources(box).get(reference[len(CREDENTIALS_MARK) + 1 :], "")


def with_files(box: Box, broker: BrokerSection) -> BrokerSection:
    """Return a broker whose files are named from ``/``, so that they can be used out of the unit.

    ConfigError where the unit does not load one of them.
    """
    files = {key: _file(box, broker, path) for key, path in broker.tls if path}
    changes: dict[str, object] = {"tls": broker.tls.model_copy(update=files)}
    if broker.password_file:
        changes["password_file"] = _file(box, broker, broker.password_file)
    return broker.model_copy(update=changes)


def _file(box: Box, broker: BrokerSection, reference: str) -> str:
    file = located(box, reference)
    if not file:
        raise ConfigError(f"{reference} is not loaded by the unit", key=f"broker[{broker.name}]")
    return file


def _references(configuration: Configuration) -> Iterator[_Secret]:
    for broker in configuration.broker:
        owner = f"broker {broker.name}"
        keys = (broker.password_file, broker.password_env, broker.tls.key_file)
        yield from (_Secret(owner, key) for key in keys if key)
    if configuration.http is not None and configuration.http.token_file:
        yield _Secret("status page", configuration.http.token_file)
    for sensor in configuration.sensor:
        driver = driver_class(sensor.driver)
        for name in driver.info.secrets if driver is not None else ():
            for suffix in REFERENCE_SUFFIXES:
                reference = sensor.options.get(name + suffix)
                if reference:
                    yield _Secret(f"sensor {sensor.name}", str(reference))


def _sources(box: Box) -> dict[str, str]:
    """Return credential -> file, as the unit and its drop-ins have it."""
    lines = box.service.all("Service", "LoadCredential")
    lines += box.service.all("Service", "LoadCredentialEncrypted")
    pairs = (line.partition(":") for line in lines)
    return {name: path or f"/etc/credstore/{name}" for name, _, path in pairs}


def _loaded(box: Box, wanted: set[str]) -> Iterator[_Secret]:
    """Yield what the unit loads although nobody wants it: a start fails for it all the same."""
    for name, path in _sources(box).items():
        if f"{CREDENTIALS_MARK}/{name}" not in wanted:
            yield _Secret(f"credential {name}", path, by_systemd=True)


def _look(box: Box, secret: _Secret) -> Iterator[Finding]:
    if not secret.reference.startswith(("/", f"{CREDENTIALS_MARK}/")):
        yield from _look_at_variable(box, secret)
        return
    file = located(box, secret.reference)
    name = secret.reference.rpartition("/")[2]
    if not file:
        missing = "" if box.service.file else ", which is not installed,"
        detail = f"{SERVICE}{missing} loads no credential {name}"
        yield NOT_LOADED.found(secret.owner, detail, name=name, directory=CREDENTIALS)
        return
    by_systemd = secret.by_systemd or file != secret.reference
    yield from _look_at_file(box, secret.owner, Path(file), by_systemd=by_systemd)


def _look_at_variable(box: Box, secret: _Secret) -> Iterator[Finding]:
    name = secret.reference
    if os.environ.get(name):
        return
    if box.service.file is not None:
        detail = f"the variable {name} is not set here; the unit may set it"
        yield NOT_SEEN.found(secret.owner, detail, how=f"{name}=... citylab-gateway doctor")
    else:
        yield VARIABLE.found(secret.owner, f"the variable {name} is not set", name=name)


def _look_at_file(box: Box, owner: str, file: Path, *, by_systemd: bool) -> Iterator[Finding]:
    quoted = shlex.quote(str(file))
    try:
        status = file.stat()
    except PermissionError:
        detail = f"{file} may not be looked at by this user"
        yield NOT_SEEN.found(owner, detail, how="sudo citylab-gateway doctor")
        return
    except OSError:
        kind = CREDENTIAL_MISSING if by_systemd else MISSING
        yield kind.found(owner, f"{file} is not there", file=quoted)
        return
    if not _is_handed_over(file) and stat.S_IMODE(status.st_mode) & GROUP_AND_OTHERS:
        yield OPEN.found(owner, f"{file} may be read by others", file=quoted)
    elif not by_systemd and not may(status, box.account, READ):
        user = box.account.name
        detail = f"{file} may not be read by {user}"
        yield PERMISSION.found(owner, detail, user=user, file=quoted)
    elif os.access(file, os.R_OK):
        try:
            read_secret(str(file))
        except ConfigError as error:
            yield UNUSABLE.found(owner, str(error), file=quoted)
    else:
        detail = f"what {file} holds is for its owner"
        yield NOT_SEEN.found(owner, detail, how="sudo citylab-gateway doctor")


def _is_handed_over(file: Path) -> bool:
    """Tell whether systemd has put it there: an access list then shows as rights of the group."""
    directory = os.environ.get(CREDENTIALS_VARIABLE, "")
    return bool(directory) and file.is_relative_to(directory)
