"""What an append and a drained reading cost, beside SQLite with one transaction a flush.

Run by hand: ``python -m tests.benchmarks.bench_buffer [readings] [directory]``. Prints nanoseconds
for one reading and the ratio to SQLite measured in the same run; it judges nothing.
"""

import asyncio
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from gateway.buffer import Batch, Buffer, BufferSettings, Reader
from gateway.clock import Clock
from gateway.reading import SeriesKey

READINGS = 200_000
BATCH = 200
FLUSH_EVERY = 5_000
ROUNDS = 3


async def ring(folder: Path, readings: int) -> dict[str, float]:
    """Return ns a reading: appended alone, with flushes, drained from memory and from disk."""
    settings = BufferSettings(
        directory=folder / "data", runtime_directory=folder / "run", size_bytes=64 << 20
    )
    clock = await asyncio.to_thread(Clock, trusted=True)
    buffer = await Buffer.open(settings, clock)
    series = buffer.series_id(SeriesKey("bench", "air.pm25"), unit="ug/m3", privacy="P0")
    live = buffer.reader("live")
    buffer.reader("late")
    spent = dict.fromkeys(("append", "append and flush", "drain memory", "drain disk"), 0)
    for begin in range(0, readings, FLUSH_EVERY):
        count = min(FLUSH_EVERY, readings - begin)
        append, started = buffer.append, time.perf_counter_ns()
        for number in range(count):
            append(series, number, 21.5, 0)
        appended = time.perf_counter_ns()
        await buffer.flush()
        flushed = time.perf_counter_ns()
        await drain(live)
        spent["append"] += appended - started
        spent["append and flush"] += flushed - started
        spent["drain memory"] += time.perf_counter_ns() - flushed
    await buffer.close()
    buffer = await Buffer.open(settings, clock)
    started = time.perf_counter_ns()
    drained = await drain(buffer.reader("late"))
    spent["drain disk"] = time.perf_counter_ns() - started
    assert drained == readings
    await buffer.close()
    return {name: total / readings for name, total in spent.items()}


async def drain(reader: Reader) -> int:
    """Read everything in batches, settle each, and return how many readings came."""
    count = 0
    while (batch := await reader.read(BATCH)) is not None:
        if isinstance(batch, Batch):
            reader.settle(batch.first, batch.last, acknowledged=len(batch))
            count += len(batch)
    return count


def sqlite(folder: Path, readings: int) -> dict[str, float]:
    """Return ns a reading for the same work: WAL, synchronous FULL, one transaction a flush."""
    base = sqlite3.connect(folder / "sqlite.db", isolation_level=None)
    base.execute("PRAGMA journal_mode=WAL")
    base.execute("PRAGMA synchronous=FULL")
    base.execute(
        "CREATE TABLE reading (sequence INTEGER PRIMARY KEY, series INT, t INT, value REAL, f INT)"
    )
    insert = "INSERT INTO reading (series, t, value, f) VALUES (?, ?, ?, ?)"
    started = time.perf_counter_ns()
    for begin in range(0, readings, FLUSH_EVERY):
        base.execute("BEGIN")
        for number in range(min(FLUSH_EVERY, readings - begin)):
            base.execute(insert, (1, number, 21.5, 0))
        base.execute("COMMIT")
    written = time.perf_counter_ns()
    position = 0
    select = "SELECT * FROM reading WHERE sequence > ? ORDER BY sequence LIMIT ?"
    while rows := base.execute(select, (position, BATCH)).fetchall():
        position = rows[-1][0]
    drained = time.perf_counter_ns()
    base.close()
    return {
        "append and flush": (written - started) / readings,
        "drain disk": (drained - written) / readings,
    }


def main() -> None:
    """Measure a few rounds and print the best of each."""
    readings = int(sys.argv[1]) if len(sys.argv) > 1 else READINGS
    parent = sys.argv[2] if len(sys.argv) > 2 else None
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(dir=parent) as name:
            for best, found in (
                (ours, asyncio.run(ring(Path(name), readings))),
                (theirs, sqlite(Path(name), readings)),
            ):
                for what, nanoseconds in found.items():
                    best[what] = min(best.get(what, nanoseconds), nanoseconds)
    print(f"{readings} readings, flush every {FLUSH_EVERY}, batches of {BATCH}, best of {ROUNDS}")
    for what, nanoseconds in ours.items():
        beside = theirs.get(what)
        ratio = f"sqlite {beside:7.0f} ns, ratio {beside / nanoseconds:.1f}" if beside else ""
        print(f"{what:18} {nanoseconds:7.0f} ns a reading   {ratio}")


if __name__ == "__main__":
    main()
