"""``citylab-gateway drivers``: list the drivers that are installed."""

import argparse
import json
from dataclasses import asdict

from gateway.driver import DriverInfo, driver_class, driver_names

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``drivers``."""
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print one line a driver and what it yields."""
    infos = [cls.info for name in driver_names() if (cls := driver_class(name)) is not None]
    if arguments.json:
        print(json.dumps([asdict(info) for info in infos], indent=2))
        return 0
    for info in infos:
        print(f"{info.name:<10} {info.domain:<8} {info.title}")
        print(f"{'':<10} {_connection(info)}; yields {', '.join(info.quantities)}")
    return 0


def _connection(info: DriverInfo) -> str:
    if not info.lines:
        return "Bluetooth"
    return " or ".join(
        f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}" for line in info.lines
    )
