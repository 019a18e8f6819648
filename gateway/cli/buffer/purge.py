"""``citylab-gateway buffer purge``: remove readings for ever, of one sensor or of all."""

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path

from gateway.assembly import recording
from gateway.audit import audit_command
from gateway.buffer import purge_directory
from gateway.buffer.inspect import RING_FILE
from gateway.cli import EXIT_FAILED, EXIT_OK
from gateway.cli.buffer.source import (
    add_source_arguments,
    configuration,
    data_directory,
    open_ring,
)
from gateway.clock import Clock
from gateway.config.model import Configuration, RecordingSection
from gateway.control import PURGE, RunningDaemon, find_daemon, read_purge, request_purge
from gateway.errors import ConfigError, DataDirectoryBusy, GatewayError

__all__ = ["configure", "run"]

POLL_INTERVAL_S = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``buffer purge``."""
    add_source_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sensor", metavar="NAME", help="what this sensor has left, and its name")
    what.add_argument("--all", action="store_true", help="every reading and every name")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print the count as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Purge, through the daemon if one runs; print how many readings are gone."""
    loaded = configuration(arguments)
    directory = data_directory(arguments, loaded)
    runtime = None if loaded is None else loaded.buffer.runtime_directory
    with open_ring(directory):  # says what is wrong with it, before anybody is asked
        pass
    if not directory.is_dir():
        raise ConfigError(f"{directory} is a single file; a purge needs the whole data directory")
    sensor: str | None = arguments.sensor
    if not arguments.yes and not _confirmed(directory, sensor):
        print("nothing was removed", file=sys.stderr)
        return EXIT_FAILED
    daemon = None if runtime is None else find_daemon(runtime)
    if daemon is not None and runtime is not None:
        removed = _ask(runtime, daemon, sensor)
    else:
        clock = Clock(trusted=loaded is not None and loaded.clock.trusted)
        removed = _purge(directory, clock, sensor, runtime)
        _forget_recorded(loaded, directory)
        whose = "all sensors" if sensor is None else f"sensor {sensor}"
        text = "purge without a daemon: %d readings of %s were removed for ever"
        audit_command("purge", text, removed, whose)
    if arguments.json:
        print(json.dumps({"removed": removed}))
    else:
        print(f"{removed} readings were removed")
    return EXIT_OK


def _confirmed(directory: Path, sensor: str | None) -> bool:
    """Ask the person at the terminal. ConfigError if there is none."""
    if not sys.stdin.isatty():
        raise ConfigError("nobody can be asked here; --yes removes without asking")
    what = "EVERY reading" if sensor is None else f"every reading of sensor {sensor}"
    word = "all" if sensor is None else sensor
    print(f"This removes {what} from {directory} for ever, also what was not sent yet.")
    try:
        return input(f"Type {word} to go on: ").strip() == word
    except EOFError:
        return False


def _ask(runtime: Path, daemon: RunningDaemon, sensor: str | None) -> int:
    """Let the running daemon do it; as long as it lives it is waited for."""
    if PURGE not in daemon.requests:
        raise GatewayError(
            f"the daemon that runs (process {daemon.pid}) takes no purge requests; stop it first"
        )
    try:
        request = request_purge(runtime, daemon, sensor)
    except FileExistsError as error:
        raise GatewayError("another purge waits for the daemon; try again later") from error
    except OSError as error:
        raise GatewayError(f"the daemon cannot be asked: {error}") from error
    while (result := read_purge(runtime, request)) is None:
        if find_daemon(runtime) != daemon:
            raise GatewayError(f"process {daemon.pid} has ended meanwhile; ask again")
        time.sleep(POLL_INTERVAL_S)
    if result.problem:
        raise GatewayError(f"the purge is not complete, ask again: {result.problem}")
    return result.removed


def _purge(directory: Path, clock: Clock, sensor: str | None, runtime: Path | None) -> int:
    """Do it here, on a directory that no daemon uses."""
    there = runtime if runtime is not None and runtime.is_dir() else None
    try:
        return asyncio.run(
            purge_directory(directory, clock, sensor=sensor, runtime_directory=there)
        )
    except DataDirectoryBusy as error:
        raise GatewayError(
            f"a daemon works on {directory}: name its configuration with --config, so that it can "
            "be asked, or stop it"
        ) from error
    except OSError as error:
        raise GatewayError(f"the purge is not complete, ask again: {error}") from error
    finally:
        _give_back(directory)


def _forget_recorded(loaded: Configuration | None, directory: Path) -> None:
    """Delete the recording of raw bytes too, all of it."""
    section = RecordingSection() if loaded is None else loaded.recording
    try:
        recording(section, directory).remove()
    except OSError as error:
        raise GatewayError(f"the purge is not complete, ask again: {error}") from error


def _give_back(directory: Path) -> None:
    """Let the files belong to whom the ring belongs, if root has done this for another user."""
    if os.geteuid() != 0:
        return
    owner = (directory / RING_FILE).stat()
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)
