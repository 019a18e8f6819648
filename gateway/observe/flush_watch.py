"""How long flushes take, as a histogram, and since when readings have been waiting for one."""

from bisect import bisect_left
from collections.abc import Callable

__all__ = ["BUCKETS_S", "FlushWatch"]

BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From a good SSD to a memory card that is about to die."""


class FlushWatch:
    """Counts flush durations; ``observe_flush`` is what the buffer calls (``Buffer.on_flush``)."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.counts = [0] * (len(BUCKETS_S) + 1)
        """Per bucket, not cumulative; the last one is above all bounds."""
        self.sum_s = 0.0
        self.waiting_since_ns: int | None = None
        """Boot ns since when something waits and no flush has ended."""

    def observe_flush(self, seconds: float) -> None:
        """Count one flush that took so many seconds."""
        self.counts[bisect_left(BUCKETS_S, seconds)] += 1
        self.sum_s += seconds
        self.waiting_since_ns = None

    def look(self, unflushed_readings: int) -> None:
        """Take note of what waits now; called every few seconds."""
        if unflushed_readings == 0:
            self.waiting_since_ns = None
        elif self.waiting_since_ns is None:
            self.waiting_since_ns = self._now_ns()

    def cumulative(self) -> list[tuple[str, float]]:
        """Return (upper bound, flushes at most so long) pairs, as Prometheus wants them."""
        pairs: list[tuple[str, float]] = []
        total = 0
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), self.counts, strict=True):
            total += count
            pairs.append((bound, total))
        return pairs
