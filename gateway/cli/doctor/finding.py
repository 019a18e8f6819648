"""What ``doctor`` found out, and how it is printed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "State", "report", "worst"]

State = Literal["ok", "warn", "fail"]
ORDER: tuple[State, ...] = ("ok", "warn", "fail")
COLOURS = {"ok": "\x1b[32m", "warn": "\x1b[33m", "fail": "\x1b[31m"}
PLAIN = "\x1b[0m"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``fail``: data does not flow, or will be lost. ``warn``: it flows, and somebody should look.
    """

    state: State
    subject: str
    """What was looked at: ``broker aarhus``."""
    detail: str
    why: str = ""
    """What it means, for people; empty where all is well."""
    mend: str = ""
    """The command or the change that mends it."""
    cause: str = ""
    """The word that log and metrics use for it."""


def worst(findings: Sequence[Finding]) -> State:
    """Return the worst state among the findings; ``ok`` for none."""
    return max((finding.state for finding in findings), key=ORDER.index, default="ok")


def report(findings: Sequence[Finding], *, coloured: bool = False) -> Iterator[str]:
    """Yield the lines for a terminal: the state in words first, so that colour is no need."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        state = f"{finding.state:<4}"
        if coloured:
            state = f"{COLOURS[finding.state]}{state}{PLAIN}"
        yield f"{state}  {finding.subject:<{width}}  {finding.detail}"
        for text in (finding.why, f"mend: {finding.mend}" if finding.mend else ""):
            if text:
                yield f"{'':6}{text}"
    counts = [(state, sum(finding.state == state for finding in findings)) for state in ORDER]
    yield ", ".join(f"{count} {state}" for state, count in counts)
