"""``citylab-gateway drivers``: list the drivers that are installed."""

import argparse
import json
import shutil
import textwrap
from dataclasses import asdict

from gateway.driver import DriverInfo, driver_class, driver_names
from gateway.quantities import registry

__all__ = ["configure", "run"]

INDENT = 4
MIN_WIDTH, MAX_WIDTH = 40, 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``drivers``."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print each driver, how it is connected, and what it yields."""
    infos = [cls.info for name in driver_names() if (cls := driver_class(name)) is not None]
    if arguments.json:
        print(json.dumps([asdict(info) for info in infos], indent=2))
        return 0
    indent = " " * INDENT
    width = max(MIN_WIDTH, min(MAX_WIDTH, shutil.get_terminal_size().columns))
    for info in infos:
        head = f"{info.name}  {info.domain}  {info.title}"
        about = f"{_connection(info)}; yields {_yields(info)}"
        print(textwrap.fill(head, width, subsequent_indent=indent, break_on_hyphens=False))
        print(textwrap.fill(about, width, initial_indent=indent, subsequent_indent=indent))
    return 0


def _yields(info: DriverInfo) -> str:
    if len(info.quantities) >= len(registry()):
        return "what you describe"
    return ", ".join(info.quantities)


def _connection(info: DriverInfo) -> str:
    if not info.lines:
        return "Bluetooth"
    return " or ".join(
        f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}" for line in info.lines
    )
