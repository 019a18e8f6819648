"""``citylab-gateway buffer``: look into the ring buffer, beside the daemon or in a copy."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from gateway.cli.buffer import check, export, purge, stat

__all__ = ["ACTIONS", "Action", "configure", "run"]


class Action(NamedTuple):
    """One word behind ``buffer``."""

    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


ACTIONS = {
    "stat": Action(
        "what the ring holds, how long it still lasts, what each link waits for",
        stat.configure,
        stat.run,
    ),
    "check": Action(
        "verify everything, read only; exit code 1 if anything is damaged",
        check.configure,
        check.run,
    ),
    "export": Action("readings as CSV or JSON Lines", export.configure, export.run),
    "purge": Action(
        "remove readings for ever, of one sensor or of all", purge.configure, purge.run
    ),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the actions and their arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, action in ACTIONS.items():
        text = action.summary
        action.configure(actions.add_parser(name, help=text, description=text.capitalize()))


def run(arguments: argparse.Namespace) -> int:
    """Do one action; 0 fine, 1 failed or damaged, 2 wrong usage."""
    for stream in (sys.stdout, sys.stderr):  # names may hold what an old terminal cannot show
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = ACTIONS[arguments.action].run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who reads has seen enough (``| head``). Python would complain once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    return code
