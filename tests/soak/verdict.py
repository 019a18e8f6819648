"""What a soak found: how fast memory grew, and whether everything else came back to what it was."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import median

from tests.soak.box import Held

__all__ = ["LIMITS_PER_H", "is_settled", "problems", "slope_per_h"]

LIMITS_PER_H: Mapping[str, float] = {"blocks": 20_000, "malloc": 2 << 20, "rss": 8 << 20}
"""What may grow in an hour, by its slope.

The first two are exact: the pieces that Python has given to objects, and the bytes that the C
library has given to all that is larger. Not nothing, because some is taken at the first trouble of
a kind and kept: each link, for example, keeps the 32 blocks that it read ahead of its first
backlog. The third counts the holes as well: they grow with every new extreme of what is needed at
a time, which come later and later. It is there for what the two others do not see.
"""
LONG_S = 1800.0
"""A shorter time may have the growth of this one: what comes and goes weighs more there."""
MORE_BLOCKS = 0.15
"""Part by which Python's own memory may be more at the end than before the first fault; most of
this are caches that fill in the first minutes."""
POINTS = 60
"""The judged time is cut into so many parts; of each the median counts."""
MORE_THREADS = 20
"""The daemon has so many for what the system only offers blocking; they come when needed."""
QUIET = 10
"""So many samples at the end of a quiet time are looked at."""


def slope_per_h(held: Sequence[Held], what: str = "rss") -> float:
    """Return the growth of something an hour: the median slope of all pairs of points.

    Theil and Sen's estimate: a burst, or a fault that is still being digested, does not move it.
    """
    size = max(1, len(held) // POINTS)
    parts = [held[at : at + size] for at in range(0, len(held) - size + 1, size)]
    points = [
        (median(each.at_s for each in part), median(getattr(each, what) for each in part))
        for part in parts
    ]
    slopes = [
        (after[1] - before[1]) / (after[0] - before[0])
        for before, after in combinations(points, 2)
        if after[0] > before[0]
    ]
    return 3600 * median(slopes) if slopes else 0.0


def is_settled(held: Sequence[Held]) -> bool:
    """Tell whether nothing is still on its way up or down: so much is there again and again."""
    return all(
        min(getattr(each, what) for each in held[-QUIET:])
        == min(getattr(each, what) for each in held[-QUIET // 2 :])
        for what in ("descriptors", "tasks")
    )


def problems(before: Sequence[Held], judged: Sequence[Held], after: Sequence[Held]) -> list[str]:
    """Return what grew; empty if nothing did.

    ``before`` ends with a quiet time before the first fault, ``after`` with one behind the last;
    ``judged`` is the time in between, less the warm-up.
    """
    found = []
    seconds = judged[-1].at_s - judged[0].at_s
    for what, limit_per_h in LIMITS_PER_H.items():
        grown = slope_per_h(judged, what) * seconds / 3600
        if grown > limit_per_h * max(seconds, LONG_S) / 3600:
            found.append(f"{what} grew by {grown:.0f} in {seconds:.0f} s")
    limits = {
        "descriptors": 0,
        "tasks": 0,
        "threads": MORE_THREADS,
        "blocks": int(MORE_BLOCKS * before[-1].blocks),
    }
    for what, more in limits.items():
        # The least of some samples: what comes and goes, such as a scrape, is no leak.
        least = [min(getattr(each, what) for each in part[-QUIET:]) for part in (before, after)]
        if least[1] > least[0] + more:
            found.append(f"{what} were {least[0]} and are {least[1]} when all is well again")
    return found
