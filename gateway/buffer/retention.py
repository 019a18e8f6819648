"""What may not be read any more, although it is still there: too old for its class, or removed."""

import math
from collections.abc import Callable, Mapping

from gateway.buffer.batch import Batch, DropReason
from gateway.buffer.boots import Boots
from gateway.buffer.layout import REMOVED_SERIES
from gateway.reading import PrivacyClass, Series

__all__ = ["DEFAULT_RETENTION_S", "Retention"]

DEFAULT_RETENTION_S: Mapping[PrivacyClass, float | None] = {
    "P0": None,
    "P1": None,
    "P2": None,
    "P3": 72 * 3600.0,
}
"""As long as it fits, but presence and household data for three days."""
NS_PER_S = 1_000_000_000


class Retention:
    """Says of each reading whether a link may still have it."""

    def __init__(
        self,
        retention_s: Mapping[PrivacyClass, float | None],
        series: Callable[[int], Series],
        boots: Boots,
    ) -> None:
        self._limits_ns = {
            privacy: int(limit_s * NS_PER_S)
            for privacy, limit_s in retention_s.items()
            if limit_s is not None and math.isfinite(limit_s)
        }
        self._series = series
        self._boots = boots

    def first_run(self, batch: Batch) -> tuple[DropReason | None, int]:
        """Return what becomes of the first readings, None: they are kept, and how many those are.

        The batch must carry the offset of its block, not yet a better one.
        """
        cutoffs_ns = self._cutoffs_ns(batch)
        newest_ns = max(cutoffs_ns.values(), default=None)
        removed = REMOVED_SERIES in batch.series
        if not removed and (newest_ns is None or min(batch.times_ns) >= newest_ns):
            return None, len(batch)  # nearly always
        by_series: dict[int, int | None] = {}
        first: DropReason | None = None
        for index, series_id in enumerate(batch.series):
            if series_id not in by_series:
                by_series[series_id] = cutoffs_ns.get(self._series(series_id).privacy)
            cutoff_ns = by_series[series_id]
            reason: DropReason | None = None
            if series_id == REMOVED_SERIES:
                reason = "purged"
            elif cutoff_ns is not None and batch.times_ns[index] < cutoff_ns:
                reason = "expired"
            if not index:
                first = reason
            elif reason != first:
                return first, index
        return first, len(batch)

    def _cutoffs_ns(self, batch: Batch) -> dict[PrivacyClass, int]:
        found = {}
        for privacy, limit_ns in self._limits_ns.items():
            before_ns = self._boots.expired_before(
                batch.boot, limit_ns, batch.offset_ns, stored_synced=batch.synced
            )
            if before_ns is not None:
                found[privacy] = before_ns
        return found
