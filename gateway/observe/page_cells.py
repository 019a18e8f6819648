"""HTML with cells: what stays as long as the page has this shape, and what changes in it.

A cell is an element with an id whose text or attributes change. A browser that has the shape needs
the changed cells only, so a page of a hundred sensors costs a watcher a few bytes a second.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2s
from html import escape
from types import MappingProxyType

__all__ = ["ENGLISH", "Cells", "Sheet", "Snapshot", "changed", "plain", "shape_of"]

Cells = Mapping[str, Mapping[str, str]]
"""Id -> attribute -> text; the attribute "" is what stands inside."""
SHAPE_BYTES = 12
ENGLISH = 'lang="en"'
"""What the software says of itself is not translated, and is marked for who reads it out."""
_MARK = "\0"
_NOTHING: Mapping[str, str] = MappingProxyType({})


def plain(text: str) -> str:
    """Return text from outside, fit for HTML."""
    return escape(text.replace(_MARK, ""))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One page as it is now: the whole, its parts that may get another shape, and its cells."""

    html: str
    parts: Mapping[str, str]
    """Id of an element -> what stands inside."""
    cells: Cells
    shape: str
    """Two pages with this same mark differ in their cells only."""
    fixed: Cells
    """Those of the cells that stand outside the parts."""


def shape_of(*texts: str) -> str:
    """Return the mark of texts that are not yet filled in."""
    digest = blake2s(digest_size=SHAPE_BYTES)
    for text in texts:
        digest.update(text.encode())
    return digest.hexdigest()


class Sheet:
    """Collects the cells of a part of a page while it is written."""

    def __init__(self) -> None:
        self.cells: dict[str, dict[str, str]] = {}
        self._contents: list[str] = []

    def cell(self, at: str, text: str, tag: str = "span") -> str:
        """Return an element whose text may change; ``tag`` may carry attributes, which stay."""
        self.cells[at] = {"": text}
        return self._element(at, tag, _NOTHING, plain(text))

    def frame(self, at: str, inside: str, tag: str, **changing: str) -> str:
        """Return an element around HTML of which only the ``changing`` attributes may change."""
        attributes = {name.replace("_", "-"): text for name, text in changing.items()}
        self.cells[at] = attributes
        return self._element(at, tag, attributes, "").replace("</", f"{inside}</", 1)

    def wrong(self, at: str, text: str) -> str:
        """Return a cell for what goes wrong, in the words of the software; unseen while empty."""
        return self.cell(at, text, f'p class="wrong" {ENGLISH}')

    def state(self, at: str, state: str, text: str) -> str:
        """Return the badge of a state."""
        self.cells[at] = {"": text, "data-state": state}
        return self._element(at, 'b class="state"', {"data-state": state}, plain(text))

    def _element(self, at: str, tag: str, changing: Mapping[str, str], inside: str) -> str:
        written = "".join(f' {name}="{plain(text)}"' for name, text in changing.items())
        self._contents.append(f"{written}>{inside}")
        name = tag.partition(" ")[0]
        return f'<{tag} id="{plain(at)}"{_MARK}{len(self._contents) - 1}{_MARK}</{name}>'

    def filled(self, text: str) -> str:
        """Fill in the cells where ``cell`` and its like left their places."""
        pieces = text.split(_MARK)
        pieces[1::2] = [self._contents[int(number)] for number in pieces[1::2]]
        return "".join(pieces)


def changed(old: Cells, new: Cells) -> dict[str, dict[str, str]]:
    """Return what is in ``new`` and was not in ``old``, or was something else."""
    result = {}
    for at, cell in new.items():
        before = old.get(at, _NOTHING)
        if before != cell:
            result[at] = {key: text for key, text in cell.items() if before.get(key) != text}
    return result
