"""Files, and nothing about what is in them: the ring file, atomic writes, the lock, damaged/."""

import fcntl
import json
import logging
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

from gateway.errors import DataDirectoryBusy

__all__ = [
    "BlockFile",
    "Damaged",
    "DirectoryLock",
    "JsonState",
    "Placed",
    "RingFile",
    "UnavailableFile",
    "load_json",
    "make_directory",
    "read_checked",
    "save_json",
    "sync_directory",
    "write_atomically",
]

logger = logging.getLogger("citylab_gateway.buffer")

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
MAX_DAMAGED_FILES = 64
"""Blocks that are kept aside for inspection; the oldest make room."""
BACKUP_SUFFIX = ".bak"
JSON_VERSION = 1

T = TypeVar("T")
JsonState = Literal["good", "backup", "missing", "lost"]
"""How a side file was found: as written, its predecessor only, never there, both unusable."""


class BlockFile(Protocol):
    """All that the ring asks of its file. Every method blocks and may raise OSError."""

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end of the file."""

    def sync(self) -> None:
        """Return when everything that was written is on the device."""

    def size(self) -> int:
        """Return the length of the file in bytes."""

    def free(self) -> int:
        """Return the bytes that the file system has to spare."""

    def close(self) -> None:
        """Give the file back."""


@runtime_checkable
class Placed(Protocol):
    """A file that can tell whether its path still leads to it."""

    def in_place(self) -> bool:
        """Return False if the file was removed, or if another one took its place."""


class RingFile:
    """A file on disk, created empty when it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        """Write all of ``data`` at ``offset``."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view = view[written:]
            offset += written

    def pread(self, size: int, offset: int) -> bytes:
        """Return up to ``size`` bytes; fewer only at the end of the file."""
        data = os.pread(self._fd, size, offset)
        while 0 < len(data) < size:
            more = os.pread(self._fd, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def sync(self) -> None:
        """Return when everything that was written is on the device."""
        os.fdatasync(self._fd)

    def size(self) -> int:
        """Return the length of the file in bytes."""
        return os.fstat(self._fd).st_size

    def free(self) -> int:
        """Return the bytes that the file system has to spare for us."""
        status = os.fstatvfs(self._fd)
        return status.f_bavail * status.f_frsize

    def in_place(self) -> bool:
        """Return False if the file was removed, or if another one took its place."""
        return _is_at(self._fd, self._path)

    def close(self) -> None:
        """Give the file back."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class UnavailableFile:
    """Stands for storage that could not be used at start: every access repeats that error."""

    def __init__(self, error: OSError) -> None:
        self._error = error

    def _refuse(self) -> OSError:
        return OSError(self._error.errno, self._error.strerror)

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:  # noqa: ARG002 - BlockFile
        """Raise."""
        raise self._refuse()

    def pread(self, size: int, offset: int) -> bytes:  # noqa: ARG002 - BlockFile
        """Raise."""
        raise self._refuse()

    def sync(self) -> None:
        """Raise."""
        raise self._refuse()

    def size(self) -> int:
        """Raise."""
        raise self._refuse()

    def free(self) -> int:
        """Raise."""
        raise self._refuse()

    def close(self) -> None:
        """Do nothing."""


class DirectoryLock:
    """Holds the data directory for one process; the kernel releases it when the process dies."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._fd = _locked(self._path)

    def renew(self) -> None:
        """Take the lock again if somebody removed its file, or the whole directory.

        Without that a second daemon could begin beside this one. OSError, or DataDirectoryBusy
        if one has done so already.
        """
        if _is_at(self._fd, self._path):
            return
        make_directory(self._path.parent)
        fd = _locked(self._path)
        os.close(self._fd)
        self._fd = fd

    def release(self) -> None:
        """Let the next process have the directory."""
        os.close(self._fd)


class Damaged:
    """The folder ``damaged/``: what was found unreadable, kept for inspection, bounded."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory / "damaged"

    def keep(self, name: str, data: bytes) -> None:
        """Keep these bytes under that name. A disk that refuses costs the copy, nothing else."""
        try:
            make_directory(self._directory)
            self._make_room()
            path = self._directory / name
            if not path.exists():
                write_atomically(path, data)
        except OSError as error:
            logger.warning("cannot keep the damaged bytes of %s: %s", name, error)

    def keep_file(self, path: Path, name: str = "") -> Path:
        """Move a whole file there, as ``name``; an earlier one of the same name is replaced."""
        make_directory(self._directory)
        target = self._directory / (name or path.name)
        path.replace(target)
        sync_directory(path.parent)
        return target

    def clear(self) -> None:
        """Remove everything that was kept. OSError if the disk refuses."""
        if self._directory.is_dir():
            for path in self._directory.iterdir():
                path.unlink()
            sync_directory(self._directory)

    def _make_room(self) -> None:
        blocks = sorted(self._directory.glob("block-*"), key=lambda path: path.stat().st_mtime_ns)
        for path in blocks[: max(0, len(blocks) - MAX_DAMAGED_FILES + 1)]:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> int:
    """Return a descriptor of the lock file, locked. DataDirectoryBusy if somebody else has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(fd)
        raise DataDirectoryBusy(str(path.parent)) from error
    except OSError:
        os.close(fd)
        raise
    return fd


def _is_at(fd: int, path: Path) -> bool:
    opened = os.fstat(fd)
    if not opened.st_nlink:
        return False
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return (found.st_dev, found.st_ino) == (opened.st_dev, opened.st_ino)


def make_directory(directory: Path) -> None:
    """Create the directory, and its parents, for this user alone."""
    directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)


def sync_directory(directory: Path) -> None:
    """Return when names created or changed in the directory are on the device."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replace a file so that a reader, or a power cut, sees the old content or the new one."""
    temporary = path.with_name(path.name + ".tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    if durable:
        sync_directory(path.parent)


def save_json(path: Path, content: Any) -> None:
    """Write a side file with its checksum; the previous one, if it was good, becomes ``.bak``."""
    previous = read_checked(path)
    if previous is not None:
        write_atomically(path.with_name(path.name + BACKUP_SUFFIX), path.read_bytes())
    crc = zlib.crc32(_canonical(content))
    document = {"version": JSON_VERSION, "crc32": f"{crc:08x}", "content": content}
    write_atomically(path, json.dumps(document, indent=1).encode())


def load_json(
    path: Path, parse: Callable[[Any], T], damaged: Damaged
) -> tuple[T | None, JsonState]:
    """Return a side file's content, or its predecessor's, and which of the two it was.

    A bit flip counts as damage even where the text is still JSON. An unusable file goes to
    ``damaged/``.
    """
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    found = path.exists() or backup.exists()
    for candidate, state in ((path, "good"), (backup, "backup")):
        content = read_checked(candidate)
        try:
            if content is not None:
                return parse(content), "good" if state == "good" else "backup"
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            pass  # the same as a wrong checksum
        if candidate.exists():
            logger.warning("%s is damaged; it goes to damaged/", candidate)
            damaged.keep_file(candidate)
    return None, "lost" if found else "missing"


def read_checked(path: Path) -> Any:
    """Return the content of a side file, or None if it is absent or does not fit its checksum."""
    try:
        document = json.loads(path.read_bytes())
        content = document["content"]
        good = document["version"] == JSON_VERSION
        good = good and int(document["crc32"], 16) == zlib.crc32(_canonical(content))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return content if good else None


def _canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
