"""How the log of a process is set up, and what it needs of whoever runs the event loop."""

import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

from gateway.logs.journal import SOCKET, is_journal
from gateway.logs.outputs import JournalOutput, Output, PlainOutput
from gateway.logs.repeats import AUDIT, Repeats

__all__ = ["EventHandler", "command_journal", "set_level", "set_up", "summarise"]

OWN = "citylab_gateway"


class EventHandler(logging.Handler):
    """Writes what ``Repeats`` lets through; ``close`` writes the counts that are still open."""

    def __init__(self, output: Output, now_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._output = output
        self._now_s = now_s
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        """Write or count one record; called by logging."""
        for line in self._repeats.admit(record, self._now_s()):
            self._output.write(line)

    def summarise(self) -> None:
        """Write the counts of the windows that are over."""
        with self.lock or contextlib.nullcontext():
            for line in self._repeats.due(self._now_s()):
                self._output.write(line)

    def close(self) -> None:
        """Write all counts that are still open, and end; called by logging at the exit."""
        with self.lock or contextlib.nullcontext():
            for line in self._repeats.rest(self._now_s()):
                self._output.write(line)
            self._output.close()
        super().close()


def set_up(
    level: str,
    *,
    stream: IO[str] | None = None,
    environ: Mapping[str, str] = os.environ,
    journal: Path | None = None,
) -> None:
    """Send the log of this process to the journal if ``stream`` (stderr) is its, else there."""
    out = sys.stderr if stream is None else stream
    output: Output = PlainOutput(out)
    if is_journal(out, environ):
        output = JournalOutput(PlainOutput(out, for_journal=True), journal or SOCKET)
    root = logging.getLogger()
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    root.addHandler(EventHandler(output))
    set_level(level)


def set_level(level: str) -> None:
    """Let through what is at least so grave: ``debug``, ``info``, ``warning`` or ``error``.

    Libraries are heard from warnings on: what they tell below that holds addresses and payloads.
    Audit events are written at every level.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.getLogger().setLevel(max(number, logging.WARNING))
    logging.getLogger(OWN).setLevel(number)
    logging.getLogger(AUDIT).setLevel(logging.INFO)


def summarise() -> None:
    """Write the counts that are due; to be called every second or so."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, EventHandler):
            handler.summarise()


@contextlib.contextmanager
def command_journal(journal: Path | None = None) -> Iterator[None]:
    """Let a command's audit events go to the journal, where there is one; to nobody else."""
    logger = logging.getLogger(AUDIT)
    before, was_passed_on = logger.level, logger.propagate
    handler = EventHandler(JournalOutput(PlainOutput(io.StringIO()), journal or SOCKET))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = was_passed_on
        handler.close()
