"""A command on a real pseudo-terminal, and a small model of the screen that shows what it wrote."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

__all__ = ["OnTerminal", "Picture"]

READ_BYTES = 1 << 16
WAIT_S = 20.0
"""A hang, not a promise."""
POLL_S = 0.05
SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")
KNOWN_MODES = {"1049", "25", "7", "2026", "2004"}
TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""The command has to own its terminal, or Ctrl-C and the size would not reach it. Nor may it
inherit that Ctrl-C is ignored, as it is where tests run in the background."""


class Picture:
    """What a terminal of this size shows; a sequence that it does not know is an error."""

    def __init__(self, columns: int, lines: int) -> None:
        self.modes: dict[str, bool] = {}
        self.pictures = 0
        """Synchronised updates so far."""
        self.clears = 0
        self.resize(columns, lines)
        self._turned = False
        self._rest = ""

    def resize(self, columns: int, lines: int) -> None:
        """Begin with an empty screen; what was on its way to the old one is not looked at."""
        self._turned = True
        self.columns, self.lines = columns, lines
        self._cells = [[" "] * columns for _ in range(lines)]
        self._row = self._column = 0

    @property
    def rows(self) -> list[str]:
        """The lines of the screen, without blanks at their ends."""
        return ["".join(row).rstrip() for row in self._cells]

    @property
    def text(self) -> str:
        """The whole screen."""
        return "\n".join(self.rows)

    def feed(self, text: str) -> None:
        """Take what was written; sequences may come in pieces."""
        text, self._rest = self._rest + text, ""
        at = 0
        while at < len(text):
            char = text[at]
            if char == "\x1b":
                match = SEQUENCE.match(text, at)
                if match is None and len(text) - at < 12:
                    self._rest = text[at:]
                    return
                assert match is not None, f"no sequence that terminals know: {text[at : at + 12]!r}"
                self._control(*match.groups())
                at = match.end()
                continue
            self._put(char)
            at += 1

    def _control(self, private: str, numbers: str, final: str) -> None:
        if private:
            assert numbers in KNOWN_MODES, numbers
            self.modes[numbers] = final == "h"
            self.pictures += numbers == "2026" and final == "h"
        elif self._turned and final != "J":
            return
        elif final == "H":
            row, _, column = numbers.partition(";")
            self._row, self._column = int(row or 1) - 1, int(column or 1) - 1
            assert self._row < self.lines, "outside the screen"
        elif final == "J":
            assert numbers == "2"
            self.clears += 1
            self._turned = False
            self._cells = [[" "] * self.columns for _ in range(self.lines)]
        elif final in "KCDP":  # readline at work on its line
            if final == "K":
                self._cells[self._row][self._column :] = [" "] * (self.columns - self._column)
        else:
            assert final == "m", f"{numbers}{final}"

    def _put(self, char: str) -> None:
        if self._turned:
            return
        if char == "\r":
            self._column = 0
        elif char == "\n":
            self._down()
        elif char == "\b":
            self._column = max(0, self._column - 1)
        elif char not in "\a\0":
            if self._column >= self.columns:
                assert self.modes.get("7", True), "a line is longer than the screen is wide"
                self._column = 0
                self._down()
            self._cells[self._row][self._column] = char
            self._column += 1

    def _down(self) -> None:
        if self._row + 1 < self.lines:
            self._row += 1
            return
        self._cells = [*self._cells[1:], [" "] * self.columns]


class OnTerminal:
    """A command with a terminal of its own; ``with`` it, and nothing is left behind."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.picture = Picture(*size)
        self.written = ""
        """Everything that the command has written so far."""
        self.reads: list[str] = []
        self._arguments = list(arguments)
        self._heard = 0
        self._size = size
        self._env = {"PYTHONUTF8": "1", **(env or {})}

    def __enter__(self) -> Self:
        self.master, self._slave = pty.openpty()
        self._set_size(self._size)
        self.before = termios.tcgetattr(self._slave)
        # Those would be believed rather than the terminal itself.
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", TAKE_TERMINAL),
                *("-W", "error", "-m", "gateway.cli"),
                *self._arguments,
            ],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**inherited, "TERM": "xterm-256color", **self._env},
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for descriptor in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _set_size(self, size: tuple[int, int]) -> None:
        columns, lines = size
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    @property
    def settings(self) -> list[Any]:
        """The settings of the terminal as they are now."""
        return termios.tcgetattr(self._slave)

    def resize(self, columns: int, lines: int) -> None:
        """Let somebody turn the phone; the kernel tells the command."""
        self.picture.resize(columns, lines)
        self._set_size((columns, lines))

    def type(self, text: str) -> None:
        """Press keys; ``\\r`` is Enter."""
        os.write(self.master, text.encode())

    def signal(self, number: signal.Signals) -> None:
        """Send the command a signal."""
        self.process.send_signal(number)

    def read(self, timeout_s: float = POLL_S) -> bool:
        """Take what was written by now; False if nothing was."""
        if not select.select([self.master], [], [], timeout_s)[0]:
            return False
        try:
            data = os.read(self.master, READ_BYTES)
        except OSError:  # nobody has the other side any more
            return False
        text = data.decode("utf-8", "surrogateescape")
        self.written += text
        self.reads.append(text)
        self.picture.feed(text)
        return bool(text)

    def until(self, wanted: str | Callable[[], bool]) -> None:
        """Return when the screen shows a text, or something is true."""
        deadline = time.monotonic() + WAIT_S
        while not (wanted in self.picture.text if isinstance(wanted, str) else wanted()):
            if not self.read() and self.process.poll() is not None and not self.read():
                break
            if time.monotonic() > deadline:
                break
        else:
            return
        raise AssertionError(f"never came: {wanted}\n{self.picture.text}\n{self.written[-2000:]!r}")

    def said(self, text: str) -> None:
        """Return when a text was written after the last one that was waited for, and forget it.

        Line ends and blanks are all the same: a narrow terminal breaks lines anywhere.
        """
        wanted = "".join(text.split())
        deadline = time.monotonic() + WAIT_S
        while (at := self._place(wanted)) is None:
            ended = not self.read() and self.process.poll() is not None and not self.read()
            late = time.monotonic() > deadline
            if ended or late:
                raise AssertionError(f"never said {text!r}:\n{self.written[self._heard :]}")
        self._heard = at

    def _place(self, wanted: str) -> int | None:
        """Return where a text without blanks ends in what was not heard yet."""
        unread = SEQUENCE.sub(lambda each: " " * len(each[0]), self.written[self._heard :])
        places = [at for at, char in enumerate(unread) if not char.isspace()]
        found = "".join(unread.split()).find(wanted)
        return None if found < 0 else self._heard + places[found + len(wanted) - 1] + 1

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, then type the answer."""
        self.said(question)
        self.said(">")
        self.type(f"{text}\r")

    def ended(self) -> int:
        """Return the exit code when it has ended, with everything that it wrote read."""
        deadline = time.monotonic() + WAIT_S
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < deadline, f"does not end:\n{self.picture.text}"
        while self.read(0):
            pass
        return self.process.returncode
