"""series.json: what the series ids in the ring mean."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.buffer.files import Damaged, load_json, save_json
from gateway.reading import PrivacyClass, Series, SeriesKey

__all__ = [
    "FIRST_VOLATILE_ID",
    "ID_RANGE",
    "Catalogue",
    "load_catalogue",
    "parse_series",
    "save_catalogue",
]

logger = logging.getLogger("citylab_gateway.buffer")

FILE_NAME = "series.json"
UNKNOWN_SENSOR = "unknown-{id}"
UNKNOWN_PRIVACY: PrivacyClass = "P3"
"""What nobody can name any more must not leave the box by default."""
ID_RANGE = 1 << 16
"""Ids that an epoch may hand out; see ``Catalogue``."""
FIRST_VOLATILE_ID = 0xFC00_0000
"""Ids from here on were given while the catalogue could not be read."""


class Catalogue:
    """Series by id and by key; ids are never given twice.

    Readings may reach the disk although the catalogue that names them did not (a full disk, a
    damaged file). So new ids start, in each epoch, in a range of its own: no old reading gets a new
    meaning. Ids that cannot be resolved become a series of the sensor ``unknown-<id>`` with the
    strictest privacy class.
    """

    def __init__(self, series: Sequence[Series] = (), *, first_id: int = 1) -> None:
        self._by_id = {one.id: one for one in series}
        self._by_key = {one.key: one for one in series}
        ordinary = (one.id + 1 for one in series if one.id < FIRST_VOLATILE_ID)
        self._next_id = max([first_id, *ordinary])
        self._dirty = False

    def __len__(self) -> int:
        return len(self._by_id)

    def series_id(
        self,
        key: SeriesKey,
        *,
        unit: str,
        privacy: PrivacyClass,
        calibration: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Return the id of this series, which is created on first sight.

        A changed privacy class holds for the readings that are already stored, too. A changed
        unit, calibration or window makes a new series: the stored values came about otherwise.
        """
        known = self._by_key.get(key)
        if known is not None and known.unit == unit and known.calibration == calibration:
            if known.privacy != privacy:
                self._put(Series(known.id, key, unit, privacy, known.calibration))
            return known.id
        created = Series(self._next_id, key, unit, privacy, dict(calibration))
        self._next_id += 1
        self._put(created)
        return created.id

    def series(self, series_id: int) -> Series:
        """Return what an id means; an id that nobody knows is a series ``unknown-<id>``, P3."""
        known = self._by_id.get(series_id)
        if known is not None:
            return known
        key = SeriesKey(UNKNOWN_SENSOR.format(id=series_id), "unknown")
        return Series(series_id, key, "1", UNKNOWN_PRIVACY)

    def series_of(self, sensor: str) -> list[Series]:
        """Return a sensor's series, in the order of creation; of a changed unit only the newest."""
        return [one for key, one in self._by_key.items() if key.sensor == sensor]

    @property
    def all(self) -> list[Series]:
        """All series, in the order in which they were created."""
        return list(self._by_id.values())

    @property
    def dirty(self) -> bool:
        """Something changed that ``take_changes`` has not given yet."""
        return self._dirty

    def take_changes(self) -> list[Series] | None:
        """Return all series if anything changed since the last call, to be saved; else None."""
        if not self._dirty:
            return None
        self._dirty = False
        return list(self._by_id.values())

    def not_saved(self) -> None:
        """Make what ``take_changes`` gave due again, because saving it failed."""
        self._dirty = True

    def ids_of(self, sensor: str) -> set[int]:
        """Return the ids of a sensor's series, also of one that is called ``unknown-<id>``."""
        found = {one.id for one in self._by_id.values() if one.key.sensor == sensor}
        number = sensor.removeprefix(UNKNOWN_SENSOR.format(id=""))
        if number != sensor and number.isdecimal() and int(number) not in self._by_id:
            found.add(int(number))
        return found

    def forget(self, sensor: str | None) -> None:
        """Take a sensor's series out, or all of them. Their ids are not given again."""
        gone = [one for one in self._by_id.values() if sensor in (None, one.key.sensor)]
        for one in gone:
            del self._by_id[one.id]
            self._by_key.pop(one.key, None)
        self._dirty = self._dirty or bool(gone)

    def adopt(self, other: "Catalogue") -> None:
        """Become what ``other`` is, and keep the series of this one under their ids.

        ValueError, and nothing changed, if an id means something else there.
        """
        ours = list(self._by_id.values())
        by_id, by_key, next_id, dirty = other.parts
        for one in ours:
            if by_id.get(one.id, one).key != one.key:
                raise ValueError(f"series {one.id} is {by_id[one.id].key} on disk")
        self._by_id, self._by_key, self._next_id, self._dirty = by_id, by_key, next_id, dirty
        for one in ours:
            self._put(one)

    @property
    def parts(self) -> tuple[dict[int, Series], dict[SeriesKey, Series], int, bool]:
        """All that this catalogue is made of."""
        return self._by_id, self._by_key, self._next_id, self._dirty

    def _put(self, one: Series) -> None:
        self._by_id[one.id] = one
        self._by_key[one.key] = one
        self._dirty = True


def load_catalogue(directory: Path, damaged: Damaged, *, epoch: int, fresh: bool) -> Catalogue:
    """Read series.json. ``fresh``: the ring was created just now, so a missing file is right."""
    series, state = load_json(directory / FILE_NAME, parse_series, damaged)
    if state == "missing" and fresh:
        save_catalogue(directory, ())  # so that a missing file means from now on that it was lost
    elif state == "backup":
        logger.warning("the series catalogue was damaged; its predecessor is used")
    elif state != "good":
        logger.error(
            "the series catalogue is lost; readings of series that are not configured any more "
            "are kept under the name unknown-<id> and leave to nobody"
        )
    return Catalogue(series or (), first_id=max(1, (epoch - 1) % ID_RANGE * ID_RANGE))


def save_catalogue(directory: Path, series: Sequence[Series]) -> None:
    """Write series.json atomically. OSError if the disk refuses."""
    save_json(directory / FILE_NAME, [_document(one) for one in series])


def _document(one: Series) -> dict[str, Any]:
    return {
        "id": one.id,
        "sensor": one.key.sensor,
        "quantity": one.key.quantity,
        "dims": [list(pair) for pair in one.key.dims],
        "aggregation": one.key.aggregation,
        "unit": one.unit,
        "privacy": one.privacy,
        "calibration": dict(one.calibration),
    }


def parse_series(content: Any) -> list[Series]:
    """Return the series of ``series.json``; KeyError, TypeError or ValueError for other content."""
    return [
        Series(
            id=int(row["id"]),
            key=SeriesKey(
                row["sensor"],
                row["quantity"],
                tuple((str(name), str(value)) for name, value in row["dims"]),
                row["aggregation"],
            ),
            unit=row["unit"],
            privacy=row["privacy"],
            calibration=dict(row["calibration"]),
        )
        for row in content
    ]
