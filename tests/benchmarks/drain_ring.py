"""A real ring on disk with a backlog in it, and who is speaking."""

from array import array
from collections.abc import Sequence
from pathlib import Path

from gateway.buffer import Buffer, BufferSettings
from gateway.clock import Clock
from gateway.config.model import Position
from gateway.forward import FormatContext, SensorFacts
from gateway.reading import SeriesKey

__all__ = ["LINK", "Feed", "context", "fill", "settings"]

LINK = "city"
"""The one link that the ring keeps a cursor for."""
SENSORS = 10
QUANTITIES = ("air.pm25", "air.pm10")
"""Each sensor gives both at the same time, once a second."""
SPACING_NS = 1_000_000_000 // SENSORS
CHUNK = 20_000
"""Readings that are appended before a flush."""
BYTES_PER_READING = 26
MIN_RING_BYTES = 64 << 20
MIB = 1 << 20

Columns = tuple["array[int]", "array[int]", "array[float]", "array[int]"]


def context() -> FormatContext:
    """Return what the daemon knows of itself and its sensors."""
    facts = SensorFacts(
        driver="sds011",
        title="a dust sensor",
        domain="air",
        interval_s=1.0,
        privacy="P0",
        quantities=QUANTITIES,
    )
    return FormatContext(
        tenant="aarhus",
        gateway="dokk1-03",
        location=Position(lon=10.2134, lat=56.1535),
        sensors={f"air-{number}": facts for number in range(SENSORS)},
        version="0",
    )


def settings(folder: Path, readings: int) -> BufferSettings:
    """Return a ring with room for half as much again."""
    size_bytes = max(MIN_RING_BYTES, readings * BYTES_PER_READING * 3 // 2)
    return BufferSettings(
        directory=folder / "data",
        runtime_directory=folder / "run",
        size_bytes=-(-size_bytes // MIB) * MIB,
    )


class Feed:
    """Appends readings of all sensors in turn, the last of ``readings`` measured about now."""

    def __init__(self, buffer: Buffer, clock: Clock, readings: int) -> None:
        self._buffer = buffer
        self._series: Sequence[int] = [
            buffer.series_id(SeriesKey(f"air-{sensor}", quantity), unit="ug/m3", privacy="P0")
            for sensor in range(SENSORS)
            for quantity in QUANTITIES
        ]
        self._first_ns = clock.now_ns() - readings // len(QUANTITIES) * SPACING_NS
        self._count = 0

    def append(self, count: int) -> None:
        """Append so many, and wake nobody."""
        begin, end = self._count, self._count + count
        self._count = end
        kinds, first_ns = len(QUANTITIES), self._first_ns
        series = array("I", (self._series[i % len(self._series)] for i in range(begin, end)))
        times = array("q", (first_ns + i // kinds * SPACING_NS for i in range(begin, end)))
        values = array("d", ((30 + i * 7 % 900) / 10 for i in range(begin, end)))
        self._buffer._ring.append_many(series, times, values, array("H", [0]) * count)

    def append_now(self, time_ns: int) -> None:
        """Append one that is measured now."""
        i = self._count
        self._count += 1
        series_id = self._series[i % len(self._series)]
        self._buffer.append(series_id, time_ns, (30 + i * 7 % 900) / 10, 0)


async def fill(folder: Path, readings: int, clock: Clock) -> None:
    """Make a ring with so many readings that the link is owed, and close it."""
    buffer = await Buffer.open(settings(folder, readings), clock)
    try:
        buffer.reader(LINK, from_oldest=True)
        feed, left = Feed(buffer, clock, readings), readings
        while left:
            feed.append(min(CHUNK, left))
            left -= min(CHUNK, left)
            await buffer.flush()
    finally:
        await buffer.close()
