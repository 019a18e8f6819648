"""``citylab-gateway buffer export``: readings as CSV or JSON Lines, oldest first."""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gateway.audit import audit_command
from gateway.buffer.inspect import Names
from gateway.buffer.retention import DEFAULT_RETENTION_S
from gateway.cli import EXIT_FAILED, EXIT_OK
from gateway.cli.buffer.output import open_output
from gateway.cli.buffer.readings import Source
from gateway.cli.buffer.rows import CsvRows, JsonRows, Rows
from gateway.cli.buffer.selection import OPEN_CLASSES, Selection
from gateway.cli.buffer.source import (
    add_source_arguments,
    configuration,
    data_directory,
    open_ring,
)
from gateway.cli.buffer.words import EPOCH_TEXT, parse_moment
from gateway.errors import ConfigError
from gateway.reading import PrivacyClass

__all__ = ["configure", "run"]

FORMATS = ("csv", "json")
MAX_NAMED = 10
"""Sensors that a notice names."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``buffer export``."""
    add_source_arguments(parser)
    parser.add_argument(
        "--format", choices=FORMATS, default="csv", help="csv, or json for JSON Lines"
    )
    for name, meaning in (("from", "not before this"), ("to", "before this")):
        parser.add_argument(
            f"--{name}", dest=f"{name}_text", metavar="TIME", help=f"{meaning}: {EPOCH_TEXT}"
        )
    for name in ("sensor", "quantity"):
        parser.add_argument(
            f"--{name}",
            action="append",
            default=[],
            metavar="PATTERN",
            help=f'only this {name}; "*" and "?" as in a shell; may be given several times',
        )
    parser.add_argument("--output", type=Path, metavar="FILE", help="instead of standard output")
    parser.add_argument(
        "--gateway", metavar="ID", help="for JSON Lines with --directory: whose readings these are"
    )
    parser.add_argument(
        "--include-p2", action="store_true", help="also readings of privacy class P2"
    )
    parser.add_argument(
        "--include-p3",
        action="store_true",
        help="also personal data (P3), and readings whose sensor nobody can name any more",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the readings; 1 if all that was asked for had to be withheld."""
    now_ns = time.time_ns()
    from_ns, to_ns = (
        None if text is None else parse_moment(text, key=key, now_ns=now_ns)
        for key, text in (("--from", arguments.from_text), ("--to", arguments.to_text))
    )
    if from_ns is not None and to_ns is not None and from_ns >= to_ns:
        raise ConfigError("is not before --to", key="--from", value=arguments.from_text)
    loaded = configuration(arguments)
    gateway = arguments.gateway or (loaded.gateway.id if loaded is not None else "")
    if arguments.format == "json" and not gateway:
        raise ConfigError("JSON Lines name the gateway", key="--gateway", allowed="its id")
    classes = _classes(arguments)
    with open_ring(data_directory(arguments, loaded)) as view:
        names = Names(view.directory)
        selection = Selection(names, from_ns, to_ns, arguments.sensor, arguments.quantity, classes)
        rows: Rows = CsvRows(names) if arguments.format == "csv" else JsonRows(names, gateway)
        source = Source(
            view,
            names,
            DEFAULT_RETENTION_S if loaded is None else loaded.buffer.retention.by_class(),
            {} if loaded is None else loaded.sensor_retention_s,
            shown=arguments.output is not None or not sys.stdout.isatty(),
        )
        with open_output(arguments.output) as output:
            output.write(rows.head())
            for batch, cutoffs_ns in source.batches():
                positions = selection.positions(batch, cutoffs_ns)
                if positions:
                    output.write(rows.rows(batch, positions))
    text = "export: %d readings of at most class %s were written"
    audit_command("export", text, selection.taken, max(classes))
    for notice in (*_notices(selection), *source.notices()):
        print(f"note: {notice}", file=sys.stderr)
    return EXIT_FAILED if selection.withheld and not selection.taken else EXIT_OK


def _classes(arguments: argparse.Namespace) -> frozenset[PrivacyClass]:
    """Return the privacy classes that may be written, and warn of what they mean."""
    classes = set(OPEN_CLASSES)
    if arguments.include_p2:
        classes.add("P2")
        print("warning: the export may hold P2 readings; keep it on the project", file=sys.stderr)
    if arguments.include_p3:
        classes.add("P3")
        print(
            "warning: the export may hold personal data (P3): it needs a purpose, a place where "
            "others cannot read it, and a day on which it is deleted",
            file=sys.stderr,
        )
    return frozenset(classes)


def _notices(selection: Selection) -> Iterator[str]:
    yield f"{selection.taken} readings written"
    for privacy, count in sorted(selection.withheld.items()):
        yield (
            f"{count} readings of class {privacy} withheld; "
            f"--include-{privacy.lower()} would write them"
        )
    if selection.withheld_sensors:
        named = sorted(selection.withheld_sensors)
        more = f" and {len(named) - MAX_NAMED} more" if len(named) > MAX_NAMED else ""
        yield f"withheld sensors: {', '.join(named[:MAX_NAMED])}{more}"
    if selection.expired:
        yield f"{selection.expired} readings left out, because their retention has ended"
    if selection.suppressed:
        yield f"{selection.suppressed} suppressed counts left out"
    if selection.unusable:
        yield f"{selection.unusable} values that are no finite number left out"
