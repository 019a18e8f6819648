"""What observe sees of the other rooms: plain attributes, read when somebody asks.

The daemon hands over a ``Look``: a function that gathers references into a ``View``. Nothing is
copied or counted twice, and a reading costs nothing here. The protocols name only what is read.
"""

# ruff: noqa: D102 - protocols of plain figures: the names are the documentation

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Literal, Protocol, runtime_checkable

from gateway.observe.flush_watch import FlushWatch
from gateway.observe.loop_lag import LoopLag
from gateway.observe.standstill import Standstill
from gateway.reading import FaultKind, PrivacyClass, Series

__all__ = [
    "DROP_REASONS",
    "AdapterFigures",
    "BufferFigures",
    "BusFigures",
    "ClockFigures",
    "ConnectionFigures",
    "DropReason",
    "LinkFigures",
    "LinkView",
    "LiveFigures",
    "Look",
    "PortFigures",
    "ReaderFigures",
    "RecorderFigures",
    "Reloads",
    "ScannerFigures",
    "SensorFigures",
    "ToldFigures",
    "View",
]

DropReason = Literal["overwritten", "policy", "rejected", "corrupt", "expired", "purged"]
DROP_REASONS: tuple[DropReason, ...] = (
    "overwritten",
    "policy",
    "rejected",
    "corrupt",
    "expired",
    "purged",
)


class ClockFigures(Protocol):
    """Boot time and what is known about wall time (gateway.clock.Clock)."""

    @property
    def now_ns(self) -> Callable[[], int]: ...
    @property
    def offset_ns(self) -> int: ...
    @property
    def synced(self) -> bool: ...
    @property
    def sync_source(self) -> str: ...
    @property
    def steps(self) -> int: ...
    @property
    def last_step_ns(self) -> int | None: ...


