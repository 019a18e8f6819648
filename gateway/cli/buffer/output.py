"""Where an export goes: standard output, or a file that is there whole or not at all."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gateway.buffer.files import sync_directory
from gateway.errors import ConfigError, GatewayError

__all__ = ["open_output"]


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[BinaryIO]:
    """Write to ``path``, or to standard output without one.

    The file has mode 0600 and takes its name only when all is written and synced; an earlier one
    of that name is replaced then. ConfigError if the folder is not there, GatewayError if the disk
    refuses.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.is_dir():
        raise ConfigError("is a directory", key="--output", value=str(path))
    if not path.parent.is_dir():
        raise ConfigError("lies in no directory", key="--output", value=str(path))
    try:
        with _replacing(path) as file:
            yield file
    except OSError as error:
        raise GatewayError(f"{path} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
