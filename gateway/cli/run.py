"""``citylab-gateway run``: the daemon."""

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import resource
import threading

from gateway import logs
from gateway.cli.common import add_config_argument
from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.daemon import Daemon
from gateway.discretion import be_discreet, forgets, start_forgetful
from gateway.driver import driver_class, is_crowd

__all__ = ["configure", "run"]

LOGGER = logging.getLogger("citylab_gateway.daemon")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``run``."""
    add_config_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT; a bad configuration raises ConfigErrors (exit code 2)."""
    configuration = load(arguments.config)
    logs.set_up(configuration.log.level)
    # What is in memory for a moment must not come to rest on the disk (PRIV-01). The unit's sandbox
    # forbids the call, and does the same itself (LimitCORE=0).
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if _counts(configuration):
        start_forgetful()
        _tell(discreet=be_discreet(), forgetful=forgets())
    asyncio.run(Daemon(arguments.config, configuration, on_ready=_settle).run())
    if threading.active_count() > 1:
        # A name look-up that hangs cannot be cancelled, and Python would wait for it. Everything
        # is flushed and closed, so there is nothing left to tidy up.
        logging.shutdown()
        os._exit(0)
    return 0


def _counts(configuration: Configuration) -> bool:
    """Tell whether devices of people who pass are to be counted."""
    drivers = (driver_class(sensor.driver) for sensor in configuration.sensor)
    return any(driver is not None and is_crowd(driver) for driver in drivers)


def _settle() -> None:
    """Take what the start has made, and what stays, out of what the collector walks.

    A full collection stands in the way of everything else for 20 ms otherwise.
    """
    gc.collect()
    gc.freeze()


def _tell(*, discreet: bool, forgetful: bool) -> None:
    """Say whether memory is as well kept as docs/privacy-footfall.md promises."""
    if not discreet:
        LOGGER.warning("counting: this system allows other processes to look into memory")
    if not forgetful:
        LOGGER.warning("counting: freed memory is not overwritten here, that takes glibc")
