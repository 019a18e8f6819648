"""``citylab-gateway run``: the daemon."""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import threading

from gateway.cli.common import add_config_argument, set_up_logging
from gateway.config.load import load
from gateway.daemon import Daemon

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``run``."""
    add_config_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; a bad configuration raises ConfigErrors (exit code 2)."""
    configuration = load(arguments.config)
    set_up_logging(configuration.log.level)
    # What is in memory for a moment must not come to rest on the disk (PRIV-01). The unit's sandbox
    # forbids the call, and does the same itself (LimitCORE=0).
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    asyncio.run(Daemon(arguments.config, configuration).run())
    if threading.active_count() > 1:
        # A name look-up that hangs cannot be cancelled, and Python would wait for it. Everything
        # is flushed and closed, so there is nothing left to tidy up.
        logging.shutdown()
        os._exit(0)
    return 0
