"""Reads secrets at the moment they are needed: from files or the environment, never literals."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from gateway.config.literals import REFERENCE_SUFFIXES
from gateway.config.model import BrokerSection, Configuration, SensorSection, TlsSection
from gateway.driver import Driver
from gateway.errors import ConfigError, ConfigErrors

__all__ = [
    "broker_password",
    "check_secrets",
    "driver_options",
    "expand",
    "expand_tls",
    "read_secret",
]

CREDENTIALS_MARK = "%d"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
UNIT_VARIABLE = "INVOCATION_ID"
"""systemd sets it for what it starts."""
MAX_SECRET_BYTES = 64 << 10
"""Longer than any password, token or key; a larger file was named by mistake."""
GROUP_AND_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def expand(path: str, *, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path with a leading ``%d`` replaced by systemd's credential directory."""
    if not path.startswith(f"{CREDENTIALS_MARK}/"):
        return Path(path)
    directory = environ.get(CREDENTIALS_VARIABLE, "")
    if not directory:
        name = path[len(CREDENTIALS_MARK) + 1 :]
        mend = "run it as the unit does, or name the file from /"
        if environ.get(UNIT_VARIABLE):
            mend = f"add LoadCredential={name}:FILE to the unit (systemd/README.md, Secrets)"
        raise ConfigError(
            f"%d is the credential directory of the systemd unit, and {CREDENTIALS_VARIABLE} is "
            f"not set: {mend}",
            file=path,
        )
    return Path(directory, path[len(CREDENTIALS_MARK) + 1 :])


def expand_tls(tls: TlsSection, *, environ: Mapping[str, str] = os.environ) -> TlsSection:
    """Return the section with ``%d`` expanded in all its paths."""
    files = {key: str(expand(path, environ=environ)) for key, path in tls if path}
    return tls.model_copy(update=files)


def read_secret(file_or_env: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """Return a secret from a file (a path from ``/`` or ``%d/``) or an environment variable.

    One newline at the end of a file is taken off. Raises ConfigError if there is no such file or
    variable, or if others than the file's owner may read it; the error never holds the content.
    """
    if file_or_env.startswith(("/", f"{CREDENTIALS_MARK}/")):
        return _read_file(expand(file_or_env, environ=environ), environ)
    secret = environ.get(file_or_env, "")
    if not secret:
        raise ConfigError(f"environment variable {file_or_env} is not set or empty")
    return secret


def _read_file(path: Path, environ: Mapping[str, str]) -> str:
    problem = ""
    data = b""
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                problem = "is no regular file"
            elif status.st_mode & _forbidden(path, environ):
                problem = f"others may read this secret; mend it with: chmod 600 {path}"
            else:
                data = file.read(MAX_SECRET_BYTES + 1)
    except OSError as error:
        problem = f"the secret cannot be read: {(error.strerror or 'unknown error').lower()}"
    if problem:
        raise ConfigError(problem, file=str(path))
    return _text(data, path)


def _open_without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)  # a pipe would wait for a writer


def _forbidden(path: Path, environ: Mapping[str, str]) -> int:
    """Return the mode bits that a secret's file must not have.

    systemd gives the unit's user access to a credential by an access list, whose mask shows in the
    place of the group's bits; there only the bits of others say something.
    """
    directory = environ.get(CREDENTIALS_VARIABLE, "")
    if directory and path.is_relative_to(directory):
        return stat.S_IRWXO
    return GROUP_AND_OTHERS


def _text(data: bytes, path: Path) -> str:
    problem = "this secret's file is too long" if len(data) > MAX_SECRET_BYTES else ""
    text = ""
    try:
        text = data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        problem = problem or "this secret's file is no UTF-8 text"
    if not text and not problem:
        problem = "this secret's file is empty"
    if problem:
        raise ConfigError(problem, file=str(path))
    return text


def broker_password(
    broker: BrokerSection, *, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Return the password of a broker, or None if it has none; ConfigError names its key."""
    return _referred(
        {"password_file": broker.password_file, "password_env": broker.password_env},
        f"broker[{broker.name}]",
        environ,
    )


def _referred(
    references: Mapping[str, object], owner: str, environ: Mapping[str, str]
) -> str | None:
    for key, reference in references.items():
        if reference:
            try:
                return read_secret(str(reference), environ=environ)
            except ConfigError as error:
                problem, file = error.problem, error.file
            raise ConfigError(f"{file}: {problem}" if file else problem, key=f"{owner}.{key}")
    return None


def driver_options(
    sensor: SensorSection, driver: type[Driver], *, environ: Mapping[str, str] = os.environ
) -> BaseModel:
    """Return the checked options of a driver, its secrets read from where the file says.

    Each name in ``info.secrets`` is given as ``<name>_file`` or ``<name>_env``. Raises ConfigError
    that names the key, never the content.
    """
    options = dict(sensor.options)
    for name in driver.info.secrets:
        references = {
            name + suffix: options.pop(name + suffix, "") for suffix in REFERENCE_SUFFIXES
        }
        secret = _referred(references, f"sensor[{sensor.name}].options", environ)
        if secret is not None:
            options[name] = secret
    try:
        return driver.Options.model_validate(options)
    except ValueError:
        pass
    # The driver's own words may repeat the secret.
    raise ConfigError(
        "the driver does not accept its options", key=f"sensor[{sensor.name}].options"
    )


def check_secrets(configuration: Configuration, *, environ: Mapping[str, str] = os.environ) -> None:
    """Try to read every broker's password and the HTTP token; ConfigErrors with all that fails."""
    errors: list[ConfigError] = []
    for broker in configuration.broker:
        try:
            broker_password(broker, environ=environ)
        except ConfigError as error:
            errors.append(error)
    if configuration.http is not None:
        try:
            _referred({"token_file": configuration.http.token_file}, "http", environ)
        except ConfigError as error:
            errors.append(error)
    if errors:
        raise ConfigErrors(errors)
