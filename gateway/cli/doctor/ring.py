"""Looks at the ring itself: can it be read, was it damaged, and who works with it."""

import os
from collections.abc import Iterator
from pathlib import Path

from gateway.buffer.inspect import RING_FILE, RingView
from gateway.cli.buffer.figures import Figures, figures
from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble
from gateway.control import find_daemon
from gateway.errors import NotARing

__all__ = ["TROUBLES", "look", "ring_figures"]

LOCK_FILE = "lock"
UNUSABLE = Trouble(
    "ring_unusable",
    "warn",
    "The next start sets this file aside and begins a new ring; what it held is not sent.",
    "citylab-gateway buffer check --directory {directory}; then look at the card",
)
DAMAGED = Trouble(
    "ring_damaged",
    "warn",
    "The daemon passes over damage and tells each link of the gap; again within a week it is the "
    "card.",
    "sudo citylab-gateway buffer check --directory {directory}; more than one block: change the "
    "card",
)
IN_USE = Trouble(
    "ring_in_use",
    "fail",
    "Only one process may write the ring; the daemon does not start while another one holds it.",
    "ps -fp {pid}; if it is no gateway that is needed: sudo kill {pid}",
)
TROUBLES = (UNUSABLE, DAMAGED, IN_USE)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is wrong with the ring, or that nothing is."""
    if box.configuration is None:
        return
    section = box.configuration.buffer
    found = [*_users(box.system, section.directory, section.runtime_directory)]
    try:
        figures_found = ring_figures(section.directory)
    except PermissionError:
        how = "sudo citylab-gateway doctor"
        yield NOT_SEEN.found("ring", "it is for the daemon's user alone", how=how)
    except NotARing as error:
        found.append(UNUSABLE.found("ring", str(error), directory=section.directory))
    except OSError as error:
        detail = f"it cannot be read: {(error.strerror or 'unknown error').lower()}"
        found.append(UNUSABLE.found("ring", detail, directory=section.directory))
    else:
        if figures_found is None:
            found = found or [Finding.fine("ring", "the first start makes it")]
        else:
            found += _damage(figures_found, section.directory)
            found = found or [_fine(figures_found)]
    yield from found


def ring_figures(directory: Path) -> Figures | None:
    """Return what the ring holds, None if there is none. OSError, NotARing."""
    try:
        (directory / RING_FILE).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    with RingView(directory) as view:
        return figures(view)


def _fine(found: Figures) -> Finding:
    used = found.blocks_used / found.blocks
    return Finding.fine("ring", f"{used:.0%} used, {found.readings} readings, no damage known")


def _damage(found: Figures, directory: Path) -> Iterator[Finding]:
    parts = []
    if found.damaged_super_blocks:
        parts.append("one super block is destroyed")
    if found.set_aside_blocks or found.set_aside_files:
        parts.append(
            f"{found.set_aside_blocks} blocks and {found.set_aside_files} files lie in damaged/"
        )
    for name, state in (("series.json", found.series_file), ("boots.json", found.boots_file)):
        if state in ("backup", "lost"):
            parts.append(f"{name} is damaged")
    if parts:
        yield DAMAGED.found("ring", "; ".join(parts), directory=directory)


def _users(system: System, directory: Path, runtime: Path) -> Iterator[Finding]:
    """Compare who holds the lock with the daemon that says it runs."""
    try:
        status = (directory / LOCK_FILE).stat()
    except OSError:
        return
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    daemon = find_daemon(runtime)
    for line in (system.read("/proc/locks") or "").splitlines():
        words = line.split()
        # 1: FLOCK ADVISORY WRITE 812 b3:02:1234 0 EOF
        if device not in words or "FLOCK" not in words or "->" in words:
            continue
        pid = words[words.index(device) - 1]
        if daemon is None or str(daemon.pid) != pid:
            detail = f"process {pid} holds it, and is not the daemon of this configuration"
            yield IN_USE.found("ring", detail, pid=pid)
