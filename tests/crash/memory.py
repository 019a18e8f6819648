"""A file system in memory that records what reaches the kernel, and when it was made durable.

The buffer's own ``RingFile``, ``write_atomically``, ``load_json`` and the rest run on it unchanged:
their module ``os`` is replaced by ``FakeOs`` and their directory is a ``MemoryPath``. Whatever the
buffer asks that is not modelled here fails loudly, so nothing can go around the record.
"""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PosixPath
from types import SimpleNamespace
from typing import ClassVar, NamedTuple

__all__ = ["DATA", "RUN", "Change", "FakeFcntl", "FakeOs", "Image", "MemoryDisk", "MemoryPath"]

DATA = "/data"
RUN = "/run"
"""The runtime directory is a tmpfs: it outlives the process and not the power."""
FREE_BYTES = 1 << 40


class Change(NamedTuple):
    """One thing that the kernel was asked to do; ``sync`` and ``dirsync`` make others durable."""

    kind: str
    """"write", "truncate", "sync", "name" (create, rename, remove) or "dirsync"."""
    inode: int = 0
    offset: int = 0
    data: bytes = b""
    names: tuple[tuple[str, int | None], ...] = ()
    """What names point to afterwards, all at once: a rename is atomic. None: removed."""


class Image(NamedTuple):
    """What is on the device: names, and the bytes of each file."""

    names: dict[str, int]
    files: dict[int, bytearray]

    def copy(self) -> "Image":
        return Image(dict(self.names), {key: bytearray(one) for key, one in self.files.items()})

    def apply(self, change: Change) -> None:
        """Carry out a write, a truncation or a change of names."""
        if change.kind == "name":
            for name, inode in change.names:
                if inode is None:
                    self.names.pop(name, None)
                else:
                    self.names[name] = inode
                    self.files.setdefault(inode, bytearray())
            return
        data = self.files.setdefault(change.inode, bytearray())
        if change.kind == "truncate":
            del data[change.offset :]
        else:
            put(data, change.offset, change.data)


def put(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        target.extend(bytes(offset - len(target)))
    target[offset : offset + len(data)] = data


class MemoryDisk:
    """The page cache over an image: what programs see. ``changes`` is the record."""

    def __init__(self, image: Image | None = None) -> None:
        self.base = image.copy() if image is not None else Image({}, {})
        self.seen = self.base.copy()
        self.volatile: dict[str, bytes] = {}
        self.changes: list[Change] = []
        self.before: Callable[[Change], None] = lambda _: None
        """Called before each change is recorded and takes effect."""
        self._next_inode = max(self.base.files, default=0) + 1
        self._ticks = 0

    def change(self, change: Change) -> None:
        self.before(change)
        self.changes.append(change)
        if change.kind not in ("sync", "dirsync"):
            self.seen.apply(change)

    def create(self, name: str) -> int:
        inode = self._next_inode
        self._next_inode += 1
        self.change(Change("name", names=((name, inode),)))
        return inode

    def remove(self, name: str) -> None:
        if name.startswith(RUN):
            del self.volatile[name]
        else:
            self.change(Change("name", names=((name, None),)))

    def rename(self, old: str, new: str) -> None:
        if old.startswith(RUN):
            self.volatile[new] = self.volatile.pop(old)
            return
        if old not in self.seen.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", old)
        self.change(Change("name", names=((new, self.seen.names[old]), (old, None))))

    def content(self, name: str) -> bytes:
        if name.startswith(RUN) and name in self.volatile:
            return self.volatile[name]
        if name not in self.seen.names:
            raise FileNotFoundError(errno.ENOENT, "no such file", name)
        return bytes(self.seen.files[self.seen.names[name]])

    def exists(self, name: str) -> bool:
        return name in self.seen.names or name in self.volatile


class MemoryPath(PosixPath):
    """A path whose questions go to the mounted disk; one disk is mounted at a time."""

    __slots__ = ()
    mounted: ClassVar[MemoryDisk]

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        return self.mounted.exists(str(self))

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return self.exists()

    def read_bytes(self) -> bytes:
        return self.mounted.content(str(self))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - pathlib's own signature
        """Directories are there; that theirs parents survive is not this model's business."""

    def replace(self, target: str | os.PathLike[str]) -> "MemoryPath":
        self.mounted.rename(str(self), os.fspath(target))
        return MemoryPath(target)

    def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - pathlib's own
        if self.exists():
            self.mounted.remove(str(self))
        elif not missing_ok:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(self))

    def glob(self, pattern: str, **_: object) -> Iterator["MemoryPath"]:  # type: ignore[override]
        for name in list(self.mounted.seen.names):
            path = MemoryPath(name)
            if path.parent == self and path.match(pattern):
                yield path

    def stat(self, *, follow_symlinks: bool = True) -> SimpleNamespace:  # type: ignore[override]
        size = len(self.read_bytes())
        inode = self.mounted.seen.names.get(str(self), 0)
        return SimpleNamespace(st_size=size, st_ino=inode, st_dev=1, st_nlink=1, st_mtime_ns=inode)

    def open(self, *_: object, **__: object) -> object:  # type: ignore[override]
        raise AssertionError(f"{self}: opened past the model")


