"""Writes the configuration, and each password and key into a file of its own."""

from pathlib import Path

from gateway.cli.common import DEFAULT_CONFIG
from gateway.cli.init.files import NewFile, put_in_place
from gateway.cli.init.plan import Plan
from gateway.cli.init.service import Service, service_group
from gateway.cli.init.text import configuration_text
from gateway.config.load import load
from gateway.errors import ConfigError, ConfigErrors

__all__ = ["write"]

CONFIG_MODE = 0o640
CONFIG_DIRECTORY_MODE = 0o750
SECRET_MODE = 0o600
SECRETS_DIRECTORY = "secrets"
SECRETS_DIRECTORY_MODE = 0o700
UNIT_MODE = 0o644
UNIT_DIRECTORY_MODE = 0o755
DROP_IN = """\
# Written by `citylab-gateway init`. A line whose file is missing stops the start.
[Service]
"""


def write(plan: Plan, config: Path, *, force: bool, service: Service | None) -> list[str]:
    """Put everything in place or nothing; return what was written, in sentences.

    Secrets go beside the configuration, for nobody but whoever writes them. Where the service is
    installed they belong to root, and systemd hands them over.
    """
    folder = config.parent / SECRETS_DIRECTORY
    secrets = _secrets(plan)
    files = [
        NewFile(folder / name, f"{content}\n".encode(), SECRET_MODE, SECRETS_DIRECTORY_MODE)
        for name, content in secrets.items()
        if content
    ]
    seen_at = str(folder)
    if secrets and service is not None and config == DEFAULT_CONFIG:
        seen_at = "%d"
        drop_in = DROP_IN + "".join(
            f"{'' if content else '#'}LoadCredential={name}:{folder / name}\n"
            for name, content in secrets.items()
        )
        files.append(NewFile(service.drop_in, drop_in.encode(), UNIT_MODE, UNIT_DIRECTORY_MODE))
    password = plan.broker is not None and plan.broker.password
    text = configuration_text(
        plan,
        password_file=f"{seen_at}/{plan.broker.name}" if plan.broker and password else "",
        key_folder=seen_at,
    ).encode()
    files.append(NewFile(config, text, CONFIG_MODE, CONFIG_DIRECTORY_MODE, group=service_group()))
    backups = put_in_place(files, force=force, check=lambda path: _check(path, config))
    said = [f"{file.path} is written." for file in files]
    return said + [f"{backup} is what stood there before." for backup in backups]


def _secrets(plan: Plan) -> dict[str, str]:
    """Return what has to be kept apart, by the name of its file; empty: somebody adds it later."""
    found = {
        sensor.key_file(key): content
        for sensor in plan.sensors
        for key, content in sensor.keys.items()
    }
    if plan.broker is not None and plan.broker.password:
        found[plan.broker.name] = plan.broker.password
    return found


def _check(ready: Path, config: Path) -> None:
    """Refuse what the daemon would refuse, naming the file as it will be called."""
    found: tuple[ConfigError, ...] = ()
    try:
        load(ready)
    except ConfigErrors as errors:
        found = errors.errors
    if not found:
        return
    raise ConfigErrors(
        [
            ConfigError(
                error.problem,
                file=str(config) if error.file == str(ready) else error.file,
                key=error.key,
                value=error.value,
                allowed=error.allowed,
                nearest=error.nearest,
            )
            for error in found
        ]
    )
