"""Reads a unit of systemd from its files, drop-ins included: systemd.unit(5)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Unit", "read_unit"]

DIRECTORIES = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
)
"""The first that has a file wins, also for each drop-in by its name."""
ENABLING = ("etc/systemd/system", "run/systemd/system")
COMMENTS = ("#", ";")
MAX_CHARACTERS = 1 << 20

Settings = dict[tuple[str, str], list[str]]


@dataclass(frozen=True, slots=True)
class Unit:
    """What the files say about a unit."""

    name: str
    file: Path | None
    """None: it is not installed."""
    masked: bool = False
    enabled: bool = False
    unread: tuple[Path, ...] = ()
    """Files that this user may not read."""
    settings: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)

    def all(self, section: str, key: str) -> list[str]:
        """Return the values of a key in their order; an empty one has thrown away those before."""
        return list(self.settings.get((section, key), ()))

    def last(self, section: str, key: str) -> str:
        """Return the value that counts where there can be only one; empty for none."""
        return next(reversed(self.all(section, key)), "")


def read_unit(root: Path, name: str) -> Unit:
    """Read a unit below ``root``. What cannot be read is named in the unit."""
    file = next((path for path in _places(root, name) if path.is_symlink() or path.exists()), None)
    if file is None:
        return Unit(name, None)
    settings: Settings = {}
    unread = []
    for path in (file, *_drop_ins(root, name)):
        try:
            text = path.read_text(encoding="utf-8", errors="replace")[:MAX_CHARACTERS]
        except OSError:
            unread.append(path)
            continue
        _merge(settings, text)
    return Unit(
        name,
        file,
        masked=_is_masked(file),
        enabled=_is_enabled(root, name, settings),
        unread=tuple(unread),
        settings=settings,
    )


def _places(root: Path, name: str) -> Iterator[Path]:
    return (root / directory / name for directory in DIRECTORIES)


def _is_masked(file: Path) -> bool:
    """Tell whether it is a link to /dev/null, or an empty file."""
    if file.is_symlink() and str(file.readlink()) == "/dev/null":
        return True
    try:
        return file.stat().st_size == 0
    except OSError:
        return False


def _drop_ins(root: Path, name: str) -> list[Path]:
    found: dict[str, Path] = {}
    for directory in _places(root, f"{name}.d"):
        try:
            files = sorted(directory.iterdir())
        except OSError:
            continue
        for file in files:
            if file.suffix == ".conf":
                found.setdefault(file.name, file)
    return [found[key] for key in sorted(found)]


def _merge(settings: Settings, text: str) -> None:
    section = ""
    for line in _logical_lines(text):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
            continue
        key, equals, value = line.partition("=")
        if not equals:
            continue
        values = settings.setdefault((section, key.strip()), [])
        if value.strip():
            values.append(value.strip())
        else:
            values.clear()


def _logical_lines(text: str) -> Iterator[str]:
    """Yield lines without comments, those that end with a backslash put together."""
    begun = ""
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(COMMENTS):
            continue
        if stripped.endswith("\\"):
            begun += stripped[:-1] + " "
            continue
        yield begun + stripped
        begun = ""
    if begun:
        yield begun


def _is_enabled(root: Path, name: str, settings: Settings) -> bool:
    """Tell whether something that is started at boot wants it."""
    wanting = [
        f"{target}.{kind}/{name}"
        for key, kind in (("WantedBy", "wants"), ("RequiredBy", "requires"))
        for value in settings.get(("Install", key), ())
        for target in value.split()
    ]
    return any((root / place / each).is_symlink() for place in ENABLING for each in wanting)
