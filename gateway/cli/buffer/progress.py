"""A progress line on a terminal, and nothing anywhere else."""

import sys
import time
from types import TracebackType
from typing import Self, TextIO

__all__ = ["Progress"]

WIDTH = 40
INTERVAL_S = 0.1


class Progress:
    """Shows ``[####....]  40 %  checking`` on standard error while it is a terminal.

    Call it with the units done so far. ``shown`` False keeps it silent in any case.
    """

    def __init__(
        self, label: str, total: int, *, shown: bool = True, stream: TextIO | None = None
    ) -> None:
        self._label = label
        self._total = max(1, total)
        self._stream = sys.stderr if stream is None else stream
        self._shown = shown and self._stream.isatty()
        self._due_s = 0.0
        self._length = 0

    def __call__(self, done: int) -> None:
        """Show how far it is, at most ten times a second."""
        if not self._shown or (now_s := time.monotonic()) < self._due_s:
            return
        self._due_s = now_s + INTERVAL_S
        part = min(1.0, done / self._total)
        bar = "#" * int(part * WIDTH)
        self._write(f"[{bar:.<{WIDTH}}] {part:4.0%}  {self._label}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._length:
            self._write("")
            self._stream.write("\r")
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(f"\r{text:<{self._length}}")
        self._stream.flush()
        self._length = len(text)
