"""Reads the TOML files and merges them into one document that remembers where each part stood."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.words import NAMED_LISTS, Loc, key_text, step
from gateway.errors import ConfigError

__all__ = ["Document", "read"]

DROP_IN_DIRECTORY = "gateway.d"
MAX_FILE_BYTES = 1 << 20
"""No configuration is that long; a larger file was named by mistake."""

_PLACE = re.compile(r"(.*?)(?: \(at (.*)\))?", re.DOTALL)
_HINTS = (
    ("Invalid value", 'text stands in quotes: key = "text"'),
    ("Expected newline", 'one key = value a line; text such as "5 s" stands in quotes'),
    ("Expected '='", 'key = value; a key with a dot in it stands in quotes: "air.pm25"'),
    ("Cannot overwrite", "each key once in its table"),
    ("Cannot declare", "each [table] once; the next sensor begins with [[sensor]]"),
    ("Cannot mutate", "each [table] once; the next sensor begins with [[sensor]]"),
    ("Illegal character", "text ends in the line in which it began"),
    ("Unterminated", "text ends in the line in which it began"),
)
"""Beginning of the parser's words -> what is said instead."""


@dataclass(slots=True)
class Document:
    """All files as one: plain TOML values, and the file that each part came from."""

    path: str
    """The main file."""
    content: dict[str, Any] = field(default_factory=dict)
    origins: dict[Loc, str] = field(default_factory=dict)
    removed: set[Loc] = field(default_factory=set)
    """Where literal secrets stood."""
    files: list[str] = field(default_factory=list)
    """All files, in the order in which they were read."""
    found: list[tuple[tuple[int, ...], ConfigError]] = field(default_factory=list)
    """What is wrong so far, with its place from the top of the first file down."""

    def report(
        self,
        loc: Loc,
        problem: str,
        *,
        value: object = None,
        allowed: str = "",
        nearest: str = "",
    ) -> None:
        """Add one thing that is wrong at a place."""
        file = self.file_of(loc)
        error = ConfigError(
            problem,
            file=file,
            key=key_text(self.content, loc),
            value=value,
            allowed=allowed,
            nearest=nearest,
        )
        number = self.files.index(file) if file in self.files else 0
        self.found.append(((number, *self._order(loc)), error))

    def errors(self) -> list[ConfigError]:
        """Return what is wrong, in the order in which a person meets it in the files."""
        return [error for _, error in sorted(self.found, key=lambda found: found[0])]

    def file_of(self, loc: Loc) -> str:
        """Return the file in which a place, or the table around it, stands."""
        for end in range(len(loc), 0, -1):
            if loc[:end] in self.origins:
                return self.origins[loc[:end]]
        return self.path

    def at(self, loc: Loc) -> Any:
        """Return what stands at a place, or None if nothing does (TOML itself has no None)."""
        here: Any = self.content
        for part in loc:
            here = step(here, part)
        return here

    def _order(self, loc: Loc) -> tuple[int, ...]:
        """Return a key that sorts places from the top of the document to its bottom."""
        order: list[int] = []
        here: Any = self.content
        for part in loc:
            if isinstance(here, Mapping):
                keys = list(here)
                order.append(keys.index(part) if part in here else len(keys))
                here = here.get(part)
            else:
                order.append(part if isinstance(part, int) else 0)
                here = here[part] if isinstance(here, list) and isinstance(part, int) else None
        return tuple(order)

    def merge(self, content: Mapping[str, Any], file: str) -> None:
        """Lay one more file over the document.

        Tables are merged, sensors and brokers are added, and of a single value the last counts.
        """
        self._merge(self.content, content, (), file)

    def _merge(self, into: dict[str, Any], more: Mapping[str, Any], at: Loc, file: str) -> None:
        for key, value in more.items():
            here = (*at, key)
            old = into.get(key)
            if isinstance(old, dict) and isinstance(value, dict):
                self._merge(old, value, here, file)
            elif here in {(name,) for name in NAMED_LISTS} and _both_lists(old, value):
                for number, entry in enumerate(value, start=len(into[key])):
                    self.origins[*here, number] = file
                    into[key].append(entry)
            else:
                into[key] = value
                self.origins[here] = file


def _both_lists(old: object, new: object) -> bool:
    return isinstance(old, list) and isinstance(new, list)


def read(path: Path) -> Document:
    """Read a configuration file and the ``gateway.d/*.toml`` beside it, in name order.

    What cannot be read, or is no TOML, is reported in the document.
    """
    document = Document(str(path))
    drop_ins = sorted((path.parent / DROP_IN_DIRECTORY).glob("*.toml"))
    for file in (path, *drop_ins):
        document.files.append(str(file))
        content = _read_file(file, document)
        if content is not None:
            document.merge(content, str(file))
    return document


def _read_file(file: Path, document: Document) -> dict[str, Any] | None:
    problem = hint = ""
    content: dict[str, Any] | None = None
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            problem, hint = "is too long for a configuration", f"at most {MAX_FILE_BYTES} bytes"
        else:
            content = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        problem = f"cannot be read: {(error.strerror or 'unknown error').lower()}"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem, hint = f"line {line}: is no UTF-8 text", "a file saved as UTF-8"
    except RecursionError:
        problem = "is nested too deeply"
    except tomllib.TOMLDecodeError as error:
        problem, hint = _syntax(str(error))
    if problem:
        # Reported here, outside the except, so that the parser's error is not dragged along: the
        # text that it looked at may hold a secret.
        unread = ConfigError(problem, file=str(file), allowed=hint)
        document.found.append(((len(document.files),), unread))
    return content


def _syntax(message: str) -> tuple[str, str]:
    """Return (problem with line and column, hint) for what the TOML parser said."""
    match = _PLACE.fullmatch(message)
    words, place = (match[1], match[2]) if match else (message, None)
    hint = next((hint for start, hint in _HINTS if words.startswith(start)), "")
    problem = f"{place or 'somewhere'}: is no valid TOML"
    return problem if hint else f"{problem} ({words[:1].lower()}{words[1:]})", hint
