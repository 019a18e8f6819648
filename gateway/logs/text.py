"""What others wrote, made one harmless line; and exceptions without what they quote."""

import logging
import os
import re
from collections.abc import Iterator
from pathlib import PurePath
from traceback import walk_tb
from types import TracebackType

from gateway.errors import GatewayError

__all__ = ["failure_text", "message_of", "one_line", "without_addresses"]

MAX_LINE = 2000
"""Characters; far below what one datagram takes."""
MAX_FRAMES = 6
MAX_CAUSES = 3
OWN = "citylab_gateway"
_ADDRESS = re.compile(
    r"(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}([:_-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Fa-f])"
)


def one_line(text: str) -> str:
    """Return the text on one line, bounded; what would not show is shown as its escape."""
    whole = text if len(text) <= MAX_LINE else text[: MAX_LINE - 1] + "…"
    if whole.isprintable():
        return whole
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in whole
    )


def without_addresses(text: str) -> str:
    """Return the text without addresses of devices (PRIV-01)."""
    return _ADDRESS.sub("(address)", text)


def message_of(record: logging.LogRecord) -> str:
    """Return what a record says, on one line, with what failed behind it.

    Of a library's record only its first line is taken, and no address: the rest shows objects,
    and nobody knows what is in them.
    """
    text = record.getMessage()
    if record.name != OWN and not record.name.startswith(f"{OWN}."):
        text = without_addresses(text.partition("\n")[0])
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        text = f"{text}: {failure_text(error)}"
    return one_line(text)


def failure_text(error: BaseException) -> str:
    """Return what was raised and where, the innermost call first, and its causes.

    The words of an exception are told only if they are ours or the system's. Others may quote what
    could not be understood: a value of somebody's meter (PRIV-14).
    """
    return ", after ".join(f"{_named(each)} {_where(each.__traceback__)}" for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    for _ in range(MAX_CAUSES):
        if following is None:
            return
        yield following
        if isinstance(following, BaseExceptionGroup):
            following = following.exceptions[0]
        else:
            following = following.__cause__ or (
                None if following.__suppress_context__ else following.__context__
            )


def _named(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, GatewayError):
        return f"{name} ({error})"
    if isinstance(error, OSError) and error.errno:
        return f"{name} ({os.strerror(error.errno)})"
    return name


def _where(trace: TracebackType | None) -> str:
    """Return ``at serial_line.py:88 < supervisor.py:75``, files with their folder."""
    frames = [
        f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{line}"
        for frame, line in walk_tb(trace)
    ]
    return f"at {' < '.join(frames[: -MAX_FRAMES - 1 : -1])}" if frames else "(nowhere)"
