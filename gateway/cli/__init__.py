"""The command line: one module a command, imported only when it is called."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from gateway import __version__
from gateway.errors import ConfigError, ConfigErrors, GatewayError

__all__ = ["COMMANDS", "EXIT_CONFIG", "EXIT_FAILED", "EXIT_OK", "main"]

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_CONFIG = 2

COMMANDS = {
    "init": "set up a new gateway: find its sensors, write its configuration",
    "run": "the daemon: read the sensors, keep the readings, forward them",
    "check": "validate a configuration and say what would run",
    "doctor": "what is wrong with this box, and what mends it",
    "top": "what the running daemon does, live, on this terminal",
    "describe": "what leaves for which broker, for people, portals and brokers",
    "reload": "let the running daemon apply its changed configuration",
    "buffer": "the ring buffer: stat, check, export, purge",
    "demo": "simulated sensors and brokers, the whole path, nothing to set up",
    "scan": "find out what is at the serial ports, or heard by Bluetooth",
    "record": "write the raw bytes of sensors to a file",
    "replay": "play a recording through its driver and print the readings",
    "drivers": "list the drivers that are installed",
}


class Command(Protocol):
    """What a module of this package offers."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return 0 fine, 1 failed, 2 wrong usage or configuration."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="citylab-gateway",
        description="From the sensors of a street cabinet to the brokers of several cities.",
    )
    parser.add_argument("--version", action="version", version=f"citylab-gateway {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in arguments if word in COMMANDS), "")
    modules: dict[str, Command] = {}
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(name, help=summary, description=summary.capitalize())
        if name == wanted:  # the others need no import to be listed
            modules[name] = cast("Command", importlib.import_module(f"gateway.cli.{name}"))
            modules[name].configure(subparser)
    parsed = parser.parse_args(arguments)
    try:
        return modules[parsed.command].run(parsed)
    except ConfigErrors as errors:
        for error in errors.errors:
            print(f"error: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_CONFIG
    except GatewayError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except BrokenPipeError:  # `| head` has seen enough; what is still buffered goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
