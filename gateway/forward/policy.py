"""What may leave for one broker: an allow-list, decided once per series."""

from fnmatch import fnmatchcase

from gateway.buffer import Batch
from gateway.config.model import SelectSection
from gateway.forward.formats.base import SeriesLookup
from gateway.reading import Series

__all__ = ["Policy", "allows"]


def allows(select: SelectSection, series: Series) -> bool:
    """Say whether the readings of a series may leave.

    Sensor and quantity must each match one of the patterns, and the privacy class must not be
    above the configured one (P0 < P1 < P2 < P3).
    """
    return (
        series.privacy <= select.privacy
        and any(fnmatchcase(series.key.sensor, pattern) for pattern in select.sensors)
        and any(fnmatchcase(series.key.quantity, pattern) for pattern in select.quantities)
    )


class _Decisions(dict[int, bool | None]):
    """Series id -> may leave; None for an id that the catalogue does not know."""

    def __init__(self, select: SelectSection, series: SeriesLookup) -> None:
        super().__init__()
        self._select = select
        self._series = series

    def __missing__(self, series_id: int) -> bool | None:
        try:
            decision = allows(self._select, self._series(series_id))
        except LookupError:
            return None  # not remembered: the catalogue may learn it
        self[series_id] = decision
        return decision


class Policy:
    """Applies ``select`` to batches; a series never changes, so each is judged once."""

    def __init__(self, select: SelectSection, series: SeriesLookup) -> None:
        self._decisions = _Decisions(select, series)

    def select(self, batch: Batch) -> tuple[list[int], int]:
        """Return the positions that may leave, and how many readings no series is known for."""
        decisions = self._decisions
        may_leave = [decisions[series_id] for series_id in batch.series]
        return [i for i, may in enumerate(may_leave) if may], may_leave.count(None)
