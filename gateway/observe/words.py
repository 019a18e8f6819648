"""Text that others wrote, made fit for labels and pages: bounded, and free of addresses."""

import re
from collections.abc import Iterable

__all__ = ["OTHER", "by_word", "redacted", "word"]

OTHER = "other"
MAX_WORDS = 32
"""Distinct label values of one metric of one link, sensor or port; the rest becomes ``other``."""
MAX_TEXT = 200
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .:_-]{0,79}")
_ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?:([:_-]?)[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f])"
)
"""Six hex pairs, with one kind of separator or none (PRIV-01)."""


def word(text: str) -> str:
    """Return ``text`` if it may be a label value, else ``other``."""
    if _WORD.fullmatch(text) and not _ADDRESS.search(text):
        return text
    return OTHER


def by_word(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Return the counts by label value; what is no word, or one too many, adds up as ``other``."""
    result: dict[str, int] = {}
    for text, count in counts:
        label = word(text)
        if label not in result and len(result) >= MAX_WORDS - 1:
            label = OTHER
        result[label] = result.get(label, 0) + count
    return result


def redacted(text: str) -> str:
    """Return one line of at most 200 characters in which no device address is left."""
    line = "".join(char if char.isprintable() else " " for char in text[: 10 * MAX_TEXT])
    return _ADDRESS.sub("(address)", line)[:MAX_TEXT]
