"""The durable ring buffer as the rest of the daemon sees it."""

import asyncio
import errno
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.buffer.cursors import Links, Reader, Source
from gateway.buffer.files import RingFile
from gateway.buffer.flusher import Flusher, Worker
from gateway.buffer.healing import found_readers, heal, merged_links
from gateway.buffer.hold import Hold
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, link_id
from gateway.buffer.opening import BufferSettings, Opened, discard, open_directory
from gateway.buffer.retention import Retention
from gateway.buffer.ring import Ring
from gateway.buffer.store import Ahead, OpenFile
from gateway.buffer.wear import Wear
from gateway.clock import Clock
from gateway.errors import DataDirectoryBusy
from gateway.reading import PrivacyClass, Series, SeriesKey

__all__ = ["Buffer", "BufferSettings", "BufferStats"]

logger = logging.getLogger("citylab_gateway.buffer")

NS_PER_S = 1_000_000_000
HOLD_LOOK_MIN_S = 0.01
HOLD_LOOK_MAX_S = 1.0
"""Boot time counts on while the machine is suspended, and a sleep does not."""
MAX_UNFLUSHED_BLOCKS = 4096
"""Memory for blocks that the disk does not take: 16 MiB, 660,000 readings; then the oldest go."""


@dataclass(slots=True, kw_only=True)
class BufferStats:
    """Plain numbers about one moment."""

    size_bytes: int
    blocks: int
    blocks_used: int
    appended_readings: int
    """Since this process opened the ring."""
    oldest_sequence: int
    next_sequence: int
    oldest_time_ns: int | None
    """Wall time of the oldest readable reading."""
    flushes: int
    flush_errors: int
    last_flush_s: float
    unflushed_readings: int
    lost_readings: int
    """Fell out of memory before the disk took them; each link sees them as a gap, too."""
    written_bytes: int
    """To the ring file, by this process."""
    written_readings: int
    unwritten_readings: int
    """Never written, because all links had settled them before (``persist``)."""
    bytes_per_reading: float | None
    """Written bytes over written readings; None before the first."""
    bytes_per_day: float | None
    """At the rate since this process began; None in the first minute."""
    damaged_blocks: int
    degraded: bool
    degraded_reason: str
    recovered_readings_open_block: int
    time_bound_s: float | None
    """How far wall times of the running boot may be from the truth; None: nobody knows."""


