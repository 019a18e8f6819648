"""Which readings an export takes, and what it leaves out although it was asked for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite
from typing import Literal

from gateway.buffer.batch import Batch
from gateway.buffer.inspect import Names
from gateway.buffer.layout import REMOVED_SERIES
from gateway.buffer.retention import Cutoffs
from gateway.reading import Flag, PrivacyClass

__all__ = ["OPEN_CLASSES", "Selection"]

OPEN_CLASSES: frozenset[PrivacyClass] = frozenset(("P0", "P1"))
"""What may leave the box without being asked for by name (PRIV-08)."""

_FOREVER = 1 << 80
_SUPPRESSED = int(Flag.SUPPRESSED)  # an IntFlag is slow in a loop over every reading
Verdict = Literal["take", "pass", "withhold"]


@dataclass(slots=True)
class Selection:
    """Time, sensor, quantity and privacy class; counts what it withheld.

    ``from_ns`` is inclusive, ``to_ns`` exclusive, both wall ns. Patterns are those of a shell.
    """

    names: Names
    from_ns: int | None = None
    to_ns: int | None = None
    sensors: Sequence[str] = ()
    quantities: Sequence[str] = ()
    classes: frozenset[PrivacyClass] = OPEN_CLASSES
    taken: int = 0
    withheld: dict[str, int] = field(default_factory=dict)
    """Readings that were asked for and are not given, by privacy class."""
    withheld_sensors: set[str] = field(default_factory=set)
    suppressed: int = 0
    """Small counts: whatever number stands there stays here (PRIV-05)."""
    expired: int = 0
    """Older than the retention of their privacy class (PRIV-10)."""
    unusable: int = 0
    """Not finite; no format can carry them."""
    _verdicts: dict[int, Verdict] = field(default_factory=dict)

    def positions(self, batch: Batch, cutoffs: Cutoffs) -> list[int]:
        """Return the indices of the readings to take, in ring order.

        ``cutoffs``: what in it has expired.
        """
        low, high = self._bounds(batch)
        times_ns = batch.times_ns
        if not times_ns or max(times_ns) < low or min(times_ns) >= high:
            return []
        verdicts = {one: self._verdict(one) for one in set(batch.series)}
        limits = {
            one: cutoffs.of(self.names.series(one)) or -_FOREVER
            for one, verdict in verdicts.items()
            if verdict != "pass"
        }
        found = []
        for index, series_id in enumerate(batch.series):
            verdict = verdicts[series_id]
            if verdict == "pass" or not low <= times_ns[index] < high:
                continue
            if times_ns[index] < limits[series_id]:
                self.expired += 1
            elif verdict == "withhold":
                self._withhold(series_id)
            elif batch.flags[index] & _SUPPRESSED:
                self.suppressed += 1
            elif not isfinite(batch.values[index]):
                self.unusable += 1
            else:
                found.append(index)
        self.taken += len(found)
        return found

    def _bounds(self, batch: Batch) -> tuple[int, int]:
        """Return the limits as boot times of this batch."""
        low = -_FOREVER if self.from_ns is None else self.from_ns - batch.offset_ns
        high = _FOREVER if self.to_ns is None else self.to_ns - batch.offset_ns
        return low, high

    def _verdict(self, series_id: int) -> Verdict:
        known = self._verdicts.get(series_id)
        if known is None:
            known = self._verdicts[series_id] = self._judge(series_id)
        return known

    def _judge(self, series_id: int) -> Verdict:
        if series_id == REMOVED_SERIES:
            return "pass"
        series = self.names.series(series_id)
        for text, patterns in (
            (series.key.sensor, self.sensors),
            (series.key.quantity, self.quantities),
        ):
            if patterns and not any(fnmatchcase(text, pattern) for pattern in patterns):
                return "pass"
        return "take" if series.privacy in self.classes else "withhold"

    def _withhold(self, series_id: int) -> None:
        series = self.names.series(series_id)
        self.withheld[series.privacy] = self.withheld.get(series.privacy, 0) + 1
        self.withheld_sensors.add(series.key.sensor)
