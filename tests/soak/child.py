"""The real daemon, which says once a second what it holds and has its clock set by the soak.

Standard output: a line of JSON a second. Standard input: ``step SECONDS`` sets the wall clock,
``collect`` collects garbage. A second argument plants a leak of so many bytes an hour.
"""

import asyncio
import ctypes
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from gateway import logs
from gateway.config.load import load
from gateway.daemon import Daemon

__all__ = ["main"]

REPORT_INTERVAL_S = 1.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LEAKED_BYTES = 100
"""Of one leaked object: such small ones are what Python programs leak."""


class WallClock:
    """The system's wall clock and what the soak has added to it."""

    def __init__(self) -> None:
        self.added_ns = 0

    def __call__(self) -> int:
        """Return ns of Unix time."""
        return time.time_ns() + self.added_ns


class MallocState(ctypes.Structure):
    """What mallinfo2(3) of glibc 2.33 returns."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("arena", "ordblks", "smblks", "hblks")),
        ("hblkhd", ctypes.c_size_t),
        *((name, ctypes.c_size_t) for name in ("usmblks", "fsmblks")),
        ("uordblks", ctypes.c_size_t),
        *((name, ctypes.c_size_t) for name in ("fordblks", "keepcost")),
    )


def given_out() -> int:
    """Return the bytes that malloc has given out and not got back; 0 where it does not tell."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    mallinfo2.restype = MallocState
    state = mallinfo2()
    return int(state.uordblks + state.hblkhd)


def figures() -> dict[str, int]:
    """Return what this process holds."""
    statm = Path("/proc/self/statm").read_text(encoding="ascii")
    return {
        "blocks": sys.getallocatedblocks(),
        "rss": int(statm.split()[1]) * PAGE_BYTES,
        "malloc": given_out(),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())) - 1,
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    }


async def serve(daemon: Daemon, leaked_bytes_per_h: float) -> None:
    """Run the daemon, and report and obey beside it."""
    clock = WallClock()
    daemon._clock._realtime_ns = clock
    loop = asyncio.get_running_loop()
    os.set_blocking(sys.stdin.fileno(), False)
    loop.add_reader(sys.stdin.fileno(), obey, clock)
    beside = [asyncio.create_task(report()), asyncio.create_task(leak(leaked_bytes_per_h))]
    try:
        await daemon.run()
    finally:
        loop.remove_reader(sys.stdin.fileno())
        for task in beside:
            task.cancel()


def obey(clock: WallClock) -> None:
    """Take what the soak has written."""
    data = os.read(sys.stdin.fileno(), 4096)
    if not data:  # nobody is there any more
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    for line in data.decode().splitlines():
        verb, _, value = line.partition(" ")
        if verb == "collect":
            gc.collect()
        else:
            assert verb == "step"
            clock.added_ns += round(float(value) * 1e9)


async def report() -> None:
    """Say once a second what this process holds. Runs until cancelled."""
    while True:
        print(json.dumps(figures()), flush=True)
        await asyncio.sleep(REPORT_INTERVAL_S)


async def leak(bytes_per_h: float) -> None:
    """Keep more and more. Runs until cancelled."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    kept: list[bytes] = []
    object_bytes = sys.getsizeof(bytes(LEAKED_BYTES))
    while True:
        wanted = (loop.time() - began_s) / 3600 * bytes_per_h / object_bytes
        kept += [bytes(LEAKED_BYTES) for _ in range(len(kept), int(wanted))]
        await asyncio.sleep(REPORT_INTERVAL_S)


def main() -> None:
    """Run until SIGTERM."""
    path = Path(sys.argv[1])
    configuration = load(path)
    logs.set_up("warning")
    leaked_bytes_per_h = float(sys.argv[2]) if sys.argv[2:] else 0.0
    asyncio.run(serve(Daemon(path, configuration), leaked_bytes_per_h))


if __name__ == "__main__":
    main()
