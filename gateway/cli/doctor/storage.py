"""Looks whether there is room for the ring, on a file system that keeps its word."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor.finding import Finding
from gateway.config.model import BufferSection

__all__ = ["examine_storage", "file_system_of"]

MIB = 1 << 20
MOUNTS = Path("/proc/self/mounts")
KEEPS_ITS_WORD = ("ext4", "ext3", "f2fs", "xfs")
WHY_OTHERS = {
    "tmpfs": "It is memory: everything is lost at a power cut.",
    "overlay": "A container's layer goes with the container.",
    "btrfs": "Copy on write multiplies what the card has to write.",
    "vfat": "It has no owners and no journal.",
    "nfs": "It is another machine's disk, and may be away.",
    "nfs4": "It is another machine's disk, and may be away.",
}


def examine_storage(section: BufferSection) -> Iterator[Finding]:
    """Yield what keeps the ring from being kept, or one finding that all is well."""
    directory = section.directory
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        detail = f"{there} may not be written by this user"
        why = "The gateway would keep readings in memory only."
        mend = f"sudo install -d -m 700 -o {_user()} {directory}"
        yield Finding("fail", "buffer", detail, why, mend, "disk_permission")
        return
    kind = file_system_of(there, MOUNTS.read_text(encoding="utf-8"))
    if kind not in KEEPS_ITS_WORD:
        why = WHY_OTHERS.get(kind, "Nobody has tried what it keeps at a power cut.")
        mend = "put [buffer] directory on ext4, on a partition of its own"
        yield Finding("warn", "buffer", f"{directory} is on {kind}", why, mend, "file_system")
    free = os.statvfs(there)
    room = free.f_bavail * free.f_frsize + _taken(directory)
    if room < section.size:
        detail = f"{room // MIB} MiB are free for a ring of {section.size // MIB} MiB"
        why = "It would come round earlier than you think, or not be there at all."
        mend = "make [buffer] size smaller, or make room"
        yield Finding("fail", "buffer", detail, why, mend, "disk_full")
    elif kind in KEEPS_ITS_WORD:
        yield Finding("ok", "buffer", f"{directory} on {kind}, room for {section.size // MIB} MiB")


def file_system_of(path: Path, mounts: str) -> str:
    """Return the kind of file system that holds ``path``, by the text of /proc/self/mounts."""
    best, kind = "", "unknown"
    real = path.resolve()
    for line in mounts.splitlines():
        _, place, found, *_ = line.split(" ")
        mounted = Path(place.replace("\\040", " "))
        if real.is_relative_to(mounted) and len(place) >= len(best):
            best, kind = place, found
    return kind


def _taken(directory: Path) -> int:
    ring = directory / "ring"
    return ring.stat().st_blocks * 512 if ring.is_file() else 0


def _user() -> str:
    return os.environ.get("USER") or "citylab-gateway"
