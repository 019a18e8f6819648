"""How findings are printed: for a terminal of any width, and as JSON."""

import os
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any, TextIO

from gateway import __version__
from gateway.cli.doctor.finding import ORDER, Finding, State, worst

__all__ = ["JSON_SCHEMA_VERSION", "document", "lines", "summary", "wants_colour"]

JSON_SCHEMA_VERSION = 1
WORDS: dict[State, str] = {"ok": "ok", "skip": "skip", "warn": "warn", "fail": "FAIL"}
COLOURS: dict[State, str] = {
    "ok": "\x1b[32m",
    "skip": "\x1b[36m",
    "warn": "\x1b[33m",
    "fail": "\x1b[31m",
}
PLAIN = "\x1b[0m"
INDENT = "      "
MIN_COLUMNS = 30
MAX_COLUMNS = 100
COUNTED: dict[State, str] = {
    "ok": "in order",
    "skip": "not looked at",
    "warn": "to look at",
    "fail": "to mend",
}


def wants_colour(stream: TextIO) -> bool:
    """Tell whether colours help: on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def lines(
    title: str, findings: Sequence[Finding], *, columns: int, coloured: bool
) -> Iterator[str]:
    """Yield the lines about one subject; the state is a word, so that colour is no need.

    A command is never broken over lines: it is there to be copied.
    """
    columns = min(max(columns, MIN_COLUMNS), MAX_COLUMNS)
    yield title
    for finding in findings:
        head, *more = _wrapped(f"{finding.subject}: {finding.detail}", columns)
        yield _word(finding.state, coloured=coloured) + head
        yield from (INDENT + each for each in more)
        if finding.why:
            yield from (INDENT + each for each in _wrapped(finding.why, columns))
        if finding.mend:
            yield f"{INDENT}mend: {finding.mend}"


def summary(findings: Sequence[Finding], *, columns: int, coloured: bool) -> Iterator[str]:
    """Yield the last lines: what is left on the screen when the rest has scrolled away."""
    columns = min(max(columns, MIN_COLUMNS), MAX_COLUMNS)
    yield ""
    for state in ("fail", "warn"):
        for finding in findings:
            if finding.state == state:
                head, *more = _wrapped(f"{finding.subject}: {finding.code}", columns)
                yield _word(finding.state, coloured=coloured) + head
                yield from (INDENT + each for each in more)
    counts = {state: sum(each.state == state for each in findings) for state in reversed(ORDER)}
    text = ", ".join(f"{count} {COUNTED[state]}" for state, count in counts.items() if count)
    yield from textwrap.wrap(text, columns)


def document(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return what ``--json`` prints; keys are added, and never change their meaning."""
    return {
        "schema": JSON_SCHEMA_VERSION,
        "software": {"name": "citylab-gateway", "version": __version__},
        "state": worst(findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _word(state: State, *, coloured: bool) -> str:
    word = f"{WORDS[state]:<{len(INDENT)}}"
    return f"{COLOURS[state]}{word}{PLAIN}" if coloured else word


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(
        text, columns - len(INDENT), break_long_words=False, break_on_hyphens=False
    ) or [""]
