"""Looks whether there is room for the ring, on a file system that keeps its word."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from gateway.cli.doctor.box import SEARCH, WRITE, Box, may
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble
from gateway.cli.doctor.mounts import MOUNTS, Mount, mount_of
from gateway.config.model import BufferSection

__all__ = ["IN_MEMORY", "TROUBLES", "look"]

MIB = 1 << 20
BYTES_PER_BLOCK = 512
KEEPS_ITS_WORD = ("ext4", "ext3", "f2fs", "xfs")
IN_MEMORY = ("tmpfs", "ramfs")
WHY_OTHERS = {
    "tmpfs": "It is memory: everything is lost at a power cut.",
    "overlay": "What is written there goes with the container, or with the next start.",
    "btrfs": "Copy on write multiplies what the card has to write.",
    "vfat": "It has no owners and no journal.",
    "nfs": "It is another machine's disk, and may be away.",
    "nfs4": "It is another machine's disk, and may be away.",
}
UNSAFE_OPTIONS = ("barrier=0", "nobarrier", "data=writeback", "fsync_mode=nobarrier")
PERMISSION = Trouble(
    "disk_permission",
    "fail",
    "The gateway would keep readings in memory only.",
    "sudo install -d -m 700 -o {user} {directory}",
)
READ_ONLY = Trouble(
    "disk_read_only",
    "fail",
    "The gateway keeps readings in memory only; a card that is about to fail often does this.",
    "sudo dmesg | grep -iE 'mmc|ext4|error'; if it is sound: sudo mount -o remount,rw {place}",
)
FULL = Trouble(
    "disk_full",
    "fail",
    "The ring would come round earlier than you think, or not be there at all.",
    "make room: sudo journalctl --vacuum-size=50M; sudo apt clean; or a smaller [buffer] size",
)
KIND = Trouble(
    "file_system",
    "warn",
    "Nobody has tried what it keeps at a power cut.",
    "put [buffer] directory on ext4, on a partition of its own",
)
OPTIONS = Trouble(
    "mount_options",
    "warn",
    "A power cut may destroy what was said to be on the disk.",
    "take {option} out of the line in /etc/fstab; then sudo mount -o remount {place}",
)
RUNTIME = Trouble(
    "runtime_on_disk",
    "warn",
    "The open block is written there four times a second: on a card that costs its life.",
    "[buffer] runtime_directory on a tmpfs, such as /run/citylab-gateway",
)
TROUBLES = (PERMISSION, READ_ONLY, FULL, KIND, OPTIONS, RUNTIME)


def look(box: Box) -> Iterator[Finding]:
    """Yield what keeps the ring from being kept, or one finding that all is well."""
    section = BufferSection() if box.configuration is None else box.configuration.buffer
    mounts = box.system.read(MOUNTS) or ""
    try:
        there = _existing(section.directory)
    except OSError:
        how = "sudo citylab-gateway doctor"
        yield NOT_SEEN.found("disk", f"{section.directory} may not be looked at", how=how)
        return
    mount = mount_of(there, mounts)
    found = [*_troubles(box, section, there, mount), *_runtime(section, mounts)]
    yield from found
    if not found:
        detail = f"{section.directory} on {mount.kind}, room for {section.size // MIB} MiB"
        yield Finding.fine("disk", detail)


def _existing(directory: Path) -> Path:
    """Return the directory, or the first above it that is there."""
    for path in (directory, *directory.parents):
        try:
            path.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return path
    return Path("/")


def _troubles(box: Box, section: BufferSection, there: Path, mount: Mount) -> Iterator[Finding]:
    directory, user = section.directory, box.account.name
    quoted = shlex.quote(str(directory))
    if mount.read_only:
        yield READ_ONLY.found("disk", f"{directory} is mounted read-only", place=mount.place)
        return
    # What is not there yet is made by systemd (StateDirectory=), as root.
    made_by_systemd = there != directory and box.service.last("Service", "StateDirectory")
    if not made_by_systemd and not may(there.stat(), box.account, WRITE | SEARCH):
        detail = f"{there} may not be written by {user}"
        yield PERMISSION.found("disk", detail, user=user, directory=quoted)
    if mount.kind not in KEEPS_ITS_WORD:
        why = WHY_OTHERS.get(mount.kind, "")
        yield KIND.found("disk", f"{directory} is on {mount.kind}", why=why)
    for option in sorted(mount.options.intersection(UNSAFE_OPTIONS)):
        detail = f"{mount.place} is mounted with {option}"
        yield OPTIONS.found("disk", detail, option=option, place=mount.place)
    try:
        room = box.system.free_bytes(there)
        if room < section.size:  # then it matters what the ring has of it already
            room += _taken(directory)
    except OSError:
        how = "sudo citylab-gateway doctor"
        yield NOT_SEEN.found("disk", "how much room the ring takes may not be seen", how=how)
        return
    if room < section.size:
        detail = f"{room // MIB} MiB are free for a ring of {section.size // MIB} MiB"
        yield FULL.found("disk", detail)


def _runtime(section: BufferSection, mounts: str) -> Iterator[Finding]:
    try:
        kind = mount_of(_existing(section.runtime_directory), mounts).kind
    except OSError:
        return
    if kind not in IN_MEMORY:
        yield RUNTIME.found("runtime directory", f"{section.runtime_directory} is on {kind}")


def _taken(directory: Path) -> int:
    try:
        return (directory / "ring").stat().st_blocks * BYTES_PER_BLOCK
    except (FileNotFoundError, NotADirectoryError):
        return 0
