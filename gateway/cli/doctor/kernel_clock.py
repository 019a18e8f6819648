"""Asks the kernel what it thinks of its clock: adjtimex(2) with nothing to change."""

import ctypes
from dataclasses import dataclass

__all__ = ["KernelClock", "kernel_clock"]

STA_UNSYNC = 0x0040
PADDING_INTS = 11
US_PER_S = 1e6


@dataclass(frozen=True, slots=True)
class KernelClock:
    """Whether somebody keeps the clock right, and how far off it may be."""

    synced: bool
    max_error_s: float


class _Timex(ctypes.Structure):
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("time", ctypes.c_long * 2),
        ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long),
        ("jitter", ctypes.c_long),
        ("shift", ctypes.c_int),
        ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long),
        ("calcnt", ctypes.c_long),
        ("errcnt", ctypes.c_long),
        ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int),
        ("padding", ctypes.c_int * PADDING_INTS),
    )


def kernel_clock() -> KernelClock | None:
    """Return what the kernel says; None where it does not answer."""
    found = _Timex()
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found)) < 0:
        return None
    return KernelClock(not found.status & STA_UNSYNC, found.maxerror / US_PER_S)
