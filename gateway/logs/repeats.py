"""Which records are written, and which are only counted because the same was said just before."""

import logging
import re
from copy import copy
from dataclasses import dataclass

from gateway.about import ABOUT
from gateway.logs.text import message_of

__all__ = ["BURST", "MAX_RUNS", "WINDOW_S", "Line", "Repeats"]

WINDOW_S = 60.0
BURST = 5
"""So often the same is written within a window before the rest is counted."""
MAX_RUNS = 256
"""Different things that are counted at a time; beyond that the oldest count is written early."""
_NUMBER = re.compile(r"(?<![\w./:-])\d+(?:\.\d+)?(?![\w/:-])")
"""A number that stands alone: a count or a time, and no part of a name or a port."""
AUDIT = "citylab_gateway.audit"

_Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log; ``times`` is above 1 for a summary of what was only counted."""

    record: logging.LogRecord
    """Without arguments and exception; its message is ``text``."""
    text: str
    about: str
    times: int = 1


@dataclass(slots=True)
class _Run:
    """The same thing, said again and again."""

    began_s: float
    last: Line
    level: int
    times: int = 1
    held: int = 0
    """Of those, how many were counted only."""
    may_pass: int = BURST - 1


class Repeats:
    """Writes the first of a kind, and soon counts; times are seconds of one clock.

    Two records are the same if they come from the same logger and task and say the same, numbers
    aside (of audit events: numbers, too). The first always passes, and so does what is graver than
    what was written. A summary tells how often it was said in the window, written ones included.
    No count is lost, neither at the end (``rest``) nor when too many different things are said.
    """

    def __init__(self) -> None:
        self._runs: dict[_Key, _Run] = {}

    def admit(self, record: logging.LogRecord, now_s: float) -> list[Line]:
        """Return what is to be written now: summaries that are due, and the record if it passes."""
        lines = self.due(now_s)
        line = _line(record)
        key = _key(line)
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= MAX_RUNS:
                lines += self._end(next(iter(self._runs)), now_s)
            self._runs[key] = _Run(now_s, line, record.levelno)
            return [*lines, line]
        run.times += 1
        run.last = line
        if record.levelno > run.level:
            run.level, run.may_pass = record.levelno, BURST
        if run.may_pass == 0:
            run.held += 1
            return lines
        run.may_pass -= 1
        return [*lines, line]

    def due(self, now_s: float) -> list[Line]:
        """Return the summaries of the windows that are over."""
        over = []
        for key, run in self._runs.items():  # in the order in which they began
            if now_s - run.began_s < WINDOW_S:
                break
            over.append(key)
        return [line for key in over for line in self._end(key, now_s)]

    def rest(self, now_s: float) -> list[Line]:
        """Return the summaries of all windows, over or not."""
        return [line for key in list(self._runs) for line in self._end(key, now_s)]

    def _end(self, key: _Key, now_s: float) -> list[Line]:
        run = self._runs.pop(key)
        if run.held == 0:
            return []
        seconds = max(1, round(now_s - run.began_s))
        text = f"{run.last.text} … {run.times} times in {seconds} s"
        return [Line(run.last.record, text, run.last.about, run.times)]


def _line(record: logging.LogRecord) -> Line:
    slim = copy(record)  # without what the record keeps alive: arguments, frames of an exception
    slim.args, slim.exc_info = None, None
    about = str(getattr(record, "about", "") or ABOUT.get())
    return Line(slim, message_of(record), about)


def _key(line: Line) -> _Key:
    """Return what makes two records the same."""
    record = line.record
    if record.name == AUDIT:
        return record.name, line.text, line.about
    return record.name, _NUMBER.sub("#", line.text), line.about
