"""Processor time and memory of this process, with nothing that could block or be forbidden.

prometheus_client's own collector reads /proc/stat, which the hardened unit hides
(``ProcSubset=pid``), and then shows nothing at all.
"""

import os
import resource
from pathlib import Path

__all__ = ["cpu_seconds", "max_fds", "open_fds", "resident_bytes"]

STATM = Path("/proc/self/statm")
FD_DIRECTORY = Path("/proc/self/fd")
# O_NONBLOCK changes nothing for /proc, which never waits; it tells so to whoever watches the loop.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def cpu_seconds() -> float:
    """Return processor seconds used so far, in user and system mode."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def resident_bytes() -> int | None:
    """Return memory held at the moment, or None where /proc cannot be read."""
    try:
        descriptor = os.open(STATM, _OPEN_FLAGS)
    except OSError:
        return None
    try:
        return int(os.read(descriptor, 256).split()[1]) * resource.getpagesize()
    finally:
        os.close(descriptor)


def open_fds() -> int | None:
    """Return the number of open descriptors, or None on kernels before 6.2."""
    try:
        descriptor = os.open(FD_DIRECTORY, _OPEN_FLAGS | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        # Since Linux 6.2 the size of this directory is the number of descriptors, this one too.
        count = os.fstat(descriptor).st_size
        return count - 1 if count else None
    finally:
        os.close(descriptor)


def max_fds() -> int:
    """Return how many descriptors this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
