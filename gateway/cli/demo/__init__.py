"""``citylab-gateway demo``: simulated sensors and cities around the real daemon.

Sensors write their real bytes to real pseudo-terminals, a beacon its advertisements into a pipe;
the daemon runs as a process of its own with a configuration file of its own; two embedded MQTT
brokers are the cities. Nothing in the daemon knows that this is a demo.
"""

import argparse
import asyncio
import sys

from gateway.cli import EXIT_FAILED

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``demo``."""
    parser.add_argument(
        "--seconds", type=float, default=0.0, metavar="S", help="end after so long (default: never)"
    )
    parser.add_argument(
        "--outage",
        type=float,
        default=0.0,
        metavar="S",
        help="take one city's broker down for so long, so that a backlog grows and drains",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulated devices")
    parser.add_argument(
        "--plain", action="store_true", help="lines of text instead of a live screen"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 1 if a reading was lost or the daemon did not start."""
    try:
        # Here, because amqtt and rich come with the extra `demo` only.
        from gateway.cli.demo.show import show  # noqa: PLC0415
    except ModuleNotFoundError as error:
        print(
            f"error: the demo needs {error.name}: pip install 'citylab-gateway[demo]'",
            file=sys.stderr,
        )
        return EXIT_FAILED
    return asyncio.run(show(arguments))