class BufferFigures(Protocol):
    """The ring, as BufferStats tells it; times are wall ns."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def blocks(self) -> int: ...
    @property
    def blocks_used(self) -> int: ...
    @property
    def appended_readings(self) -> int: ...
    @property
    def oldest_sequence(self) -> int: ...
    @property
    def next_sequence(self) -> int: ...
    @property
    def oldest_time_ns(self) -> int | None: ...
    @property
    def flushes(self) -> int: ...
    @property
    def flush_errors(self) -> int: ...
    @property
    def unflushed_readings(self) -> int: ...
    @property
    def written_bytes(self) -> int: ...
    @property
    def bytes_per_reading(self) -> float | None: ...
    @property
    def bytes_per_day(self) -> float | None: ...
    @property
    def damaged_blocks(self) -> int: ...
    @property
    def degraded(self) -> bool: ...
    @property
    def degraded_reason(self) -> str: ...
    @property
    def recovered_readings_open_block(self) -> int: ...
    @property
    def time_bound_s(self) -> float | None: ...


class ReaderFigures(Protocol):
    """What one link is owed and got; the times are wall ns."""

    @property
    def accepted(self) -> int: ...
    @property
    def acknowledged(self) -> int: ...
    @property
    def dropped(self) -> Mapping[DropReason, int]: ...
    @property
    def pending(self) -> int: ...
    @property
    def oldest_pending_time_ns(self) -> int | None: ...
    @property
    def held_readings(self) -> int: ...


class LinkFigures(Protocol):
    """The connection of one link; the times are boot ns."""

    @property
    def state(self) -> str: ...
    @property
    def connects(self) -> int: ...
    @property
    def disconnects(self) -> Mapping[str, int]: ...
    @property
    def sent_messages(self) -> int: ...
    @property
    def acknowledged_messages(self) -> int: ...
    @property
    def refused_messages(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def last_error(self) -> str: ...
    @property
    def last_error_cause(self) -> str: ...
    @property
    def last_acknowledged_ns(self) -> int | None: ...
    @property
    def history_readings(self) -> int: ...
    @property
    def time_fixed_readings(self) -> int: ...
    @property
    def certificate_expires_s(self) -> float | None: ...


class LiveFigures(Protocol):
    """The last reading of one series; the time is boot ns."""

    @property
    def series(self) -> Series: ...
    @property
    def time_ns(self) -> int: ...
    @property
    def value(self) -> float: ...
    @property
    def flags(self) -> int: ...


class SensorFigures(Protocol):
    """One sensor, as the intake counts it; the times are boot ns."""

    @property
    def driver(self) -> str: ...
    @property
    def domain(self) -> str: ...
    @property
    def privacy(self) -> PrivacyClass: ...
    @property
    def interval_s(self) -> float: ...
    @property
    def readings(self) -> int: ...
    @property
    def faults(self) -> Mapping[FaultKind, int]: ...
    @property
    def filtered(self) -> Mapping[str, int]: ...
    @property
    def refused(self) -> int: ...
    @property
    def restarts(self) -> int: ...
    @property
    def last_reading_ns(self) -> int | None: ...
    @property
    def last_fault(self) -> str: ...
    @property
    def live(self) -> Mapping[int, LiveFigures]: ...
    @property
    def absorbed(self) -> int: ...
    @property
    def expired_calibrations(self) -> int: ...
    @property
    def gaps_ns(self) -> Collection[int]: ...
    @property
    def learnt_interval_s(self) -> float | None: ...
    @property
    def stale_after_s(self) -> float | None: ...


class PortFigures(Protocol):
    """One serial port; its path is not read, because it may hold a serial number."""

    @property
    def open(self) -> bool: ...
    @property
    def opens(self) -> int: ...
    @property
    def reopens(self) -> Mapping[str, int]: ...
    @property
    def recoveries(self) -> Mapping[str, int]: ...
    @property
    def recovery_step(self) -> int: ...
    @property
    def received_bytes(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    @property
    def last_received_ns(self) -> int | None: ...
    @property
    def last_error(self) -> str: ...


class ToldFigures(Protocol):
    """The time that one sensor tells, beside our clock; times are boot ns."""

    def ahead_s(self, now_ns: int, offset_ns: int) -> float | None: ...


@runtime_checkable
class BusFigures(Protocol):
    """What one asked sensor has in a port besides ``PortFigures``."""

    @property
    def requests(self) -> int: ...
    @property
    def timeouts(self) -> int: ...
    @property
    def echoes(self) -> int: ...
    @property
    def late_bytes(self) -> int: ...


class RecorderFigures(Protocol):
    """The recording of raw bytes."""

    @property
    def chunks(self) -> Mapping[str, int]: ...
    @property
    def lost_lines(self) -> int: ...


class AdapterFigures(Protocol):
    """The scan of one Bluetooth adapter; its own address is not read."""

    @property
    def open(self) -> bool: ...
    @property
    def starts(self) -> int: ...
    @property
    def restarts(self) -> Mapping[str, int]: ...
    @property
    def recoveries(self) -> Mapping[str, int]: ...
    @property
    def recovery_step(self) -> int: ...
    @property
    def mode(self) -> str: ...
    @property
    def last_error(self) -> str: ...


class ScannerFigures(Protocol):
    """The Bluetooth scanner."""

    @property
    def adapters(self) -> Mapping[str, AdapterFigures]: ...
    @property
    def adverts_received(self) -> int: ...
    @property
    def adverts_claimed(self) -> int: ...
    @property
    def adverts_doubled(self) -> int: ...
    @property
    def adverts_overflowed(self) -> int: ...
    @property
    def adverts_limited(self) -> Mapping[str, int]: ...
    @property
    def decode_ns(self) -> int: ...
    @property
    def last_received_ns(self) -> int | None: ...
    @property
    def crowd_windows(self) -> Mapping[str, int]: ...


class ConnectionFigures(Protocol):
    """The Bluetooth sensors that are connected to."""

    @property
    def visits(self) -> Mapping[str, int]: ...
    @property
    def visit_s(self) -> float: ...
    @property
    def waiting(self) -> int: ...


@dataclass(frozen=True, slots=True)
class LinkView:
    """One link: its connection and its place in the ring."""

    stats: LinkFigures
    reader: ReaderFigures


@dataclass(slots=True)
class Reloads:
    """How often the configuration was read again, and whether the last time went well."""

    succeeded: int = 0
    failed: int = 0
    last_succeeded: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything at one moment; made anew for each look, from references."""

    version: str
    gateway: str
    started_ns: int
    """Boot ns at which this process started."""
    boot: int
    compiled: bool = False
    """The hot part of the ring runs compiled."""
    clock: ClockFigures
    buffer: BufferFigures
    flush_interval_s: float
    """The longest time that a flush may wait for."""
    hold_unsynced_s: float = 0.0
    """How long readings wait for the clock to become right."""
    flush_watch: FlushWatch
    loop_lag: LoopLag
    links: Mapping[str, LinkView]
    """By broker name."""
    sensors: Mapping[str, SensorFigures]
    """By sensor name."""
    ports: Mapping[str, PortFigures] = field(default_factory=dict)
    """By sensor name."""
    scanner: ScannerFigures | None = None
    recorder: RecorderFigures | None = None
    """None while nothing is recorded."""
    told_times: Mapping[str, ToldFigures] = field(default_factory=dict)
    """By the name of a sensor that tells the time."""
    connections: ConnectionFigures | None = None
    task_restarts: Mapping[str, int] = field(default_factory=dict)
    """By the supervisor's name of the task."""
    reloads: Reloads = field(default_factory=Reloads)
    driver_steps: Mapping[str, int] = field(default_factory=dict)
    """How often each task that reads sensors was moved on, by its name."""
    standstill: Standstill = field(default_factory=Standstill)
    not_ready: tuple[str, ...] = ()
    """Why this process does not do its work yet, or any more."""
    retention_s: Mapping[PrivacyClass, float | None] = field(default_factory=dict)
    sensor_retention_s: Mapping[str, float] = field(default_factory=dict)
    """How old a reading may become and still be shown; by class, and by sensor name."""

    @property
    def uptime_s(self) -> float:
        """Return seconds since this process started."""
        return (self.clock.now_ns() - self.started_ns) / 1e9

    def clock_ahead_s(self, sensor: str) -> float | None:
        """Return by how much our clock is ahead of the time that a sensor tells, if it does."""
        told = self.told_times.get(sensor)
        return None if told is None else told.ahead_s(self.clock.now_ns(), self.clock.offset_ns)

    def kept_s(self, series: Series) -> float:
        """Return how old a reading of a series may become and still be shown, perhaps infinite."""
        by_class = self.retention_s.get(series.privacy)
        return min(
            inf if by_class is None else by_class,
            self.sensor_retention_s.get(series.key.sensor, inf),
        )

    def seconds_since(self, boottime_ns: int) -> float:
        """Return the age in seconds of a boot time, never negative."""
        return max(0.0, (self.clock.now_ns() - boottime_ns) / 1e9)

    def seconds_since_wall(self, wall_ns: int) -> float:
        """Return the age in seconds of a wall time as the clock stands now, never negative."""
        return max(0.0, (self.clock.now_ns() + self.clock.offset_ns - wall_ns) / 1e9)


Look = Callable[[], View]
