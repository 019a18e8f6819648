"""What ``doctor`` found out: a finding, and the kinds of trouble that findings are made of."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "COMMON",
    "DEFECT",
    "NOT_SEEN",
    "NO_ANSWER",
    "OK",
    "Finding",
    "State",
    "Trouble",
    "worst",
]

State = Literal["ok", "skip", "warn", "fail"]
ORDER: tuple[State, ...] = ("ok", "skip", "warn", "fail")
OK = "ok"
"""The code of every finding that is no trouble."""
ADDRESS = re.compile(r"(?<![\w/:.-])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:-])")
"""A device's address that stands by itself; in the path of a port it is part of a name."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    ``fail``: data does not flow, or will be lost. ``warn``: it flows, and somebody should look.
    ``skip``: it could not be looked at from here.
    """

    state: State
    code: str
    """``ok``, or the word for the trouble; docs/operate.md has them all."""
    subject: str
    """What was looked at: ``broker aarhus``."""
    detail: str
    why: str = ""
    """What it means, for people; empty where all is well."""
    mend: str = ""
    """The command or the change that mends it."""
    cause: str = ""
    """Of a broker: the word that log and metrics use for it (docs/causes.md)."""
    area: str = ""
    """Which part of doctor looked."""

    @classmethod
    def fine(cls, subject: str, detail: str) -> "Finding":
        """Return a finding that all is well."""
        return cls("ok", OK, subject, detail)


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that can be wrong: its code, how bad it is, why it matters and what mends it."""

    code: str
    state: State
    why: str
    mend: str = ""
    """With {names} that the finding fills in."""

    def found(
        self, subject: str, detail: str, *, why: str = "", cause: str = "", **names: object
    ) -> Finding:
        """Return the finding that this is wrong with ``subject``; ``why`` replaces the usual."""
        mend = _discreet(self.mend.format_map(names))
        return Finding(
            self.state, self.code, subject, _discreet(detail), why or self.why, mend, cause
        )


NOT_SEEN = Trouble(
    "not_seen",
    "skip",
    "It could not be looked at from here, which says nothing about whether it is right.",
    "{how}",
)
NO_ANSWER = Trouble(
    "no_answer",
    "warn",
    "Something that doctor asked hangs, and may hang the gateway as well.",
    "sudo dmesg --level=err,warn; then try again",
)
DEFECT = Trouble(
    "defect",
    "warn",
    "This part of doctor itself failed; what it looks at is not known.",
    "report it with the lines above it and `citylab-gateway --version`",
)
COMMON = (NOT_SEEN, NO_ANSWER, DEFECT)
"""What any part of doctor may find."""


def _discreet(text: str) -> str:
    """Return a text without the addresses of devices."""
    return ADDRESS.sub("(address)", text)


def worst(findings: Iterable[Finding]) -> State:
    """Return the worst state among the findings; ``ok`` for none."""
    return max((finding.state for finding in findings), key=ORDER.index, default="ok")
