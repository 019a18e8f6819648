"""Tables that fit: columns of a fixed width, the least important left out where room is short."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Column", "Line", "Span", "Style", "Table", "cut", "line", "width_of"]

Style = Literal["", "bold", "dim", "red", "yellow", "green"]
GAP = 2
MIN_REST = 16
"""The last column takes the rest of the line if that is worth reading."""


class Span(NamedTuple):
    """Some text in one style."""

    text: str
    style: Style = ""


Line = tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those with the highest ``spare`` are left out first, 0 never."""

    title: str
    width: int
    spare: int
    right: bool = False
    both_ends: bool = False
    """What is too long loses its middle: names of one place differ at their end."""


def line(*spans: Span | str) -> Line:
    """Return a line of spans; plain text has no style."""
    return tuple(Span(each) if isinstance(each, str) else each for each in spans)


def width_of(spans: Line) -> int:
    """Return how many cells a line takes."""
    return sum(len(span.text) for span in spans)


def cut(spans: Line, width: int, *, mark: str = ".") -> Line:
    """Return the line, cut to a width; ``mark`` stands where something is missing."""
    if width_of(spans) <= width:
        return spans
    left = max(0, width - len(mark))
    kept: list[Span] = []
    for span in spans:
        kept.append(Span(span.text[:left], span.style))
        left -= len(kept[-1].text)
        if not left:
            break
    return (*kept, Span(mark[:width]))


class Table:
    """Columns chosen for a width; the rest of each line is free text."""

    def __init__(self, columns: Sequence[Column], width: int, *, mark: str = ".") -> None:
        self._width = width
        self._mark = mark
        chosen = list(columns)
        while self._taken(chosen) > width and any(column.spare for column in chosen):
            chosen.remove(max(chosen, key=lambda column: column.spare))
        self.columns = tuple(chosen)
        rest = width - self._taken(chosen) - GAP
        self.has_rest = rest >= MIN_REST
        """Is there room for free text behind the columns?"""

    @staticmethod
    def _taken(columns: Sequence[Column]) -> int:
        return sum(column.width + GAP for column in columns) - GAP

    def title(self, rest: str = "") -> Line:
        """Return the line above the table."""
        return self.row(
            {column.title: Span(column.title, "dim") for column in self.columns},
            Span(rest, "dim"),
        )

    def row(self, cells: dict[str, Span], *rest: Span) -> Line:
        """Return one line; cells by the titles of their columns."""
        spans: list[Span] = []
        for number, column in enumerate(self.columns):
            text, style = cells[column.title]
            if len(text) > column.width:
                text = self._shortened(text, column)
            fill = " " * (column.width - len(text))
            gap = " " * GAP if number else ""
            spans += [Span(gap + fill if column.right else gap), Span(text, style)]
            if not column.right:
                spans.append(Span(fill))
        if self.has_rest and any(span.text for span in rest):
            spans += [Span(" " * GAP), *rest]
        return cut(_without_trailing_blanks(spans), self._width, mark=self._mark)

    def _shortened(self, text: str, column: Column) -> str:
        left = column.width - len(self._mark)
        at_the_end = left // 2 if column.both_ends else 0
        return text[: left - at_the_end] + self._mark + text[len(text) - at_the_end :]


def _without_trailing_blanks(spans: Sequence[Span]) -> Line:
    kept = [span for span in spans if span.text]
    while kept and not kept[-1].text.strip():
        kept.pop()
    return tuple(kept)
