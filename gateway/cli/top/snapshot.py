"""The status document as typed figures, made fit for a terminal.

The daemon may be older or newer than this command: what is missing stays empty, what is more is
not looked at. No text of it can move the cursor, and values of P2 and P3 sensors are left out here
too, whatever the document holds (PRIV-14).
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Buffer", "Link", "Sensor", "Snapshot", "plain", "snapshot"]

SHOWN_CLASSES = ("P0", "P1")
INTENDED = ("policy", "purged")
"""Why a broker rightly never gets a reading."""
QUALITIES = ("good", "uncertain", "stale", "bad")
"""The worst one last."""
MAX_TEXT = 200
MAX_VALUES = 16
MAX_ROWS = 1000
MAX_NUMBER = 1e15
"""Up to here whole numbers stay whole; beyond it there is nothing that a gateway counts."""

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor as it is now."""

    name: str
    privacy: str
    state: str
    age_s: float | None
    readings: int
    faults: int
    port: str
    """``open``, ``closed``, or empty: it has none."""
    error: str
    last_fault: str
    stuck: bool
    expired: bool
    quality: str
    """The worst of its series; empty where none is shown."""
    flags: tuple[str, ...]
    values: tuple[str, ...]

    @property
    def rank(self) -> int:
        """Return how much it needs somebody: 0 most, 4 not at all."""
        if self.state != "fresh":
            return 0
        if self.port == "closed":
            return 1
        if self.quality in QUALITIES[2:]:
            return 2
        return 3 if self.stuck or self.expired or self.quality == "uncertain" else 4


@dataclass(frozen=True, slots=True)
class Link:
    """One broker's link as it is now."""

    name: str
    state: str
    cause: str
    pending: int
    oldest_s: float | None
    acknowledged: int
    lost: int
    """It will never get them, and should have."""
    error: str

    @property
    def rank(self) -> int:
        """Return how much it needs somebody: 0 most, 2 not at all."""
        return 0 if self.state != "online" else 1 if self.lost else 2


@dataclass(frozen=True, slots=True)
class Buffer:
    """The ring as it is now."""

    size_bytes: int
    used: float
    readings: int
    unflushed: int
    damaged: int
    degraded: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment; what needs somebody stands first."""

    gateway: str
    version: str
    time: str
    uptime_s: float
    health: str
    reasons: tuple[str, ...]
    synced: bool
    clock_source: str
    clock_bound_s: float | None
    clock_steps: int
    buffer: Buffer
    adapters: tuple[tuple[str, str, str], ...]
    """Name, state and error of each."""
    links: tuple[Link, ...]
    sensors: tuple[Sensor, ...]


def snapshot(document: Table) -> Snapshot:
    """Return the figures of one status document."""
    clock, health = _table(document, "clock"), _table(document, "health")
    links = [_link(name, entry) for name, entry in _entries(document, "links")]
    sensors = [_sensor(name, entry) for name, entry in _entries(document, "sensors")]
    return Snapshot(
        gateway=_text(document, "gateway"),
        version=_text(_table(document, "software"), "version"),
        time=_text(document, "time"),
        uptime_s=_number(document, "uptime_s") or 0.0,
        health=_text(health, "state"),
        reasons=tuple(plain(each) for each in _list(health, "reasons")),
        synced=clock.get("synced") is True,
        clock_source=_text(clock, "source"),
        clock_bound_s=_number(clock, "bound_s"),
        clock_steps=_count(clock, "steps"),
        buffer=_buffer(_table(document, "buffer")),
        adapters=tuple(
            (name, _text(entry, "state"), _text(entry, "error"))
            for name, entry in _entries(_table(document, "bluetooth"), "adapters")
        ),
        links=tuple(sorted(links, key=lambda link: (link.rank, link.name))),
        sensors=tuple(sorted(sensors, key=lambda sensor: (sensor.rank, sensor.name))),
    )


def _sensor(name: str, entry: Table) -> Sensor:
    privacy = _text(entry, "privacy")
    shown = _list(entry, "values") if privacy in SHOWN_CLASSES else []
    values = [each for each in shown if isinstance(each, dict)]
    worst = [quality for quality in QUALITIES if quality in {_text(v, "quality") for v in values}]
    flags = {plain(flag) for value in values for flag in _list(value, "flags")}
    return Sensor(
        name=name,
        privacy=privacy,
        state=_text(entry, "state"),
        age_s=_number(entry, "age_s"),
        readings=_count(entry, "readings"),
        faults=_count(entry, "faults"),
        port=_text(entry, "port"),
        error=_text(entry, "error"),
        last_fault=_text(entry, "last_fault"),
        stuck=_count(entry, "stuck_series") > 0,
        expired=_count(entry, "expired_calibrations") > 0,
        quality=worst[-1] if worst else "",
        flags=tuple(sorted(flags)),
        values=tuple(_values(values[:MAX_VALUES])),
    )


def _values(values: list[dict[str, Any]]) -> Iterator[str]:
    for value in values:
        number = _number(value, "value")
        shown = "-" if number is None else f"{number:.6g}"
        dims = "".join(f" {plain(part)}" for part in _table(value, "dims").values())
        yield f"{_text(value, 'quantity')}{dims} {shown} {_text(value, 'unit')}".rstrip()


def _link(name: str, entry: Table) -> Link:
    dropped = _table(entry, "dropped")
    return Link(
        name=name,
        state=_text(entry, "state"),
        cause=_text(entry, "cause"),
        pending=_count(entry, "pending"),
        oldest_s=_number(entry, "oldest_pending_s"),
        acknowledged=_count(entry, "acknowledged"),
        lost=sum(_count(dropped, reason) for reason in dropped if reason not in INTENDED),
        error=_text(entry, "error"),
    )


def _buffer(entry: Table) -> Buffer:
    return Buffer(
        size_bytes=_count(entry, "size_bytes"),
        used=min(1.0, max(0.0, _number(entry, "used") or 0.0)),
        readings=_count(entry, "readings"),
        unflushed=_count(entry, "unflushed"),
        damaged=_count(entry, "damaged_blocks"),
        degraded=entry.get("degraded") is True,
        reason=_text(entry, "reason"),
    )


def _table(table: Table, key: str) -> Table:
    value = table.get(key)
    return value if isinstance(value, dict) else {}


def _entries(table: Table, key: str) -> list[tuple[str, Table]]:
    entries = list(_table(table, key).items())[:MAX_ROWS]
    return [(plain(name), entry) for name, entry in entries if isinstance(entry, dict)]


def _list(table: Table, key: str) -> list[Any]:
    value = table.get(key)
    return value if isinstance(value, list) else []


def _text(table: Table, key: str) -> str:
    return plain(table.get(key))


def _number(table: Table, key: str) -> float | None:
    value = table.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < MAX_NUMBER else None  # which no NaN is, either


def _count(table: Table, key: str) -> int:
    return int(_number(table, key) or 0)


def plain(text: object) -> str:
    """Return text of which each character takes one cell and none means anything to a terminal."""
    if not isinstance(text, str):
        return ""
    return "".join(char if _is_one_cell(char) else "?" for char in text[:MAX_TEXT])


def _is_one_cell(char: str) -> bool:
    return (
        char.isprintable()
        and not unicodedata.combining(char)
        and unicodedata.east_asian_width(char) not in ("W", "F")
    )
