"""The last things that happened to this gateway, taken from its log: a short list in memory."""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gateway.observe.words import redacted

__all__ = ["Event", "EventLog"]

ROOT = "citylab_gateway"
TELLERS = ("audit", "clock", "daemon", "forward")
"""Loggers below ``ROOT`` that tell of events: starts, reloads, links, certificates, clock, purges.

The others tell of ports and devices, whose names may tell a serial number.
"""
AUDIT = f"{ROOT}.audit"
MAX_EVENTS = 30


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log, on one line, without addresses of devices; boot time in ns."""

    time_ns: int
    level: str
    """``info``, ``warning`` or ``error``."""
    said: str
    times: int = 1
    audit: bool = False
    """It tells who may see what, or who removed what (SEC-11)."""

    @property
    def text(self) -> str:
        """Return what was said, and how often if that was more than once."""
        return self.said if self.times == 1 else f"{self.said} ({self.times} times)"


class EventLog(logging.Handler):
    """Keeps the newest events while it is used with ``with``."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__(logging.INFO)
        self._now_ns = now_ns
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)

    @property
    def events(self) -> list[Event]:
        """Return them, the newest first."""
        return list(reversed(self._events))

    def __enter__(self) -> Self:
        logging.getLogger(ROOT).addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        logging.getLogger(ROOT).removeHandler(self)
        self.close()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record if it tells of an event; called by logging."""
        if record.name.split(".")[1:2] and record.name.split(".")[1] in TELLERS:
            level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
            audit = record.name == AUDIT or getattr(record, "audit", False) is True
            self._keep(level, redacted(record.getMessage()), audit=audit)

    def _keep(self, level: str, said: str, *, audit: bool) -> None:
        """Put it in front; the same said again takes no second place."""
        times = 1
        for old in self._events:
            if (old.level, old.said, old.audit) == (level, said, audit):
                times += old.times
                self._events.remove(old)
                break
        self._events.append(Event(self._now_ns(), level, said, times, audit))
