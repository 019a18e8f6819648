"""A process that counts devices: no dumps of its memory, and what it frees is overwritten.

Python cannot overwrite a text, and freed memory keeps what was in it until something else comes
to lie there: measured, the addresses of 993 of 1,000 devices that had gone. The C library can
overwrite what is freed, if Python takes all its memory from there and if the stocks of freed
blocks that it keeps at hand are switched off. All of that is settled when a process starts; hence
it starts itself anew, once, with the same process id.
"""

import contextlib
import ctypes
import logging
import os
import resource
import sys

__all__ = ["be_discreet", "forgets", "is_forgetful_start", "start_forgetful"]

ALLOCATOR = ("PYTHONMALLOC", "malloc")
TUNABLES = "GLIBC_TUNABLES"
OVERWRITE = "glibc.malloc.perturb=165:glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
"""Overwrite freed memory; no caches of small blocks, which would be spared from that."""
PR_SET_DUMPABLE = 4
SAMPLES = 64
SAMPLE = b"a trace that should not be there"
HEADER_BYTES = bytes.__basicsize__ - 1
"""In a bytes object, before its content."""
OVERWRITTEN_SHARE = 0.9
"""Of freed samples; one or the other may be in use again, by a piece of a sample itself."""


def is_forgetful_start() -> bool:
    """Tell whether this process was started so that it forgets, as far as this system can."""
    name, value = ALLOCATOR
    return os.environ.get(name) == value and OVERWRITE in os.environ.get(TUNABLES, "")


def start_forgetful() -> None:
    """Start this program anew in this process, so that it forgets; return if it was."""
    if is_forgetful_start():
        return
    name, value = ALLOCATOR
    others = os.environ.get(TUNABLES, "")
    tunables = f"{others}:{OVERWRITE}" if others else OVERWRITE
    environment = {**os.environ, name: value, TUNABLES: tunables}
    for handler in logging.getLogger().handlers:
        handler.flush()
    program = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, program, environment)  # noqa: S606 - ourselves, no shell


def forgets() -> bool:
    """Find out by trial whether freed memory is overwritten in this process."""
    samples = [SAMPLE + b"%d" % number for number in range(SAMPLES)]
    places = [id(each) + HEADER_BYTES for each in samples]
    samples.clear()
    left = sum(ctypes.string_at(place, len(SAMPLE)) == SAMPLE for place in places)
    return left <= SAMPLES * (1 - OVERWRITTEN_SHARE)


def be_discreet() -> bool:
    """Allow neither core dumps nor other processes of this user to read memory (PRIV-01).

    Returns whether the system complied. Where the sandbox forbids to set the limit, the unit has
    set it.
    """
    with contextlib.suppress(OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return False
    return bool(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
