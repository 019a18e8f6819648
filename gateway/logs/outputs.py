"""Where lines go: to the journal with their fields, or as plain text to a terminal or a file."""

import contextlib
import logging
import re
import time
from pathlib import Path
from typing import IO, Protocol

from gateway.logs.journal import SOCKET, JournalSocket
from gateway.logs.repeats import AUDIT, Line

__all__ = ["JournalOutput", "Output", "PlainOutput", "event_of", "fields_of", "priority"]

IDENTIFIER = "citylab-gateway"
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
DEBUG_PRIORITY = 7
SENSOR_TASK, LINK_TASK = "sensor:", "link:"
"""How the supervisor's tasks are named (gateway/station.py)."""
MAX_EVENT_WORDS = 6
_PLACEHOLDER = re.compile(r"%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]")
_WORD = re.compile(r"[a-z]+")


class Output(Protocol):
    """Takes lines; never waits for long, and never raises."""

    def write(self, line: Line) -> None:
        """Write one line."""
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...


class PlainOutput:
    """One line of text each: time, level, logger, message; or with the priority in front."""

    def __init__(self, stream: IO[str], *, for_journal: bool = False) -> None:
        """``for_journal``: each line begins with ``<4>``, as sd-daemon(3) says, without a time."""
        self._stream = stream
        self._for_journal = for_journal

    def write(self, line: Line) -> None:
        """Write one line; a stream that is closed or broken is no reason to fail."""
        record = line.record
        if self._for_journal:
            head = f"<{priority(record.levelno)}>"
        else:
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
            head = f"{when},{record.msecs:03.0f} "
        text = f"{head}{record.levelname} {record.name}: {line.text}\n"
        with contextlib.suppress(OSError, ValueError):
            try:
                self._stream.write(text)
            except UnicodeEncodeError:  # a terminal that knows ASCII only
                self._stream.write(text.encode("ascii", "backslashreplace").decode("ascii"))
            self._stream.flush()

    def close(self) -> None:
        """Leave the stream to whoever opened it."""


class JournalOutput:
    """Entries with fields; where the journal's socket is missing, lines for its stream.

    A journal that is behind is not waited for: the event loop must not stand still for a log. What
    it did not take is counted, and told with the next line that it takes.
    """

    def __init__(self, instead: Output, path: Path = SOCKET) -> None:
        self._socket = JournalSocket(path)
        self._instead = instead
        self._lost = 0
        self._lost_errors = 0

    def write(self, line: Line) -> None:
        """Send one line."""
        if self._send(fields_of(line), line) and self._lost:
            lost, self._lost = self._lost, 0
            errors, self._lost_errors = self._lost_errors, 0
            text = f"the journal was behind: {lost} lines were not taken, {errors} of them errors"
            fields = {"MESSAGE": text, "PRIORITY": "4", "EVENT": "log-lines-lost"}
            self._send({**fields, "SYSLOG_IDENTIFIER": IDENTIFIER}, line)

    def _send(self, fields: dict[str, str], line: Line) -> bool:
        try:
            self._socket.send(fields)
        except BlockingIOError:
            self._lost += 1
            self._lost_errors += line.record.levelno >= logging.ERROR
            return False
        except OSError:
            self._instead.write(line)
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._instead.close()


def priority(level: int) -> int:
    """Return what syslog calls a level."""
    return next((number for least, number in PRIORITIES if level >= least), DEBUG_PRIORITY)


def fields_of(line: Line) -> dict[str, str]:
    """Return the fields of one entry; docs/operate.md says what each means."""
    record = line.record
    fields = {
        "MESSAGE": line.text,
        "PRIORITY": str(priority(record.levelno)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "LOGGER": record.name,
        "EVENT": getattr(record, "event", "") or event_of(str(record.msg)),
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "TASK": line.about,
        "SENSOR": _behind(SENSOR_TASK, line.about),
        "LINK": _behind(LINK_TASK, line.about),
        "REPEATED": str(line.times) if line.times > 1 else "",
        "AUDIT": "1" if record.name == AUDIT or getattr(record, "audit", False) else "",
    }
    return {name: value for name, value in fields.items() if value}


def event_of(template: str) -> str:
    """Return the wording of a record without what differs: ``link-up`` of ``%s: link up (%s)``."""
    words = _WORD.findall(_PLACEHOLDER.sub(" ", template.lower()))
    return "-".join(words[:MAX_EVENT_WORDS])


def _behind(prefix: str, about: str) -> str:
    return about[len(prefix) :] if about.startswith(prefix) else ""
