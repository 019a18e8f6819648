"""Words in messages: key paths as a person writes them, near spellings, what smells of a secret."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches

__all__ = [
    "NAMED_LISTS",
    "Loc",
    "is_secret_word",
    "key_text",
    "nearest",
    "smells_of_secret",
    "step",
]

Loc = tuple[str | int, ...]
"""Where something stands in the document: keys, and positions in lists."""

NAMED_LISTS = ("sensor", "broker")
"""Lists of tables whose entries go by their ``name``."""
NEAR_ENOUGH = 0.6
"""How alike two spellings must be, 0 to 1, for the one to be proposed for the other."""

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SECRET = re.compile(
    r"passw|passphrase|secret|token|credential|api_?key|private_?key|bearer|adgangskode|kodeord",
    re.IGNORECASE,
)
_SHORT_SECRET_WORDS = frozenset({"key", "pass", "pin", "psk", "pw", "pwd", "login", "auth"})
"""They are secrets only as a whole part of a key: ``pass`` is one, ``passive`` is none."""


def is_secret_word(key: str) -> bool:
    """Tell whether a key can only mean a secret."""
    return _SECRET.search(key) is not None


def smells_of_secret(key: str) -> bool:
    """Tell whether the value of a key may be a secret and must not be shown."""
    parts = re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key).lower())
    return is_secret_word(key) or not _SHORT_SECRET_WORDS.isdisjoint(parts)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known spelling that is nearest to ``word``, or nothing if none is near."""
    by_lower = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), by_lower, n=1, cutoff=NEAR_ENOUGH)
    return by_lower[found[0]] if found else ""


def key_text(document: Mapping[str, object], loc: Loc) -> str:
    """Return a place as a person finds it: ``sensor[air-roof].filter."air.pm25".deadband``.

    Entries of a named list go by their name, or as ``sensor[#2]``, counted from 1, without one.
    """
    text = ""
    here: object = document
    for depth, part in enumerate(loc):
        here = step(here, part)
        if isinstance(part, str):
            text += ("." if text else "") + _quoted(part)
        elif depth == 1 and loc[0] in NAMED_LISTS:
            name = here.get("name") if isinstance(here, Mapping) else None
            text += f"[{_quoted(name)}]" if isinstance(name, str) and name else f"[#{part + 1}]"
        else:
            text += f"[#{part + 1}]"
    return text


def _quoted(key: str) -> str:
    """Return a key as TOML wants it, with nothing in it that could move a terminal's cursor."""
    if _BARE.fullmatch(key):
        return key
    text = json.dumps(key, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def step(here: object, part: str | int) -> object:
    """Return what a table or list holds under a key or position, or None if nothing."""
    if isinstance(part, str):
        return here.get(part) if isinstance(here, Mapping) else None
    if isinstance(here, Sequence) and not isinstance(here, str) and part < len(here):
        return here[part]
    return None
