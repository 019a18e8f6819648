"""All of opening that blocks: lock, ring, catalogue and boots, or a ring in memory instead."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer.boots import Boot, Boots, load_boots, save_boots
from gateway.buffer.catalogue import FIRST_VOLATILE_ID, ID_RANGE, Catalogue, load_catalogue
from gateway.buffer.files import (
    Damaged,
    DirectoryLock,
    UnavailableFile,
    make_directory,
)
from gateway.buffer.flusher import OPEN_FILE, Persist
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, SALT_SIZE, VOLATILE_EPOCH, Super
from gateway.buffer.recovery import MIN_BLOCKS, RING_FILE, Recovered, recover
from gateway.buffer.retention import DEFAULT_RETENTION_S
from gateway.buffer.store import OpenFile, Store
from gateway.clock import Clock
from gateway.reading import PrivacyClass

__all__ = ["BufferSettings", "Opened", "discard", "open_directory", "open_storage"]

logger = logging.getLogger("citylab_gateway.buffer")


@dataclass(frozen=True, slots=True, kw_only=True)
class BufferSettings:
    """Where the ring lives and how often it is made durable."""

    directory: Path
    runtime_directory: Path
    size_bytes: int
    flush_interval_s: float = 5.0
    open_interval_s: float = 0.25
    flush_interval_max_s: float = 30.0
    """An idle gateway flushes after six flush intervals, but never later than this."""
    persist: Persist = "all"
    """``unacknowledged``: what every link has settled before the flush is not written."""
    retention_s: Mapping[PrivacyClass, float | None] = field(
        default_factory=lambda: dict(DEFAULT_RETENTION_S)
    )
    """How old readings of a class may become and still be read; None: as long as they fit."""
    sensor_retention_s: Mapping[str, float] = field(default_factory=dict)
    """The same for single sensors, by name; the shorter of both counts."""
    hold_unsynced_s: float = 0.0
    """Readings of a boot whose clock is not right yet are given out so long after opening."""


@dataclass(slots=True)
class Opened:
    """What the worker thread prepared. Without a lock the ring is in memory only."""

    lock: DirectoryLock | None
    recovered: Recovered
    catalogue: Catalogue
    boots: Boots
    problem: str = ""


def open_directory(settings: BufferSettings, clock: Clock, open_file: OpenFile) -> Opened:
    """Open the ring, or begin one in memory if the storage cannot be used.

    DataDirectoryBusy if another daemon holds the directory.
    """
    try:
        return open_storage(settings, clock, open_file)
    except OSError as error:
        logger.error(  # noqa: TRY400 - the reason is one line for a technician
            "%s cannot be used, readings are only in memory until it can: %s",
            settings.directory,
            error,
        )
        return _open_volatile(settings, clock, error)


def open_storage(
    settings: BufferSettings, clock: Clock, open_file: OpenFile, *, tolerant: bool = False
) -> Opened:
    """Open the ring of a data directory, or begin one there. OSError, or DataDirectoryBusy.

    ``tolerant``: a few places that cannot be read count as damaged; see ``recover``.
    """
    make_directory(settings.directory)
    lock = DirectoryLock(settings.directory)
    try:
        return _open_locked(settings, clock, open_file, lock, tolerant=tolerant)
    except OSError:
        lock.release()
        raise


def discard(lock: DirectoryLock | None, store: Store) -> None:
    """Close the ring file and give the directory back."""
    try:
        store.close()
    except OSError as error:
        logger.warning("closing the ring file: %s", error)
    if lock is not None:
        lock.release()


def _open_locked(
    settings: BufferSettings,
    clock: Clock,
    open_file: OpenFile,
    lock: DirectoryLock,
    *,
    tolerant: bool,
) -> Opened:
    directory = settings.directory
    damaged = Damaged(directory)
    recovered = recover(
        directory,
        size_bytes=settings.size_bytes,
        open_image=_open_image(settings.runtime_directory),
        boot_id=clock.boot_id,
        open_file=open_file,
        damaged=damaged,
        tolerant=tolerant,
    )
    try:
        catalogue = load_catalogue(
            directory,
            damaged,
            epoch=recovered.store.content.epoch,
            fresh=recovered.next_sequence == 0,
        )
        boots = load_boots(directory, damaged, clock, newest=recovered.newest_boot)
    except OSError:
        recovered.store.close()
        raise
    changed = boots.take_changes()
    if changed is not None:
        try:
            save_boots(directory, changed)
        except OSError as error:
            boots.not_saved()
            logger.warning("boots.json cannot be written now: %s", error)
    return Opened(lock, recovered, catalogue, boots)


def _open_image(runtime_directory: Path) -> bytes:
    try:
        make_directory(runtime_directory)
        return (runtime_directory / OPEN_FILE).read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        logger.warning("%s cannot be used: %s", runtime_directory, error)
        return b""


def _open_volatile(settings: BufferSettings, clock: Clock, error: OSError) -> Opened:
    """Begin a ring that has nowhere to go yet; its epoch can never be one of a ring on disk.

    Nor can its series ids, so that nobody has to ask for them again when the storage is back.
    """
    epoch = VOLATILE_EPOCH + int.from_bytes(os.urandom(4), "little") % VOLATILE_EPOCH
    blocks = max(MIN_BLOCKS, settings.size_bytes // BLOCK_SIZE - FIRST_DATA_SLOT)
    content = Super(os.urandom(SALT_SIZE), blocks, generation=0, epoch=epoch)
    path = settings.directory / RING_FILE
    file = UnavailableFile(error)
    store = Store(path, lambda _: file, file, content, Damaged(settings.directory))
    room = (1 << 32) - FIRST_VOLATILE_ID - ID_RANGE
    first_id = FIRST_VOLATILE_ID + int.from_bytes(os.urandom(4), "little") % room
    boots = Boots([], Boot(1, clock.boot_id, clock.offset_ns), clock)
    boots.note_clock()
    return Opened(None, Recovered(store), Catalogue(first_id=first_id), boots, str(error))
