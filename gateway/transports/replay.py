"""Recorded bytes and advertisements, played back through the same entries as real ones."""

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import aclosing
from pathlib import Path
from typing import Generic, TypeVar

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driver import Advert, Restarted, Stream
from gateway.errors import PortError
from gateway.transports.advert_entry import AdvertEntry, Beacons
from gateway.transports.line_source import LineSource
from gateway.transports.recording import (
    RecordedBytes,
    RecordingError,
    parse_advert,
    parse_bytes,
)
from gateway.transports.sink import Sink
from gateway.transports.stats import AdapterStats, PortStats, ScannerStats

__all__ = ["AdvertReplay", "ReplayTransport"]

MAX_PAUSE_S = 3600.0
"""A longer gap in a recording is played as this long."""
FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
"""First and longest limit of the wait for a recording that is not there yet."""

LOGGER = logging.getLogger("citylab_gateway.transports")

Item = TypeVar("Item")


class _Pace:
    """Makes lines come as far apart as they were recorded, divided by the speed."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._last_time_s: float | None = None
        self._due = 0.0

    async def wait(self, time_s: float) -> None:
        """Return when the line recorded at ``time_s`` is due; at once for speed 0.

        Time that goes back, as when a pipe gets a new writer, begins anew.
        """
        if self._speed == 0:
            return
        now = asyncio.get_running_loop().time()
        if self._last_time_s is None or time_s < self._last_time_s:
            self._due = now
        else:
            self._due += min(time_s - self._last_time_s, MAX_PAUSE_S) / self._speed
        self._last_time_s = time_s
        if self._due > now:
            await asyncio.sleep(self._due - now)


class _Replay(ABC, Generic[Item]):
    """Opens a recording, waits while it is missing, and plays it; what a line means is open."""

    def __init__(
        self, path: Path | str, speed: float, source_stats: PortStats | AdapterStats
    ) -> None:
        if speed < 0:
            raise ValueError(f"the speed of a replay must not be negative, got {speed}")
        self.finished = asyncio.Event()
        """Set when the end of a file was played; a pipe has no end."""
        self._path = str(path)
        self._speed = speed
        self._source_stats = source_stats

    async def run(self) -> None:
        """Play until cancelled; at the end of a file stay idle, so that it is played once."""
        source = await self._open()
        try:
            self._source_stats.open = True
            await self._play(source)
        finally:
            self._source_stats.open = False
            source.close()
        LOGGER.info("%s: played to its end", self._path)
        self.finished.set()
        await asyncio.get_running_loop().create_future()

    async def _open(self) -> LineSource:
        backoff = Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
        while True:
            try:
                return LineSource(self._path)
            except PortError as error:
                if str(error) != self._source_stats.last_error:
                    LOGGER.warning("%s", error)
                self._source_stats.last_error = str(error)
            await asyncio.sleep(backoff.next_s())

    async def _play(self, source: LineSource) -> None:
        pace = _Pace(self._speed)
        async with aclosing(source.lines()) as lines:
            async for line in lines:
                try:
                    played = self._parse(line)
                except RecordingError as error:
                    self._source_stats.malformed_lines += 1
                    self._source_stats.last_error = f"{self._path}: a line {error}"
                    continue
                if played is not None:
                    time_s, item = played
                    await pace.wait(time_s)
                    self._deliver(item)

    @abstractmethod
    def _parse(self, line: bytes) -> tuple[float, Item] | None:
        """Return time and content of a line, None to pass over it; RecordingError if malformed."""

    @abstractmethod
    def _deliver(self, item: Item) -> None:
        """Hand over what is due now."""


class ReplayTransport(_Replay[RecordedBytes]):
    """Plays the bytes of one sensor from a JSON Lines file or pipe (see recording.py).

    Lines that name another sensor are passed over. ``speed`` 1 is the recorded pace, 0 as fast as
    it goes. There is no device, so nothing is sent.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a port is
        self,
        *,
        sensor: str,
        path: Path | str,
        driver: Stream,
        sink: Sink,
        clock: Clock,
        speed: float = 1.0,
    ) -> None:
        self.stats = PortStats(port=str(path))
        super().__init__(path, speed, self.stats)
        self._sensor = sensor
        self._driver = driver
        self._sink = sink
        self._clock = clock

    def _parse(self, line: bytes) -> tuple[float, RecordedBytes] | None:
        recorded = parse_bytes(line)
        return (recorded.time_s, recorded) if recorded.sensor in ("", self._sensor) else None

    def _deliver(self, item: RecordedBytes) -> None:
        received_ns = self._clock.now_ns()
        self.stats.received_bytes += len(item.data)
        self.stats.last_received_ns = received_ns
        outcomes = list(self._driver.feed(item.data))
        if outcomes:
            self.stats.device_restarts += sum(isinstance(each, Restarted) for each in outcomes)
            self._sink.accept(self._sensor, outcomes, received_ns)


class AdvertReplay(_Replay[Advert]):
    """Plays advertisements from a JSON Lines file or pipe to the beacons of a scanner.

    Those of addresses that are not configured are forgotten at once.
    """

    def __init__(
        self,
        *,
        path: Path | str,
        beacons: Beacons,
        sink: Sink,
        clock: Clock,
        speed: float = 1.0,
    ) -> None:
        played = AdapterStats(mode="replay")
        super().__init__(path, speed, played)
        self.stats = ScannerStats(adapters={"replay": played})
        self._entry = AdvertEntry(beacons, sink, self.stats)
        self._clock = clock

    def _parse(self, line: bytes) -> tuple[float, Advert] | None:
        time_s, advert = parse_advert(line)
        return (time_s, advert) if self._entry.knows(advert.address) else None

    def _deliver(self, item: Advert) -> None:
        self._entry.accept(item, self._clock.now_ns())
