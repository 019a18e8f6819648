"""Quantiles of a stream: exact up to a number of values, then a merging t-digest.

After Dunning and Ertl, "Computing extremely accurate quantiles using t-digests" (2019): values are
kept as centroids, small ones at both ends and larger ones in the middle, by the scale function
k(q) = δ/2π · asin(2q - 1). Memory is bounded, and the same values in the same order give the same
result.
"""

from math import asin, floor, pi

__all__ = ["COMPRESSION", "EXACT_VALUES", "Quantiles"]

EXACT_VALUES = 1000
"""Up to so many values nothing is approximated."""
COMPRESSION = 200
"""δ: at most so many centroids are left by a merge."""


class Quantiles:
    """Takes finite values one by one, and tells quantiles of all so far."""

    __slots__ = ("_centroids", "_count", "_fresh", "_highest", "_lowest")

    def __init__(self) -> None:
        self._fresh: list[float] = []
        self._centroids: list[tuple[float, int]] = []
        """(mean, weight), sorted by mean; empty while all values are in ``_fresh``."""
        self._count = 0
        self._lowest = self._highest = 0.0

    def add(self, value: float) -> None:
        """Take one value."""
        fresh = self._fresh
        fresh.append(value)
        if len(fresh) > EXACT_VALUES:
            self._merge()

    def clear(self) -> None:
        """Forget all values."""
        self._fresh.clear()
        self._centroids = []
        self._count = 0

    def find(self, share: float) -> float:
        """Return the value below which that share of all lies; there must be one value or more.

        Exact: linear between the two nearest ranks, as numpy's default.
        """
        if not self._centroids:
            values = self._fresh
            values.sort()
            place = share * (len(values) - 1)
            below = floor(place)
            above = min(below + 1, len(values) - 1)
            part = place - below
            return _blend(values[below], values[above], part)
        self._merge()
        return self._between(share)

    def _merge(self) -> None:
        """Merge the fresh values into the centroids, so that few are left."""
        fresh = self._fresh
        if not fresh:
            return
        low, high = min(fresh), max(fresh)
        if not self._count:
            self._lowest, self._highest = low, high
        self._lowest = min(self._lowest, low)
        self._highest = max(self._highest, high)
        self._count += len(fresh)
        waiting = sorted([*self._centroids, *((value, 1) for value in fresh)])
        fresh.clear()
        merged: list[tuple[float, int]] = []
        mean, weight = waiting[0]
        before = 0
        floor_k = _k(0.0)
        for next_mean, next_weight in waiting[1:]:
            together = weight + next_weight
            if _k((before + together) / self._count) - floor_k <= 1:
                share = next_weight / together
                mean = _blend(mean, next_mean, share)
                weight = together
            else:
                merged.append((mean, weight))
                before += weight
                floor_k = _k(before / self._count)
                mean, weight = next_mean, next_weight
        merged.append((mean, weight))
        self._centroids = merged

    def _between(self, share: float) -> float:
        """Return the value at a share: linear between the middles of the centroids."""
        wanted = share * self._count
        middle_before, mean_before = 0.0, self._lowest
        total = 0
        for mean, weight in self._centroids:
            middle = total + weight / 2
            if wanted < middle:
                part = (wanted - middle_before) / (middle - middle_before)
                return _blend(mean_before, mean, part)
            middle_before, mean_before = middle, mean
            total += weight
        part = (wanted - middle_before) / (self._count - middle_before)
        return _blend(mean_before, self._highest, part)


def _blend(low: float, high: float, part: float) -> float:
    """Return what lies between two values; rounding never takes it beyond them."""
    return min(max(low * (1 - part) + high * part, low), high)


def _k(share: float) -> float:
    return COMPRESSION / (2 * pi) * asin(2 * min(share, 1.0) - 1)
