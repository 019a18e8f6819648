"""Questions to the person at the terminal: plain lines, readable on a phone over SSH."""

import getpass
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Person"]

MAX_WIDTH = 78
MIN_WIDTH = 20
T = TypeVar("T")


class Person:
    """Asks until an answer can be used. KeyboardInterrupt and EOFError are the caller's."""

    def __init__(self) -> None:
        try:
            # Importing it makes input() a line that can be edited.
            import readline  # noqa: F401, PLC0415
        except ModuleNotFoundError:
            return

    def say(self, text: str = "", *, indent: int = 0) -> None:
        """Print a paragraph, wrapped for this terminal as it is now."""
        width = max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size().columns))
        lead = " " * indent
        lines = textwrap.wrap(
            text,
            width,
            initial_indent=lead,
            subsequent_indent=lead,
            break_on_hyphens=False,
            break_long_words=sys.stdout.isatty(),  # a program wants a path in one piece
        )
        print("\n".join(lines), flush=True)

    def ask(self, question: str, check: Callable[[str], T], *, default: str = "") -> T:
        """Return the answer as ``check`` returns it; its ValueError is said, and asked again."""
        self.say(question)
        while True:
            answer = input(f"[{default}] > " if default else "> ").strip() or default
            try:
                return check(answer)
            except ValueError as error:
                self.say(f"{answer!r} {error}" if answer else "something has to be said here")

    def yes(self, question: str, *, default: bool | None) -> bool:
        """Return yes or no; with ``default`` None it has to be said."""
        choice = {True: "Y/n", False: "y/N", None: "y/n"}[default]
        self.say(question)
        while True:
            answer = input(f"[{choice}] > ").strip().lower()
            if not answer and default is not None:
                return default
            if answer in ("y", "yes", "j", "ja"):
                return True
            if answer in ("n", "no", "nej"):
                return False

    def secret(self, question: str) -> str:
        """Return what is typed without showing it."""
        self.say(question)
        return getpass.getpass("> ")
