"""``citylab-gateway doctor``: what is wrong with this box, and the command that mends it."""

import argparse
import json
import os
import shutil
import sys
import threading
from pathlib import Path

from gateway.cli.common import DEFAULT_CONFIG, add_config_argument
from gateway.cli.doctor.area import examine, within
from gateway.cli.doctor.areas import AREAS
from gateway.cli.doctor.box import Box, open_box
from gateway.cli.doctor.config import REFUSED
from gateway.cli.doctor.finding import Finding, worst
from gateway.cli.doctor.report import document, lines, summary, wants_colour

__all__ = ["configure", "run"]

EXIT_OK = 0
EXIT_TO_MEND = 1
EXIT_CONFIG = 2
READ_TIMEOUT_S = 15.0
"""For configuration and unit files, on a disk that hangs."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``doctor``."""
    add_config_argument(parser)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument(
        "--no-publish",
        action="store_true",
        help="send no message to the brokers; usually one without content goes to the status topic",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the findings; return 0, 1 if something is to be mended, 2 if that is the configuration.

    It never waits for ever: what hangs is told, and left behind.
    """
    config: Path = arguments.config
    box = within(READ_TIMEOUT_S, lambda: open_box(config, publish=not arguments.no_publish))
    if box is None:
        print(f"error: {config or DEFAULT_CONFIG}: the disk does not answer", file=sys.stderr)
        code = EXIT_TO_MEND
    else:
        findings = _print(box, as_json=arguments.json)
        code = _exit_code(findings)
    if threading.active_count() > 1:  # Python would wait for a name look-up that hangs
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _print(box: Box, *, as_json: bool) -> list[Finding]:
    """Print each part as soon as it is known, or all of it as JSON."""
    findings: list[Finding] = []
    columns = shutil.get_terminal_size().columns
    coloured = wants_colour(sys.stdout)
    for area, found in examine(box, AREAS):
        findings += found
        if found and not as_json:
            shown = lines(area.title, found, columns=columns, coloured=coloured)
            print("\n".join(shown), flush=True)
    if as_json:
        print(json.dumps(document(findings), indent=2))
    else:
        print("\n".join(summary(findings, columns=columns, coloured=coloured)))
    return findings


def _exit_code(findings: list[Finding]) -> int:
    if any(finding.code == REFUSED.code for finding in findings):
        return EXIT_CONFIG
    return EXIT_TO_MEND if worst(findings) == "fail" else EXIT_OK
