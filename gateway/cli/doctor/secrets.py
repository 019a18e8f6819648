"""Looks whether every secret can be read, and by nobody else."""

from collections.abc import Iterator

from gateway.cli.doctor.finding import Finding
from gateway.config.model import Configuration
from gateway.config.secrets import check_secrets
from gateway.errors import ConfigErrors

__all__ = ["examine_secrets"]


def examine_secrets(configuration: Configuration) -> Iterator[Finding]:
    """Yield one finding per secret that cannot be used, or one that all is well."""
    try:
        check_secrets(configuration)
    except ConfigErrors as errors:
        for error in errors.errors:
            why = "The gateway does not start without it; it never shows what it holds."
            yield Finding("fail", "secrets", str(error), why=why, cause="secret")
        return
    yield Finding("ok", "secrets", "all can be read, and by this user alone")
