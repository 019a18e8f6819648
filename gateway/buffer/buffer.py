"""The durable ring buffer as the rest of the daemon sees it."""

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gateway.buffer.boots import Boots, load_boots, save_boots
from gateway.buffer.catalogue import Catalogue, load_catalogue
from gateway.buffer.cursors import Links, Reader, Source
from gateway.buffer.files import (
    Damaged,
    DirectoryLock,
    RingFile,
    UnavailableFile,
    make_directory,
)
from gateway.buffer.flusher import OPEN_FILE, Flusher, Worker
from gateway.buffer.layout import (
    BLOCK_SIZE,
    EMPTY_SLOT,
    FIRST_DATA_SLOT,
    SALT_SIZE,
    Super,
    link_id,
)
from gateway.buffer.recovery import MIN_BLOCKS, RING_FILE, Recovered, recover
from gateway.buffer.ring import Ring
from gateway.buffer.store import Ahead, OpenFile, Store
from gateway.clock import Clock
from gateway.errors import DataDirectoryBusy
from gateway.reading import PrivacyClass, Series, SeriesKey

__all__ = ["Buffer", "BufferSettings", "BufferStats"]

logger = logging.getLogger("citylab_gateway.buffer")

MAX_UNFLUSHED_BLOCKS = 4096
"""Memory for blocks that the disk does not take: 16 MiB, 660,000 readings; then the oldest go."""
VOLATILE_EPOCH = 1 << 31
"""Epochs from here on belong to rings that only ever lived in memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """Where the ring lives and how often it is made durable."""

    directory: Path
    runtime_directory: Path
    size_bytes: int
    flush_interval_s: float = 5.0
    open_interval_s: float = 0.25


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
    damaged_blocks: int
    degraded: bool
    degraded_reason: str
    recovered_readings_open_block: int


@dataclass(slots=True)
class _Opened:
    """What the worker thread prepared."""

    lock: DirectoryLock | None
    recovered: Recovered
    catalogue: Catalogue
    boots: Boots
    problem: str = ""


class Buffer:
    """Accepts readings, makes them durable, and lends them to readers. One per data directory."""

    def __init__(self, settings: BufferSettings, worker: Worker, opened: _Opened) -> None:
        recovered = opened.recovered
        self._settings = settings
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
        self._source = Source(self._ring, self._boots, self._fetch, self._wakeup)
        self._links = self._make_links(recovered)
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
        memory, degraded until the next start. DataDirectoryBusy if another daemon holds it.
        """
        worker = Worker()
        try:
            opened = await worker.call(_open, settings, clock, open_file)
        except DataDirectoryBusy:
            await worker.close()
            raise
        return cls(settings, worker, opened)

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
            damaged_blocks=store.damaged_blocks,
            degraded=flusher.degraded or bool(self._problem),
            degraded_reason=self._problem or flusher.reason,
            recovered_readings_open_block=self._replayed,
        )

    def series_id(self, key: SeriesKey, *, unit: str, privacy: PrivacyClass) -> int:
        """Return the id of a series, which is created on first sight (else a dict hit)."""
        return self._catalogue.series_id(key, unit=unit, privacy=privacy)

    def series(self, series_id: int) -> Series:
        """Return what an id means; one that nobody knows is a series ``unknown-<id>``, class P3."""
        return self._catalogue.series(series_id)

    def note_clock(self) -> None:
        """Take over what the clock knows now; each flush and each batch do so, too."""
        self._boots.note_clock()

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

    async def flush(self, *, cursors: bool = False) -> None:
        """Return when everything appended before the call is durable. OSError if it is not.

        ``cursors``: also store cursors that moved without new readings (on reload).
        """
        await self._flusher.flush(cursors=cursors)

    async def run(self) -> None:
        """Flush, save the open block and fill the file in their intervals, until cancelled."""
        await self._flusher.run(
            flush_interval_s=self._settings.flush_interval_s,
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
        try:
            self._store.close()
        except OSError as error:
            logger.warning("closing the ring file: %s", error)
        if self._lock is not None:
            self._lock.release()

    def _oldest(self) -> tuple[int, int | None]:
        """Return sequence and wall time of the oldest readable reading."""
        oldest = self._store.oldest
        if oldest is not None and oldest.sequence < self._ring.memory_first:
            stamp = oldest.stamp
            offset_ns, _ = self._boots.offset(
                stamp.boot, stamp.offset_ns, stored_synced=stamp.synced
            )
            return oldest.sequence, stamp.time_ns + offset_ns
        first = self._ring.memory_first
        return first, self._source.stamp_ns(self._source.stamp(first))

    async def _fetch(
        self, position: int, hint: int, memory: tuple[int, int], *, give_up: bool
    ) -> Ahead:
        return await self._worker.call(self._store.fetch, position, hint, memory, give_up=give_up)

    def _make_links(self, recovered: Recovered) -> Links:
        slots = recovered.store.content.links
        found = zip(slots, recovered.cursors, recovered.oldest_pending, strict=True)
        return Links(
            slots,
            [
                None
                if slot.id == EMPTY_SLOT.id
                else Reader(slot.name, cursor, self._source, oldest=oldest)
                for slot, cursor, oldest in found
            ],
        )


def _open(settings: BufferSettings, clock: Clock, open_file: OpenFile) -> _Opened:
    """Do all of opening that blocks; runs in the worker thread."""
    lock = None
    try:
        make_directory(settings.directory)
        lock = DirectoryLock(settings.directory)
        return _open_locked(settings, clock, open_file, lock)
    except OSError as error:
        if lock is not None:
            lock.release()
        logger.error(  # noqa: TRY400 - the reason is one line for a technician
            "%s cannot be used, readings are only in memory until the next start: %s",
            settings.directory,
            error,
        )
        return _open_volatile(settings, clock, error)


def _open_locked(
    settings: BufferSettings, clock: Clock, open_file: OpenFile, lock: DirectoryLock
) -> _Opened:
    directory = settings.directory
    damaged = Damaged(directory)
    recovered = recover(
        directory,
        size_bytes=settings.size_bytes,
        open_image=_open_image(settings.runtime_directory),
        boot_id=clock.boot_id,
        open_file=open_file,
        damaged=damaged,
    )
    catalogue = load_catalogue(
        directory,
        damaged,
        epoch=recovered.store.content.epoch,
        fresh=recovered.next_sequence == 0,
    )
    boots = load_boots(directory, damaged, clock, newest=recovered.newest_boot)
    changed = boots.take_changes()
    if changed is not None:
        try:
            save_boots(directory, changed)
        except OSError as error:
            boots.not_saved()
            logger.warning("boots.json cannot be written now: %s", error)
    return _Opened(lock, recovered, catalogue, boots)


def _open_image(runtime_directory: Path) -> bytes:
    try:
        make_directory(runtime_directory)
        return (runtime_directory / OPEN_FILE).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        logger.warning("%s cannot be used: %s", runtime_directory, error)
        return b""


def _open_volatile(settings: BufferSettings, clock: Clock, error: OSError) -> _Opened:
    """Begin a ring that has nowhere to go; its epoch can never be one of a ring on disk."""
    epoch = VOLATILE_EPOCH + int.from_bytes(os.urandom(4), "little") % VOLATILE_EPOCH
    blocks = max(MIN_BLOCKS, settings.size_bytes // BLOCK_SIZE - FIRST_DATA_SLOT)
    content = Super(os.urandom(SALT_SIZE), blocks, generation=0, epoch=epoch)
    path = settings.directory / RING_FILE
    file = UnavailableFile(error)
    store = Store(path, lambda _: file, file, content, Damaged(settings.directory))
    boots = load_boots(settings.directory, Damaged(settings.directory), clock, newest=None)
    return _Opened(None, Recovered(store), Catalogue(), boots, problem=str(error))
