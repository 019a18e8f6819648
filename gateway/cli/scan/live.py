"""A terminal that shows the present state, drawn anew in one piece so that it never flickers."""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

__all__ = ["LiveScreen", "can_be_live"]

ENTER = "\x1b[?1049h\x1b[?25l"
"""To the other screen, so that what the person did before stays where it is; no cursor."""
LEAVE = "\x1b[?25h\x1b[?1049l"
HOME = "\x1b[H"
END_OF_LINE = "\x1b[K"
END_OF_SCREEN = "\x1b[J"


def can_be_live() -> bool:
    """Tell whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class LiveScreen:
    """``draw`` is given width and height, and returns at most so many lines of that width."""

    def __init__(self, draw: Callable[[int, int], Sequence[str]]) -> None:
        self._draw = draw

    def __enter__(self) -> Self:
        _write(ENTER)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _write(LEAVE)

    def update(self) -> None:
        """Show the present state: old lines are overwritten, not wiped first."""
        width, height = shutil.get_terminal_size()
        width -= 1  # behind the last column there is no saying what a terminal does
        lines = (f"{line[:width]}{END_OF_LINE}" for line in self._draw(width, height)[:height])
        _write(HOME + "\r\n".join(lines) + END_OF_SCREEN)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
