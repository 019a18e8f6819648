"""What may not be read any more, although it is still there: too old for its class, or removed."""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from gateway.buffer.batch import Batch, DropReason
from gateway.buffer.boots import Boots
from gateway.buffer.layout import REMOVED_SERIES
from gateway.reading import PrivacyClass, Series

__all__ = ["DEFAULT_RETENTION_S", "Cutoffs", "Retention", "Written"]

DEFAULT_RETENTION_S: Mapping[PrivacyClass, float | None] = {
    "P0": None,
    "P1": None,
    "P2": None,
    "P3": 72 * 3600.0,
}
"""As long as it fits, but presence and household data for three days."""
NS_PER_S = 1_000_000_000


class Written(Protocol):
    """What batches and blocks say of the boot that wrote them."""

    boot: int
    offset_ns: int
    synced: bool


class Retention:
    """Says of each reading whether a link may still have it."""

    def __init__(
        self,
        retention_s: Mapping[PrivacyClass, float | None],
        series: Callable[[int], Series],
        boots: Boots,
        sensor_retention_s: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        self._limits_ns: dict[PrivacyClass, int] = {
            privacy: int(limit_s * NS_PER_S)
            for privacy, limit_s in retention_s.items()
            if limit_s is not None and math.isfinite(limit_s)
        }
        self._sensor_limits_ns: dict[str, int] = {}
        self._series = series
        self._boots = boots
        self.limit_sensors(sensor_retention_s)

    def limit_sensors(self, retention_s: Mapping[str, float]) -> None:
        """Replace the limits of single sensors, in seconds by name; the shorter of both counts."""
        self._sensor_limits_ns = {
            sensor: int(limit_s * NS_PER_S)
            for sensor, limit_s in retention_s.items()
            if math.isfinite(limit_s)
        }

    def first_run(self, batch: Batch) -> tuple[DropReason | None, int]:
        """Return what becomes of the first readings, None: they are kept, and how many those are.

        The batch must carry the offset of its block, not yet a better one.
        """
        cutoffs = self.cutoffs(batch)
        removed = REMOVED_SERIES in batch.series
        if not removed and (cutoffs.newest_ns is None or min(batch.times_ns) >= cutoffs.newest_ns):
            return None, len(batch)  # nearly always
        by_series: dict[int, int | None] = {}
        first: DropReason | None = None
        for index, series_id in enumerate(batch.series):
            if series_id not in by_series:
                by_series[series_id] = cutoffs.of(self._series(series_id))
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

    def cutoffs(self, run: Written) -> "Cutoffs":
        """Return what is too old in readings that were written together."""
        found = {}
        for limit_ns in {*self._limits_ns.values(), *self._sensor_limits_ns.values()}:
            before_ns = self._boots.expired_before(
                run.boot, limit_ns, run.offset_ns, stored_synced=run.synced
            )
            if before_ns is not None:
                found[limit_ns] = before_ns
        return Cutoffs(self._limits_ns, self._sensor_limits_ns, found)


class Cutoffs:
    """Boot times of one boot before which readings have expired, by class and by sensor."""

    def __init__(
        self,
        limits_ns: Mapping[PrivacyClass, int],
        sensor_limits_ns: Mapping[str, int],
        by_limit_ns: Mapping[int, int],
    ) -> None:
        self._limits_ns = limits_ns
        self._sensor_limits_ns = sensor_limits_ns
        self._by_limit_ns = by_limit_ns
        self.newest_ns = max(by_limit_ns.values(), default=None)
        """Nothing from this boot time on has expired; None: nothing at all."""

    def of(self, series: Series) -> int | None:
        """Return the boot time before which readings of a series have expired, None: none has."""
        limits = (
            self._limits_ns.get(series.privacy),
            self._sensor_limits_ns.get(series.key.sensor),
        )
        limit_ns = min((each for each in limits if each is not None), default=None)
        return None if limit_ns is None else self._by_limit_ns.get(limit_ns)
