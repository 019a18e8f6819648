"""Counts, for each driver, how many frames of which capture file it reads as the file expects.

``python -m tests.drivers.captures.counting --write`` writes the counts to docs/captures.json, from
which a table of docs/drivers.md is made; without ``--write`` it prints them, and all differences.
"""

import importlib
import json
import sys
from functools import cache
from pathlib import Path

from tests.drivers.captures.parts import CUTS, Family, Frame, disagreement, load

__all__ = ["PAGE", "Counts", "all_families", "count", "differences", "verdict"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "captures.json"
OTHERS = frozenset({"parts", "adverts", "counting", "test_captures"})
"""Modules of this package without families."""

Counts = dict[str, list[dict[str, str | int]]]
"""Driver -> ``file``, number of ``frames``, of those ``as_expected`` and those ``explained``."""


@cache
def all_families() -> tuple[Family, ...]:
    """Return the families of all modules of this package that have some."""
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("*.py"))
    modules = [
        importlib.import_module(f"tests.drivers.captures.{name}")
        for name in names
        if name not in OTHERS
    ]
    found = [family for module in modules for family in getattr(module, "FAMILIES", ())]
    return tuple(sorted(found, key=lambda family: (family.driver, family.file)))


def verdict(family: Family, frame: Frame) -> str:
    """Return ``as_expected``, ``explained``, or in words what is wrong."""
    outcomes = family.run(family, frame, frame.data, CUTS["whole"])
    difference = family.difference(frame)
    differs = disagreement(family, frame, family.wanted(frame), outcomes)
    if difference is None:
        return differs or "as_expected"
    if not differs:
        return "is as the capture expects: the difference that is listed is none"
    return disagreement(family, frame, difference.instead, outcomes) or "explained"


def count() -> Counts:
    """Return the counts of all files that are there, without frames that are wrong."""
    counts: Counts = {}
    for family in all_families():
        frames = load(family)
        if frames is None or not family.counted:
            continue
        verdicts = [verdict(family, frame) for frame in frames]
        counts.setdefault(family.driver, []).append(
            {
                "file": family.file,
                "frames": len(frames),
                "as_expected": verdicts.count("as_expected"),
                "explained": verdicts.count("explained"),
            }
        )
    return counts


def differences() -> list[str]:
    """Return each difference in a line."""
    return [
        f"{family.driver}: {family.file} {frame.number} ({frame.kind}): {difference.reason}"
        for family in all_families()
        if family.counted
        for frame in load(family) or ()
        if (difference := family.difference(frame)) is not None
    ]


def main(arguments: list[str]) -> None:
    """Write or print the counts."""
    text = json.dumps(count(), indent=2) + "\n"
    if arguments == ["--write"]:
        PAGE.write_text(text, encoding="utf-8")
    else:
        print(text, *differences(), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
