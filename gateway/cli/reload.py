"""``citylab-gateway reload``: let the running daemon apply its changed configuration."""

import argparse
import os
import signal
import sys
import time

from gateway.cli.common import add_config_argument
from gateway.config.load import load
from gateway.control import find_daemon, read_reload

__all__ = ["configure", "run"]

ANSWER_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``reload``."""
    add_config_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Check the file, ask the daemon to apply it, and say what it did."""
    configuration = load(arguments.config)  # a bad file never reaches the daemon
    directory = configuration.buffer.runtime_directory
    daemon = find_daemon(directory)
    if daemon is None:
        print(f"error: no daemon runs with {directory} as its runtime directory", file=sys.stderr)
        return 1
    before = read_reload(directory)
    os.kill(daemon.pid, signal.SIGHUP)
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while time.monotonic() < deadline_s:
        result = read_reload(directory)
        if result is not None and result != before:
            print("\n".join(result.lines))
            return 0 if result.ok else 1
        time.sleep(POLL_INTERVAL_S)
    print(f"error: process {daemon.pid} did not answer in {ANSWER_TIMEOUT_S:g} s", file=sys.stderr)
    return 1
