"""``citylab-gateway buffer stat``: what the ring holds and how long it still lasts."""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from gateway.buffer.wear import card_life_years
from gateway.cli.buffer.figures import Figures, Rate, figures
from gateway.cli.buffer.source import (
    add_source_arguments,
    configuration,
    data_directory,
    open_ring,
)
from gateway.cli.buffer.words import age_text, bytes_text, parse_endurance
from gateway.errors import GatewayError

__all__ = ["configure", "run"]

SHOWN_BOOTS = 5
HOURS_PER_YEAR = 24 * 365.25
BYTES_PER_TB = 1e12


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``buffer stat``."""
    add_source_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")
    parser.add_argument(
        "--endurance",
        metavar="SIZE",
        help='what the maker promises that can be written to the card, such as "32 TB"',
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the figures; return 0."""
    endurance = None if arguments.endurance is None else parse_endurance(arguments.endurance)
    path = data_directory(arguments, configuration(arguments))
    with open_ring(path) as view:
        try:
            found = figures(view)
        except OSError as error:
            raise GatewayError(f"{view.path} cannot be read: {error.strerror}") from error
    life_years = _life_years(found.rate, endurance)
    if arguments.json:
        print(json.dumps(_document(found, endurance, life_years), indent=2))
    else:
        lines = [*_lines(found), *_wear_lines(found, endurance, life_years)]
        print("\n".join(f"{key:<10} {text}" for key, text in lines))
    return 0


def _life_years(rate: Rate | None, endurance: int | None) -> float | None:
    if rate is None or endurance is None:
        return None
    return card_life_years(rate.bytes_per_day, endurance_tb=endurance / BYTES_PER_TB)


def _document(found: Figures, endurance: int | None, life_years: float | None) -> dict[str, Any]:
    document = asdict(found)
    rate = found.rate
    if rate is not None:
        document["rate"] |= {
            "readings_per_s": rate.readings_per_s,
            "blocks_per_h": rate.blocks_per_h,
            "bytes_per_day": rate.bytes_per_day,
            "bytes_per_reading": rate.bytes_per_reading,
        }
    document["endurance_bytes"] = endurance
    document["card_life_years"] = life_years
    return document


def _lines(found: Figures) -> Iterator[tuple[str, str]]:
    yield "ring", f"{found.ring}, format version {found.format_version}, epoch {found.epoch}"
    used = found.blocks_used / found.blocks
    yield (
        "size",
        f"{bytes_text(found.size_bytes)} in {found.blocks} blocks, {used:.1%} used",
    )
    span = f", {found.oldest_time} to {found.newest_time}" if found.readings else ""
    yield "readings", f"{found.readings}{span}"
    yield "rate", _rate_text(found.rate)
    yield "room", _room_text(found)
    for link in found.links:
        text = f"{link.name}: {link.pending} pending"
        if link.oldest_pending is not None:
            text += f", oldest {link.oldest_pending}, safe for {age_text(link.hours_until_loss)}"
        if link.overwritten:
            text += f"; {link.overwritten} of them are overwritten already"
        yield "link", text
    hidden = len(found.boots) - SHOWN_BOOTS
    if hidden > 0:
        yield "boots", f"{hidden} earlier ones"
    for boot in found.boots[-SHOWN_BOOTS:]:
        yield "boot", f"{boot.number}: since {boot.started}, clock {boot.clock}"
    files = f"series.json {found.series_file}, boots.json {found.boots_file}"
    yield "series", f"{found.series}; {files}"
    yield "damage", _damage_text(found)


def _rate_text(rate: Rate | None) -> str:
    if rate is None:
        return "unknown: the newest run of the daemon left less than a minute of readings"
    run = "the newest run of the daemon" if rate.epoch_only else "the newest boot"
    return (
        f"{rate.readings_per_s:.4g} readings/s, {rate.bytes_per_reading:.4g} bytes each; measured "
        f"over the newest {rate.blocks} blocks, {age_text(rate.seconds / 3600)} of {run}"
    )


def _room_text(found: Figures) -> str:
    if found.hours_until_full is None or found.hours_when_full is None:
        return "unknown without a rate"
    whole = age_text(found.hours_when_full)
    if found.blocks_used == found.blocks:
        return f"the ring has come round and holds about {whole} at this rate"
    return f"full in {age_text(found.hours_until_full)} at this rate; holds about {whole} then"


def _damage_text(found: Figures) -> str:
    parts = []
    if found.damaged_super_blocks:
        parts.append("one super block is destroyed")
    if found.set_aside_blocks or found.set_aside_files:
        parts.append(
            f"{found.set_aside_blocks} blocks and {found.set_aside_files} files lie in damaged/"
        )
    return ("; ".join(parts) or "none known") + " (`buffer check` reads everything)"


def _wear_lines(
    found: Figures, endurance: int | None, life_years: float | None
) -> Iterator[tuple[str, str]]:
    if found.rate is None:
        yield "wear", "unknown without a rate"
        return
    text = f"{bytes_text(found.rate.bytes_per_day)} of blocks a day"
    if life_years is not None and endurance is not None:
        text += f"; {bytes_text(endurance)} last {age_text(life_years * HOURS_PER_YEAR)}"
        text += ", if the card itself writes no more than it is given"
    yield "wear", text
