"""Puts files in place all at once: each is whole from its first moment, or is not there at all."""

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.errors import ConfigError

__all__ = ["NewFile", "put_in_place"]

MAX_BACKUPS = 1000
HELD_BACK = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True, slots=True)
class NewFile:
    """One file to be written; its directory is made if it is missing."""

    path: Path
    content: bytes = field(repr=False)
    mode: int
    directory_mode: int
    group: int | None = None
    """The group that gets it; None: that of whoever writes."""


def put_in_place(
    files: Sequence[NewFile], *, force: bool, check: Callable[[Path], None]
) -> list[Path]:
    """Write all of them, in this order, and return the backups of what stood there before.

    ``check`` looks at the last one, beside its place, before any is put there, and raises if it is
    no good. ConfigError if one is there already with another content and ``force`` is False, or if
    one cannot be written. Ctrl-C in this moment has no effect.
    """
    with _undisturbed(), contextlib.ExitStack() as staged:
        wanted = [file for file in files if not _is_there(file)]
        for file in wanted:
            if file.path.exists() and not force:
                raise ConfigError("is there already; --force replaces it", file=str(file.path))
        # The configuration first: its directory is the one that others stand in.
        whole = [(file, staged.enter_context(_staged(file))) for file in reversed(wanted)][::-1]
        check(whole[-1][1] if wanted and wanted[-1] is files[-1] else files[-1].path)
        return [backup for file, ready in whole for backup in _exchange(file.path, ready, force)]


def _is_there(file: NewFile) -> bool:
    try:
        return file.path.read_bytes() == file.content
    except OSError:
        return False


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let other signals wait, and forget a Ctrl-C that came too late."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        signal.sigtimedwait({signal.SIGINT}, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _staged(file: NewFile) -> Iterator[Path]:
    """Write it under another name beside its place; whatever happens, that name is gone after."""
    made = _make_directory(file)
    ready = file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(ready, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as output:
            output.write(file.content)
            output.flush()
            if file.group is not None:
                os.fchown(descriptor, -1, file.group)
            os.fchmod(descriptor, file.mode)
            os.fsync(descriptor)
        yield ready
    except OSError as error:
        raise _unwritable(file.path, error) from error
    finally:
        ready.unlink(missing_ok=True)
        for directory in made:  # only what is still empty
            with contextlib.suppress(OSError):
                directory.rmdir()


def _make_directory(file: NewFile) -> list[Path]:
    """Make the directory of a file, and return what was made, the innermost first."""
    directory = file.path.parent
    missing = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        for each in reversed(missing):
            each.mkdir(mode=file.directory_mode if each == directory else 0o755)
        if missing and file.group is not None:
            os.chown(directory, -1, file.group)
    except OSError as error:
        raise _unwritable(directory, error) from error
    return missing


def _unwritable(path: Path, error: OSError) -> ConfigError:
    why = (error.strerror or "unknown error").lower()
    hint = ": run it with sudo" if isinstance(error, PermissionError) else ""
    return ConfigError(f"cannot be written, {why}{hint}", file=str(path))


def _exchange(path: Path, ready: Path, force: bool) -> list[Path]:  # noqa: FBT001 - as it was said
    """Give the new file its name; what had it gets another one."""
    backups = []
    try:
        if force and path.exists():
            backups.append(_backup(path))
            ready.replace(path)
        elif force:
            ready.replace(path)
        else:
            os.link(ready, path)  # unlike a rename never over a file that came meanwhile
        _sync(path.parent)
    except FileExistsError as error:
        raise ConfigError("is there already; --force replaces it", file=str(path)) from error
    return backups


def _backup(path: Path) -> Path:
    for number in range(MAX_BACKUPS):
        backup = path.with_name(f"{path.name}.bak{number or ''}")
        try:
            os.link(path, backup)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            shutil.copy2(path, backup)
        return backup
    raise ConfigError(f"has {MAX_BACKUPS} backups already", file=str(path))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
