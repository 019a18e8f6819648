"""Which file system holds a path: /proc/self/mountinfo, proc_pid_mountinfo(5)."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["MOUNTS", "Mount", "mount_of"]

MOUNTS = "/proc/self/mountinfo"
ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))
FIELDS_BEFORE = 6
FIELDS_BEHIND = 3


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted file system."""

    place: str
    kind: str
    source: str
    options: frozenset[str]
    """Of the mount and of the file system."""
    number: str
    """Of the device, ``179:2``."""

    @property
    def read_only(self) -> bool:
        """Tell whether nothing can be written there."""
        return "ro" in self.options


UNKNOWN = Mount("", "unknown", "", frozenset(), "")


def mount_of(path: Path, mounts: str) -> Mount:
    """Return the file system that holds ``path``, by the text of mountinfo.

    Of several on the same place the last one is on top.
    """
    best = UNKNOWN
    real = path.resolve()
    for line in mounts.splitlines():
        mount = _parse(line)
        if (
            mount is not None
            and real.is_relative_to(mount.place)
            and len(mount.place) >= len(best.place)
        ):
            best = mount
    return best


def _parse(line: str) -> Mount | None:
    before, _, behind = line.partition(" - ")
    first, last = before.split(" "), behind.split(" ")
    if len(first) < FIELDS_BEFORE or len(last) < FIELDS_BEHIND:
        return None
    options = frozenset(first[5].split(",")) | frozenset(last[2].split(","))
    return Mount(_plain(first[4]), last[0], _plain(last[1]), options, first[2])


def _plain(text: str) -> str:
    for escape, character in ESCAPES:
        text = text.replace(escape, character)
    return text