class _Open:
    """An open file: a name on tmpfs, a directory, or an inode."""

    __slots__ = ("at", "directory", "inode", "name")

    def __init__(self, name: str, *, inode: int = 0, directory: bool = False) -> None:
        self.name = name
        self.inode = inode
        self.directory = directory
        self.at = 0


class FakeFcntl:
    """Locks are always granted: there is one process at a time here."""

    LOCK_EX = 2
    LOCK_NB = 4
    LOCK_SH = 1
    LOCK_UN = 8

    def flock(self, fd: int, operation: int) -> None:
        """Grant it."""


class FakeOs:
    """The calls of ``os`` that the buffer makes, on the mounted disk."""

    def __init__(self) -> None:
        self._files: dict[int, _Open] = {}
        self._next = 1000
        self._salts = 0

    def __getattr__(self, name: str) -> object:
        if name.startswith("O_") or name in ("strerror", "fspath", "SEEK_SET", "path", "PathLike"):
            return getattr(os, name)
        raise AssertionError(f"os.{name} is not modelled by the crash checker")

    @property
    def disk(self) -> MemoryDisk:
        return MemoryPath.mounted

    def open(self, path: Path, flags: int, mode: int = 0o777) -> int:
        name = str(path)
        self._next += 1
        if flags & os.O_DIRECTORY:
            self._files[self._next] = _Open(name, directory=True)
        elif name.startswith(RUN):
            if flags & os.O_TRUNC or name not in self.disk.volatile:
                self.disk.volatile[name] = b""
            self._files[self._next] = _Open(name)
        else:
            inode = self.disk.seen.names.get(name)
            if inode is None:
                if not flags & os.O_CREAT:
                    raise FileNotFoundError(errno.ENOENT, "no such file", name)
                inode = self.disk.create(name)
            elif flags & os.O_TRUNC:
                self.disk.change(Change("truncate", inode))
            self._files[self._next] = _Open(name, inode=inode)
        return self._next

    def close(self, fd: int) -> None:
        del self._files[fd]

    def begin_anew(self) -> None:
        """Make each seed independent of those before it."""
        self._files.clear()
        self._salts = 0

    def forget_all(self) -> None:
        """Close everything, as the end of a process does."""
        self._files.clear()

    def pwrite(self, fd: int, data: bytes | bytearray | memoryview, offset: int) -> int:
        self.disk.change(Change("write", self._files[fd].inode, offset, bytes(data)))
        return len(data)

    def pread(self, fd: int, size: int, offset: int) -> bytes:
        return bytes(self.disk.seen.files[self._files[fd].inode][offset : offset + size])

    def write(self, fd: int, data: bytes | bytearray | memoryview) -> int:
        file = self._files[fd]
        if file.inode:
            self.pwrite(fd, data, file.at)
        else:
            self.disk.volatile[file.name] = self.disk.volatile[file.name][: file.at] + bytes(data)
        file.at += len(data)
        return len(data)

    def fsync(self, fd: int) -> None:
        file = self._files[fd]
        if file.directory:
            self.disk.change(Change("dirsync"))
        elif file.inode:
            self.disk.change(Change("sync", file.inode))

    def fdatasync(self, fd: int) -> None:
        self.fsync(fd)

    def ftruncate(self, fd: int, length: int) -> None:
        self.disk.change(Change("truncate", self._files[fd].inode, length))

    def fstat(self, fd: int) -> SimpleNamespace:
        file = self._files[fd]
        size = len(self.disk.seen.files[file.inode]) if file.inode else 0
        return SimpleNamespace(st_size=size, st_ino=file.inode, st_dev=1, st_nlink=1)

    def stat(self, path: Path) -> SimpleNamespace:
        name = str(path)
        size = len(self.disk.content(name))
        inode = self.disk.seen.names.get(name, 0)
        return SimpleNamespace(st_size=size, st_ino=inode, st_dev=1, st_nlink=1)

    def fstatvfs(self, fd: int) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=FREE_BYTES >> 12, f_frsize=4096, f_bsize=4096)

    def urandom(self, size: int) -> bytes:
        """Return what a seed's replay returns again."""
        self._salts += 1
        return self._salts.to_bytes(size, "little")
