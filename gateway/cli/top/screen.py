"""The terminal: borrowed as a whole, drawn on in one write a picture, given back as it was.

Plain control sequences that every terminal of the last thirty years knows, and no terminfo: over
SSH the box rarely knows what it is looked at with. Only lines that changed are written, over what
stood there: nothing is cleared first, so nothing flickers.
"""

import contextlib
import os
import termios
import tty
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["Screen", "keys"]

OTHER_SCREEN = "\x1b[?1049h"
OWN_SCREEN = "\x1b[?1049l"
HIDE_CURSOR = "\x1b[?25l"
SHOW_CURSOR = "\x1b[?25h"
NO_WRAP = "\x1b[?7l"
WRAP = "\x1b[?7h"
"""A full last line must not scroll the screen."""
BEGIN = "\x1b[?2026h"
END = "\x1b[?2026l"
"""Terminals that know it show the picture at once; the others pass over it."""
PLAIN = "\x1b[0m"
CLEAR = "\x1b[2J"
KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"b": "page up",
    b"\x1b[6~": "page down", b" ": "page down",
    b"\x1b[H": "top", b"g": "top",
    b"q": "quit", b"Q": "quit", b"\x03": "quit",
}  # fmt: skip
LONGEST_KEY = max(map(len, KEYS))


class Screen:
    """Draws pictures; ``enter`` before the first, ``leave`` after the last, as often as wanted."""

    def __init__(self, output: int, keyboard: int) -> None:
        self._output = output
        self._keyboard = keyboard
        self._before: list[Any] | None = None
        self._shown: list[str] = []
        self._size = (0, 0)

    @property
    def size(self) -> tuple[int, int]:
        """Return (columns, lines) as they are now."""
        columns, lines = os.get_terminal_size(self._output)
        return columns or 80, lines or 24  # a line without a window size says 0

    @property
    def has_keys(self) -> bool:
        """Tell whether there is a keyboard."""
        return os.isatty(self._keyboard)

    def enter(self) -> None:
        """Take the terminal's other screen, and each key at once and unseen."""
        if self.has_keys:
            self._before = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        self._size = (0, 0)
        self._write(OTHER_SCREEN + HIDE_CURSOR + NO_WRAP)

    def leave(self) -> None:
        """Give the terminal back as it was; one that is gone needs nothing."""
        with contextlib.suppress(OSError):
            self._write(PLAIN + WRAP + SHOW_CURSOR + OWN_SCREEN)
        if self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._keyboard, termios.TCSADRAIN, self._before)

    def show(self, lines: Sequence[str], size: tuple[int, int]) -> None:
        """Draw the lines of one picture made for this size, each as long as the screen is wide."""
        parts = []
        if size != self._size:
            parts.append(CLEAR)
            self._shown, self._size = [], size
        for number, text in enumerate(lines):
            if number >= len(self._shown) or self._shown[number] != text:
                parts.append(f"\x1b[{number + 1};1H{text}")
        self._shown = list(lines)
        if parts:
            self._write(BEGIN + "".join(parts) + END)

    def _write(self, text: str) -> None:
        data = text.encode("utf-8")
        while data:
            data = data[os.write(self._output, data) :]


def keys(data: bytes) -> Iterator[str]:
    """Yield what was pressed; unknown keys are passed over."""
    while data:
        size = next((n for n in range(LONGEST_KEY, 0, -1) if data[:n] in KEYS), 0)
        if size:
            yield KEYS[data[:size]]
        elif data.startswith(b"\x1b"):
            size = len(data)  # a sequence that nobody knows, as a whole
        data = data[size or 1 :]
