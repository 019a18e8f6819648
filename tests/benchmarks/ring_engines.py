"""What the ring is measured beside: each takes readings, makes them durable, gives them back."""

import asyncio
import os
import sqlite3
import time
from array import array
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Protocol

import persistqueue
import pytest

from gateway.buffer import Batch, Buffer, BufferSettings
from gateway.clock import Clock
from gateway.reading import SeriesKey
from tests.compiled.twin import INSTALLED, swap

__all__ = ["READING_BYTES", "Engine", "PersistQueue", "Raw", "RingEngine", "Sqlite"]

READING_BYTES = 24
BLOCK = 4096
BATCH = 200
RAW_BYTES = 64 << 20
READINGS_PER_BLOCK = 162
FLAGS = 0
START_NS = 40 * 86_400 * 10**9 + 123_456_789
"""An uptime of forty days: small numbers would be cheaper for SQLite than real ones."""
SPACING_NS = 9_876_543
INSERT = "INSERT INTO reading (series, t, value, flags) VALUES (?, ?, ?, ?)"
SELECT = "SELECT sequence, series, t, value, flags FROM reading WHERE sequence > ?"


class Engine(Protocol):
    """A store of readings; ``take`` returns when they are as durable as it can make them."""

    name: str

    def open(self, folder: Path) -> None:
        """Begin in an empty folder, or go on with what is there."""

    def take(self, count: int) -> None:
        """Keep so many readings and flush once."""

    def drain(self) -> int:
        """Read everything from the beginning, in batches; return how many readings came."""

    def close(self) -> None:
        """Give everything back."""


@cache
def columns(count: int) -> "tuple[array[int], array[int], array[float], array[int]]":
    """Return readings as the columns that the ring takes; made once, so that nobody is timed."""
    times = array("q", range(START_NS, START_NS + count * SPACING_NS, SPACING_NS))
    values = array("d", (20.0 + i % 100 / 7 for i in range(count)))
    return array("I", [1]) * count, times, values, array("H", [FLAGS]) * count


@cache
def rows(count: int) -> list[tuple[int, int, float, int]]:
    """Return the same readings as rows, made once, too."""
    return list(zip(*columns(count), strict=True))


class RingEngine:
    """Our buffer with one of the two rings. ``one_by_one``: append each reading, not a batch."""

    def __init__(self, ring: ModuleType, size_bytes: int, *, one_by_one: bool = True) -> None:
        self.name = "ring, compiled" if ring.COMPILED else "ring, interpreted"
        if not one_by_one:
            self.name += ", in batches"
        self._size_bytes = size_bytes
        self._one_by_one = one_by_one
        self._ring = ring
        self.opened_s = 0.0
        """How long the last opening took, without what ``open`` does after it."""

    def open(self, folder: Path) -> None:
        """Open it, and let the file have its full size, as it has after the first minutes."""
        self._runner = asyncio.Runner()
        settings = BufferSettings(
            directory=folder / "data",
            runtime_directory=folder / "run",
            size_bytes=self._size_bytes,
        )
        clock = Clock(trusted=True)
        with pytest.MonkeyPatch.context() as patch:
            swap(patch, INSTALLED, self._ring)
            began = time.perf_counter()
            self.buffer: Buffer = self._runner.run(Buffer.open(settings, clock))
            self.opened_s = time.perf_counter() - began
        self.buffer.series_id(SeriesKey("bench", "air.pm25"), unit="ug/m3", privacy="P0")
        self.buffer.reader("aarhus", from_oldest=True)
        while self.buffer._store.fill():
            pass
        self.flush()

    def take(self, count: int) -> None:
        """Append and flush."""
        if self._one_by_one:
            append = self.buffer.append
            for series, time_ns, value, flags in rows(count):
                append(series, time_ns, value, flags)
        else:
            self.buffer._ring.append_many(*columns(count))
        self.flush()

    def flush(self) -> None:
        """Flush."""
        self._runner.run(self.buffer.flush())

    def drain(self) -> int:
        """Read with a link, and settle."""
        with pytest.MonkeyPatch.context() as patch:
            swap(patch, INSTALLED, self._ring)
            return self._runner.run(self._drain())

    async def _drain(self) -> int:
        reader = self.buffer.reader("aarhus")
        count = 0
        while (item := await reader.read(BATCH)) is not None:
            assert isinstance(item, Batch), item
            reader.settle(item.first, item.last, acknowledged=len(item))
            count += len(item)
        return count

    def close(self) -> None:
        """Close the buffer."""
        self._runner.run(self.buffer.close())
        self._runner.close()


class Sqlite:
    """SQLite in WAL mode. ``synchronous``: NORMAL does not promise the last commits, FULL does."""

    def __init__(self, synchronous: str, *, per_reading: bool = False) -> None:
        self.name = f"SQLite {synchronous}" + (", per reading" if per_reading else "")
        self._synchronous = synchronous
        self._per_reading = per_reading

    def open(self, folder: Path) -> None:
        """Open the database."""
        self._base = sqlite3.connect(folder / "sqlite.db", isolation_level=None)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute(f"PRAGMA synchronous={self._synchronous}")
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS reading "
            "(sequence INTEGER PRIMARY KEY, series INT, t INT, value REAL, flags INT)"
        )

    def take(self, count: int) -> None:
        """Insert, in one transaction or in one for each reading."""
        if self._per_reading:
            for row in rows(count):
                self._base.execute(INSERT, row)
            return
        self._base.execute("BEGIN")
        self._base.executemany(INSERT, rows(count))
        self._base.execute("COMMIT")

    def drain(self) -> int:
        """Select in batches."""
        position = count = 0
        while found := self._base.execute(f"{SELECT} LIMIT {BATCH}", (position,)).fetchall():
            position = found[-1][0]
            count += len(found)
        return count

    def close(self) -> None:
        """Close the database, which moves the log into it."""
        self._base.close()


class PersistQueue:
    """persist-queue's SQLite queue; it commits each put, whatever ``auto_commit`` says."""

    name = "persist-queue"

    def open(self, folder: Path) -> None:
        """Open the queue."""
        self._queue = persistqueue.SQLiteQueue(str(folder / "queue"), auto_commit=False)

    def take(self, count: int) -> None:
        """Put each reading and commit."""
        for row in rows(count):
            self._queue.put(row)
        self._queue.task_done()

    def drain(self) -> int:
        """Get each reading."""
        count = self._queue.size
        for _ in range(count):
            self._queue.get()
        self._queue.task_done()
        return int(count)

    def close(self) -> None:
        """Close the queue."""
        self._queue.close()


class Raw:
    """The medium: the same bytes, padded to blocks, into a file of real zeros; fdatasync."""

    name = "pwrite + fdatasync"

    def open(self, folder: Path) -> None:
        """Make the file, and write it full once."""
        self._fd = os.open(folder / "raw", os.O_RDWR | os.O_CREAT)
        for at in range(0, RAW_BYTES, 1 << 20):
            os.pwrite(self._fd, bytes(1 << 20), at)
        os.fsync(self._fd)
        self._at = 0

    def take(self, count: int) -> None:
        """Write and sync."""
        size = -(-count // READINGS_PER_BLOCK) * BLOCK
        if self._at + size > RAW_BYTES:
            self._at = 0
        os.pwrite(self._fd, b"\x55" * size, self._at)
        os.fdatasync(self._fd)
        self._at += size

    def drain(self) -> int:
        """Read what was written."""
        return len(os.pread(self._fd, self._at, 0)) // BLOCK * READINGS_PER_BLOCK

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)
