"""``citylab-gateway buffer check``: verify everything, and change nothing."""

import argparse
import json
from dataclasses import asdict

from gateway.buffer.inspect import BootTimes, Names, RingView
from gateway.cli import EXIT_FAILED, EXIT_OK
from gateway.cli.buffer.progress import Progress
from gateway.cli.buffer.source import (
    add_source_arguments,
    configuration,
    data_directory,
    open_ring,
)
from gateway.cli.buffer.verify import PASSES, Finding, Verifier

__all__ = ["configure", "run"]

MAX_SHOWN = 1000
"""Findings that are printed; all are counted."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``buffer check``."""
    add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print what is wrong and where; return 1 if anything is damaged."""
    path = data_directory(arguments, configuration(arguments))
    with open_ring(path) as view:
        found: list[Finding] = []
        more = 0
        counts = {"damage": 0, "note": 0}
        with Progress("checking", PASSES * view.blocks) as progress:
            verifier = Verifier(
                view,
                Names(view.directory),
                BootTimes(view.directory),
                whole_directory=path.is_dir(),
                tick=progress,
            )
            for finding in verifier.findings():
                counts[finding.kind] += finding.blocks
                if len(found) < MAX_SHOWN:
                    found.append(finding)
                else:
                    more += 1
    damage, notes = counts["damage"], counts["note"]
    if arguments.json:
        print(json.dumps(_document(view, verifier, damage, notes, found), indent=2))
    else:
        for finding in found:
            print(_line(finding))
        if more:
            print(f"and {more} more")
        print(
            f"{view.path}: {verifier.blocks} blocks with {verifier.readings} readings are good; "
            f"damaged: {damage}, to know: {notes}"
        )
    return EXIT_FAILED if damage else EXIT_OK


def _document(
    view: RingView, verifier: Verifier, damage: int, notes: int, found: list[Finding]
) -> dict[str, object]:
    return {
        "ring": str(view.path),
        "good_blocks": verifier.blocks,
        "good_readings": verifier.readings,
        "damage": damage,
        "notes": notes,
        "findings": [asdict(finding) for finding in found],
    }


def _line(finding: Finding) -> str:
    where = ""
    if finding.block is not None:
        where = f"block {finding.block} "
        if finding.blocks > 1:
            where = f"blocks {finding.block} to {finding.block + finding.blocks - 1} "
    if finding.offset is not None:
        where += f"at byte {finding.offset} "
    word = "damage" if finding.kind == "damage" else "note"
    return f"{word}: {where.rstrip()}{': ' if where else ''}{finding.text}"
