"""The other rooms' plain numbers, shaped as their contracts say, for a gateway at rest."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.clock import Clock
from gateway.clock_checks import LEAST_TOLD, ToldTime
from gateway.observe import FlushWatch, LinkView, LoopLag, Reloads, View
from gateway.observe.view import DropReason
from gateway.reading import FaultKind, PrivacyClass, Series, SeriesKey

SECOND = 1_000_000_000
HOUR = 3600 * SECOND
WALL_AT_BOOT = 1_800_000_000 * SECOND


@dataclass(slots=True)
class Buffer:
    size_bytes: int = 256 << 20
    blocks: int = 4096
    blocks_used: int = 1024
    appended_readings: int = 5000
    oldest_sequence: int = 100
    next_sequence: int = 10_100
    oldest_time_ns: int | None = WALL_AT_BOOT
    flushes: int = 700
    flush_errors: int = 0
    last_flush_s: float = 0.004
    unflushed_readings: int = 12
    written_bytes: int = 3_000_000
    bytes_per_reading: float | None = 600.0
    bytes_per_day: float | None = 72_000_000.0
    damaged_blocks: int = 0
    degraded: bool = False
    degraded_reason: str = ""
    recovered_readings_open_block: int = 0
    time_bound_s: float | None = 16.0


@dataclass(slots=True)
class Reader:
    accepted: int = 5000
    acknowledged: int = 4880
    dropped: dict[DropReason, int] = field(default_factory=lambda: {"policy": 100})
    pending: int = 20
    oldest_pending_time_ns: int | None = WALL_AT_BOOT + HOUR - 2 * SECOND
    held_readings: int = 0


@dataclass(slots=True)
class Link:
    state: str = "online"
    connects: int = 1
    disconnects: dict[str, int] = field(default_factory=dict)
    sent_messages: int = 90
    acknowledged_messages: int = 89
    refused_messages: int = 0
    sent_bytes: int = 400_000
    in_flight: int = 1
    last_error: str = ""
    last_error_cause: str = ""
    last_acknowledged_ns: int | None = HOUR - SECOND
    history_readings: int = 0
    time_fixed_readings: int = 0
    certificate_expires_s: float | None = None


@dataclass(slots=True)
class Live:
    series: Series
    time_ns: int
    value: float
    flags: int = 0


@dataclass(slots=True)
class Sensor:
    driver: str = "sds011"
    domain: str = "air"
    privacy: PrivacyClass = "P0"
    interval_s: float = 1.0
    readings: int = 3600
    faults: dict[FaultKind, int] = field(default_factory=dict)
    filtered: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    restarts: int = 0
    last_reading_ns: int | None = HOUR - SECOND
    last_fault: str = ""
    live: dict[int, Live] = field(default_factory=dict)
    absorbed: int = 0
    expired_calibrations: int = 0
    gaps_ns: Sequence[int] = ()
    learnt_interval_s: float | None = None
    stale_after_s: float | None = None


@dataclass(slots=True)
class Port:
    open: bool = True
    opens: int = 1
    reopens: dict[str, int] = field(default_factory=dict)
    recoveries: dict[str, int] = field(default_factory=dict)
    recovery_step: int = 0
    received_bytes: int = 36_000
    sent_bytes: int = 19
    last_received_ns: int | None = HOUR - SECOND
    last_error: str = ""


@dataclass(slots=True)
class BusPort(Port):
    requests: int = 40
    timeouts: int = 3
    echoes: int = 2
    late_bytes: int = 17


@dataclass(slots=True)
class Recording:
    chunks: dict[str, int] = field(default_factory=lambda: {"air-roof": 12})
    lost_lines: int = 1


@dataclass(slots=True)
class Adapter:
    open: bool = True
    starts: int = 2
    restarts: dict[str, int] = field(default_factory=lambda: {"silence": 1})
    recoveries: dict[str, int] = field(default_factory=lambda: {"restart": 1})
    recovery_step: int = 0
    mode: str = "active"
    last_error: str = ""


@dataclass(slots=True)
class Scanner:
    adapters: dict[str, Adapter] = field(default_factory=lambda: {"hci0": Adapter()})
    adverts_received: int = 900
    adverts_claimed: int = 300
    adverts_doubled: int = 0
    adverts_overflowed: int = 0
    adverts_limited: dict[str, int] = field(default_factory=lambda: {"air-square": 7})
    decode_ns: int = 45_000_000
    last_received_ns: int | None = HOUR - SECOND
    crowd_windows: dict[str, int] = field(
        default_factory=lambda: {"whole": 11, "partly": 1, "deaf": 0}
    )


@dataclass
class Connections:
    visits: dict[str, int] = field(
        default_factory=lambda: {"read": 40, "empty": 0, "timeout": 2, "error": 1}
    )
    visit_s: float = 170.5
    waiting: int = 1


def live(number: int, sensor: str, quantity: str, unit: str, value: float, **more: Any) -> Live:
    """Make one last value, a second old."""
    key = SeriesKey(sensor, quantity, more.pop("dims", ()), more.pop("aggregation", "instant"))
    series = Series(number, key, unit, more.pop("privacy", "P0"))
    return Live(series, HOUR - SECOND, value, more.pop("flags", 0))


class Room:
    """A gateway whose numbers a test may change; ``look`` is what observe is given."""

    def __init__(self) -> None:
        self.now_ns = HOUR
        self.wall_at_boot_ns = WALL_AT_BOOT
        self.clock = Clock(
            trusted=True,
            boottime_ns=lambda: self.now_ns,
            realtime_ns=lambda: self.wall_at_boot_ns + self.now_ns,
            synchronized_mark=Path("/nonexistent"),
        )
        self.buffer = Buffer()
        self.flush_watch = FlushWatch(lambda: self.now_ns)
        self.flush_watch.observe_flush(0.004)
        self.loop_lag = LoopLag()
        self.links = {"aarhus": Link(), "vejle": Link()}
        self.readers = {"aarhus": Reader(), "vejle": Reader()}
        self.sensors = {
            "air-roof": Sensor(
                live={
                    1: live(1, "air-roof", "air.pm25", "ug/m3", 7.3),
                    2: live(2, "air-roof", "air.pm10", "ug/m3", 12.1),
                }
            ),
            "air-square": Sensor(
                driver="ruuvi",
                interval_s=2.5,
                learnt_interval_s=2.5,
                gaps_ns=[5 * SECOND // 2] * 5,
            ),
            "meter": Sensor(
                driver="p1",
                domain="energy",
                privacy="P3",
                interval_s=10.0,
                live={3: live(3, "meter", "energy.active_import", "kW.h", 4711.25, privacy="P3")},
            ),
        }
        self.ports: dict[str, Port] = {"air-roof": Port(), "meter": Port()}
        self.recorder: Recording | None = None
        self.scanner: Scanner | None = Scanner()
        self.told_times: dict[str, ToldTime] = {}
        self.connections: Connections | None = Connections()
        self.task_restarts: dict[str, int] = {"link aarhus": 0}
        self.reloads = Reloads()
        self.started_ns = 0
        self.retention_s: dict[PrivacyClass, float | None] = {}
        self.sensor_retention_s: dict[str, float] = {}

    def tell_time(self, sensor: str, *, our_clock_ahead_s: float) -> None:
        """Let a sensor tell the time."""
        told = self.told_times[sensor] = ToldTime()
        utc_ns = self.wall_at_boot_ns + self.now_ns - round(our_clock_ahead_s * SECOND)
        for _ in range(LEAST_TOLD):
            told.add(utc_ns, self.now_ns)

    def look(self) -> View:
        return View(
            version="0.1.0",
            gateway="aarhus-dokk1-03",
            started_ns=self.started_ns,
            boot=7,
            clock=self.clock,
            buffer=self.buffer,
            flush_interval_s=5.0,
            hold_unsynced_s=60.0,
            flush_watch=self.flush_watch,
            loop_lag=self.loop_lag,
            links={name: LinkView(stats, self.readers[name]) for name, stats in self.links.items()},
            sensors=self.sensors,
            ports=self.ports,
            scanner=self.scanner,
            recorder=self.recorder,
            told_times=self.told_times,
            connections=self.connections,
            task_restarts=self.task_restarts,
            reloads=self.reloads,
            retention_s=self.retention_s,
            sensor_retention_s=self.sensor_retention_s,
        )
