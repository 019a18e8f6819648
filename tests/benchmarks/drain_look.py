"""Looking at processes and at what arrives: memory, CPU, percentiles, and a subscriber."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.benchmarks.drain_wire import dial

__all__ = ["Arrivals", "cpu_s", "load", "memory_mib", "percentile", "reset_peak", "subscriber"]

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
LOOK_EVERY_S = 0.01
SILENCE_MAX_S = 60.0
"""Nothing more will come, whatever was expected."""
STATUS = "/status"


def memory_mib(key: str, pid: int | str = "self") -> float:
    """Return VmRSS or VmHWM (the peak) of a process."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) / 1024
    return 0.0


def reset_peak() -> None:
    """Let the peak of this process begin anew, where the kernel allows that."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, user and system, in steps of a clock tick."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all values does not exceed; nan of none."""
    if not values:
        return float("nan")
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def load() -> str:
    """Return how busy the machine is, ourselves included."""
    one, five, _ = os.getloadavg()
    return f"load {one:.2f} (1 min) {five:.2f} (5 min) on {os.cpu_count()} cores"


class Arrivals:
    """What a subscriber received; status messages do not count."""

    def __init__(self, *, keep: bool) -> None:
        """``keep``: also the messages themselves."""
        self.count = 0
        self.last_s = 0.0
        """Of ``time.perf_counter``."""
        self.kept: list[tuple[str, bytes]] = []
        self._keep = keep

    def take(self, topic: str, payload: bytes) -> None:
        """Count one message."""
        if self._keep:
            self.kept.append((topic, payload))
        if not topic.endswith(STATUS):
            self.count += 1
            self.last_s = time.perf_counter()

    def first(self, count: int) -> list[tuple[str, bytes]]:
        """Return the first so many that came, without those about the status among them."""
        return [each for each in self.kept[:count] if not each[0].endswith(STATUS)]

    async def reach(self, count: int) -> None:
        """Return when so many are there, or when nothing more comes."""
        seen, seen_s = self.count, time.perf_counter()
        while self.count < count:
            await asyncio.sleep(LOOK_EVERY_S)
            if self.count != seen:
                seen, seen_s = self.count, time.perf_counter()
            elif time.perf_counter() - seen_s > SILENCE_MAX_S:
                return


@contextlib.asynccontextmanager
async def subscriber(port: int, *, keep: bool = False) -> AsyncIterator[Arrivals]:
    """Subscribe with QoS 0, which costs the broker least; mosquitto loses none on loopback."""
    arrivals = Arrivals(keep=keep)
    async with dial(port, arrivals.take) as wire:
        await wire.subscribe("#")
        yield arrivals