class Buffer:
    """Accepts readings, makes them durable, and lends them to readers. One per data directory."""

    def __init__(
        self,
        settings: BufferSettings,
        clock: Clock,
        open_file: OpenFile,
        worker: Worker,
        opened: Opened,
    ) -> None:
        recovered = opened.recovered
        self._settings = settings
        self._clock = clock
        self._opened_ns = clock.now_ns()
        self._open_file = open_file
        self._worker = worker
        self._lock = opened.lock
        self._store = recovered.store
        self._catalogue = opened.catalogue
        self._boots = opened.boots
        self._replayed = recovered.replayed_readings
        self._wakeup = asyncio.Event()
        self._problem = opened.problem
        self.epoch = recovered.store.content.epoch
        self.boot = opened.boots.current.number
        self._ring = Ring(
            epoch=self.epoch,
            boot=self.boot,
            next_sequence=recovered.next_sequence,
            max_unflushed_blocks=min(MAX_UNFLUSHED_BLOCKS, self._store.blocks),
            recent=recovered.recent,
        )
        self._first_sequence = recovered.next_sequence
        retention = Retention(
            settings.retention_s, self._catalogue.series, self._boots, settings.sensor_retention_s
        )
        self._hold = Hold(self._boots, clock, settings.hold_unsynced_s)
        self._source = Source(
            self._ring, self._boots, self._fetch, self._wakeup, retention, self._hold
        )
        self._links = Links(recovered.store.content.links, found_readers(recovered, self._source))
        self._flusher = Flusher(
            ring=self._ring,
            store=self._store,
            worker=worker,
            directory=settings.directory,
            runtime_directory=settings.runtime_directory,
            next_number=recovered.next_number,
            catalogue=self._catalogue,
            boots=self._boots,
            links=self._links,
            renew_lock=self._renew_lock,
            volatile=opened.lock is None,
            persist=settings.persist,
        )
        self.append: Callable[[int, int, float, int], int] = self._ring.append
        """``append(series_id, time_ns, value, flags) -> sequence``: take one reading.

        Boot time in ns; the value must be finite. Never waits and does no I/O. The ring's own
        method, without a call in between.
        """
        self._closed = False

    @classmethod
    async def open(
        cls, settings: BufferSettings, clock: Clock, *, open_file: OpenFile = RingFile
    ) -> "Buffer":
        """Open the ring of a data directory, or begin one.

        Whatever the disk holds, this succeeds; storage that cannot be used at all gives a ring in
        memory, degraded until ``run`` finds that it can be used. DataDirectoryBusy if another
        daemon holds it.
        """
        worker = Worker()
        try:
            opened = await worker.call(open_directory, settings, clock, open_file)
        except DataDirectoryBusy:
            await worker.close()
            raise
        return cls(settings, clock, open_file, worker, opened)

    @property
    def next_sequence(self) -> int:
        """Sequence of the next reading."""
        return self._ring.next_sequence

    @property
    def readers(self) -> Mapping[str, Reader]:
        """All links that the ring keeps a cursor for, by name; also those not asked for yet."""
        return MappingProxyType(self._links.by_name)

    @property
    def on_flush(self) -> Callable[[float], None] | None:
        """Called with the duration of each flush in seconds."""
        return self._flusher.on_flush

    @on_flush.setter
    def on_flush(self, observer: Callable[[float], None] | None) -> None:
        self._flusher.on_flush = observer

    @property
    def stats(self) -> BufferStats:
        """Return the numbers of this moment."""
        store, flusher = self._store, self._flusher
        oldest_sequence, oldest_time_ns = self._oldest()
        elapsed_s = (self._clock.now_ns() - self._opened_ns) / NS_PER_S
        wear = Wear(store.written_bytes, flusher.written_readings, elapsed_s)
        return BufferStats(
            size_bytes=(FIRST_DATA_SLOT + store.blocks) * BLOCK_SIZE,
            blocks=store.blocks,
            blocks_used=min(flusher.next_number, store.blocks),
            appended_readings=self._ring.next_sequence - self._first_sequence,
            oldest_sequence=oldest_sequence,
            next_sequence=self._ring.next_sequence,
            oldest_time_ns=oldest_time_ns,
            flushes=flusher.flushes,
            flush_errors=flusher.flush_errors,
            last_flush_s=flusher.last_flush_s,
            unflushed_readings=self._ring.unflushed_readings,
            lost_readings=self._ring.lost_readings,
            written_bytes=store.written_bytes,
            written_readings=flusher.written_readings,
            unwritten_readings=flusher.unwritten_readings,
            bytes_per_reading=wear.bytes_per_reading,
            bytes_per_day=wear.bytes_per_day,
            damaged_blocks=store.damaged_blocks,
            degraded=flusher.degraded or bool(self._problem),
            degraded_reason=self._problem or flusher.reason,
            recovered_readings_open_block=self._replayed,
            time_bound_s=self._boots.current_bound_s,
        )

    def series_id(
        self,
        key: SeriesKey,
        *,
        unit: str,
        privacy: PrivacyClass,
        calibration: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        """Return the id of a series, which is created on first sight (else a dict hit).

        ``calibration`` says where its values come from; a changed one makes a new series.
        """
        return self._catalogue.series_id(key, unit=unit, privacy=privacy, calibration=calibration)

    def series(self, series_id: int) -> Series:
        """Return what an id means; one that nobody knows is a series ``unknown-<id>``, class P3."""
        return self._catalogue.series(series_id)

    def series_of(self, sensor: str) -> list[Series]:
        """Return all series of a sensor, in the order of creation."""
        return self._catalogue.series_of(sensor)

    def limit_sensors(self, retention_s: Mapping[str, float]) -> None:
        """Replace the retention of single sensors, in s by name; it holds from the next read on."""
        self._source.retention.limit_sensors(retention_s)

    def note_clock(self) -> None:
        """Take over what the clock knows now; each flush and each batch do so, too.

        When the clock has become right, what waited for that goes out.
        """
        was_on = self._hold.is_on
        self._boots.note_clock()
        if was_on and not self._hold.is_on:
            self.notify()

    def notify(self) -> None:
        """Wake the readers, once after a burst of appends."""
        self._wakeup.set()
        self._wakeup.clear()

    def reader(self, name: str, *, from_oldest: bool = False) -> Reader:
        """Return the reader of a link, which is registered on first sight.

        A new link is owed what comes from now on, or with ``from_oldest`` everything that is still
        readable. ValueError if 16 links are registered already.
        """
        known = self._links.by_name.get(name)
        if known is not None:
            return known
        link_id(name)
        first = self._oldest()[0] if from_oldest else self._ring.next_sequence
        reader = Reader(name, first, self._source)
        self._links.add(reader, from_block=self._flusher.next_number)
        return reader

    def forget_reader(self, name: str) -> None:
        """Free the place of a link that was removed from the configuration."""
        self._links.remove(name)

    def rename_reader(self, old: str, new: str) -> None:
        """Give a link another name; its cursor, its counters and what it is owed stay.

        KeyError if nobody has the old name, ValueError if another link has the new one or if that
        does not fit. Durable with the next flush.
        """
        self._links.rename(old, new)

    async def flush(self, *, cursors: bool = False) -> None:
        """Return when everything appended before the call is durable. OSError if it is not.

        ``cursors``: also store cursors that moved without new readings (on reload).
        """
        await self._flusher.flush(cursors=cursors)

    async def purge(self, sensor: str | None = None) -> int:
        """Remove what was accepted from a sensor so far (None: from all) and its name.

        Returns how many readings that were; links that did not have them yet count them as
        dropped{"purged"}. Names and ids leave the catalogue: whoever still holds an id of that
        sensor has to ask for it again. OSError if the disk refuses; then ask again.
        """
        removed = 0
        series = None if sensor is None else self._catalogue.ids_of(sensor)
        if series is None or series:
            removed = await self._flusher.purge(series)
        await self._flusher.forget_names(sensor)
        logger.warning("%d readings were removed on request", removed)
        return removed

    async def run(self) -> None:
        """Flush, save the open block and fill the file in their intervals, until cancelled.

        Storage that could not be used when opening is asked again, with growing pauses.
        """
        async with asyncio.TaskGroup() as tasks:
            if self._lock is None:
                tasks.create_task(self._heal())
            if self._hold.is_on:
                tasks.create_task(self._end_hold())
            await self._flusher.run(
                flush_interval_s=self._settings.flush_interval_s,
                flush_interval_max_s=self._settings.flush_interval_max_s,
                open_interval_s=self._settings.open_interval_s,
            )

    async def close(self) -> None:
        """Flush readings and cursors and give the directory back, also when the disk refuses.

        A second call does nothing.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self._flusher.flush(cursors=True)
        except OSError as error:
            unflushed = self._ring.unflushed_readings
            logger.log(
                logging.ERROR if unflushed else logging.WARNING,
                "the last flush failed, %d readings are lost: %s",
                unflushed,
                error,
            )
        finally:
            await self._worker.call(self._release)
            await self._worker.close()

    def _release(self) -> None:
        discard(self._lock, self._store)

    def _oldest(self) -> tuple[int, int | None]:
        """Return sequence and wall time of the oldest readable reading."""
        oldest = self._store.oldest
        if oldest is not None and oldest.sequence < self._ring.memory_first:
            return oldest.sequence, self._source.stamp_ns(oldest.stamp)
        first = self._ring.memory_first
        return first, self._source.stamp_ns(self._source.stamp(first))

    async def _fetch(
        self, position: int, hint: int, memory: tuple[int, int], *, give_up: bool
    ) -> Ahead:
        return await self._worker.call(self._store.fetch, position, hint, memory, give_up=give_up)

    async def _heal(self) -> None:
        await heal(
            self._settings,
            self._clock,
            self._open_file,
            self._worker,
            source=self._source,
            readers=lambda: tuple(self._links),
            adopt=self._adopt,
        )

    async def _end_hold(self) -> None:
        """Let out what waits for the clock when it has waited for long enough."""
        while self._hold.is_on:
            await asyncio.sleep(min(max(self._hold.left_s, HOLD_LOOK_MIN_S), HOLD_LOOK_MAX_S))
            self._boots.note_clock()
        self.notify()

    async def _adopt(self, opened: Opened) -> None:
        """Put all that was accepted in memory behind what the storage holds, now that it is back.

        ValueError, and nothing changed, if the catalogues contradict each other.
        """
        recovered = opened.recovered
        store, by = recovered.store, recovered.next_sequence

        def switch() -> None:
            self._catalogue.adopt(opened.catalogue)
            self._boots.adopt(opened.boots)
            self._lock, self._store, self._problem = opened.lock, store, ""
            self.epoch, self.boot = store.content.epoch, self._boots.current.number
            self._replayed = recovered.replayed_readings
            self._first_sequence += by
            self._ring.renumber(by, epoch=self.epoch, boot=self.boot, recent=recovered.recent)
            slots, readers = merged_links(recovered, self._links.places, self._source)
            self._links.adopt(slots, readers)

        await self._flusher.adopt(store, recovered.next_number, switch)
        self.notify()

    def _renew_lock(self) -> None:
        if self._lock is None:
            return
        try:
            self._lock.renew()
        except DataDirectoryBusy as error:
            raise OSError(errno.EBUSY, str(error)) from error
