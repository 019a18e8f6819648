"""What the ring costs, interpreted and compiled, beside SQLite, persist-queue and the raw medium.

Run by hand: ``python -m tests.benchmarks.bench_ring [--quick] [--only memory disk opening bytes]
[--directory /where/the/card/is]``. All figures of a table are of one run; nothing is judged.
"""

import argparse
import contextlib
import math
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from tests.benchmarks.ring_engines import (
    BATCH,
    READING_BYTES,
    Engine,
    PersistQueue,
    Raw,
    RingEngine,
    Sqlite,
    columns,
)
from tests.compiled.twin import INSTALLED, load_twin
from tests.compiling import compile_into

COLUMNS = 1024
"""Readings in one batch that is appended."""
MIB = 1 << 20
FULL_RING_BYTES = 256 * MIB
BLOCK = 4096
READINGS_PER_BLOCK = 162
RATES = (1, 10, 100, 1000)
INTERVALS_S = (1, 5, 30)
FLUSHES = {1: 150, 5: 60, 30: 24}
DISK_READINGS = 200_000
DISK_FLUSH = 500
SECTOR = 512
IMAGE_BYTES = 512 * MIB

Row = tuple[str, ...]


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def best_ns(work: Callable[[], object], per: int, rounds: int) -> float:
    """Return ns for one of ``per`` things, the best of some rounds: the others were disturbed."""
    best = math.inf
    for _ in range(rounds):
        began = time.perf_counter_ns()
        work()
        best = min(best, (time.perf_counter_ns() - began) / per)
    return best


def ring_modes(folder: Path) -> list[ModuleType]:
    """Return the ring interpreted and compiled, in this order."""
    twin = load_twin(lambda: compile_into(folder))
    return sorted((INSTALLED, twin), key=lambda ring: bool(ring.COMPILED))


# -- memory -------------------------------------------------------------------------------------


def in_memory(ring: ModuleType, rounds: int) -> dict[str, float]:
    """Return ns a reading of the ring alone, without a disk."""
    made = ring.Ring(epoch=1, boot=1, next_sequence=0, max_unflushed_blocks=4096)
    series, times, values, flags = columns(COLUMNS)
    lists = [list(column) for column in (series, times, values, flags)]
    batches = 20

    def durable() -> None:
        made.take(1 << 20)
        made.mark_durable()

    def one_by_one() -> None:
        append = made.append
        for number in range(COLUMNS * batches):
            append(1, number, 21.5, 0)
        durable()

    def arrays() -> None:
        for _ in range(batches):
            made.append_many(series, times, values, flags)
        durable()

    def from_lists() -> None:
        for _ in range(batches):
            made.append_many(*lists)
        durable()

    found = {
        "append, one by one": best_ns(one_by_one, COLUMNS * batches, rounds),
        f"append, {COLUMNS} as arrays": best_ns(arrays, COLUMNS * batches, rounds),
        f"append, {COLUMNS} as lists": best_ns(from_lists, COLUMNS * batches, rounds),
    }
    begin, end = made.memory_first, made.next_sequence

    def read() -> None:
        position = begin
        while position < end:
            position = made.read(position, min(position + BATCH, end)).last + 1

    found[f"read, {BATCH} at a time"] = best_ns(read, end - begin, rounds)
    return found


def memcpy(rounds: int) -> dict[str, float]:
    """Return ns a reading of copying its 24 bytes, in cache and into blocks that are kept."""
    size = COLUMNS * READING_BYTES
    source, target = bytes(size), memoryview(bytearray(size))
    block = bytes(BLOCK)
    kept: list[bytearray] = []
    count = 128

    def in_cache() -> None:
        for _ in range(count):
            target[:] = source

    def into_blocks() -> None:
        for _ in range(count):
            kept.append(bytearray(block))  # noqa: PERF401 - one by one, as the ring does
        del kept[:-64]

    return {
        "memcpy in cache": best_ns(in_cache, count * COLUMNS, rounds),
        "memcpy into new blocks": best_ns(into_blocks, count * READINGS_PER_BLOCK, rounds),
    }


def sqlite_in_memory(rounds: int) -> dict[str, float]:
    """Return ns a reading of SQLite without a disk."""
    base = sqlite3.connect(":memory:", isolation_level=None)
    base.execute("CREATE TABLE r (s INTEGER PRIMARY KEY, series INT, t INT, value REAL, f INT)")
    insert = "INSERT INTO r (series, t, value, f) VALUES (?, ?, ?, ?)"
    batch = list(zip(*columns(COLUMNS), strict=True))

    def one_by_one() -> None:
        base.execute("BEGIN")
        for row in batch:
            base.execute(insert, row)
        base.execute("COMMIT")

    def many() -> None:
        base.execute("BEGIN")
        base.executemany(insert, batch)
        base.execute("COMMIT")

    def read() -> None:
        for at in range(0, COLUMNS, BATCH):
            base.execute("SELECT * FROM r WHERE s > ? LIMIT ?", (at, BATCH)).fetchall()

    found = {
        "append, one by one": best_ns(one_by_one, COLUMNS, rounds),
        f"append, {COLUMNS} as lists": best_ns(many, COLUMNS, rounds),
        f"read, {BATCH} at a time": best_ns(read, COLUMNS, rounds),
    }
    base.close()
    return found


def bench_memory(modes: list[ModuleType], *, quick: bool) -> None:
    """Print what a reading costs in memory."""
    rounds = 5 if quick else 40
    plain, compiled = (in_memory(ring, rounds) for ring in modes)
    raw, sqlite = memcpy(rounds), sqlite_in_memory(rounds)
    base = raw["memcpy into new blocks"]
    rows = [
        (
            what,
            f"{plain[what]:.1f}",
            f"{compiled[what]:.1f}",
            f"{plain[what] / base:.0f} / {compiled[what] / base:.1f}",
            f"{sqlite[what]:.0f}" if what in sqlite else "",
        )
        for what in plain
    ]
    rows += [(what, "", "", f"{ns:.2f} ns", "") for what, ns in raw.items()]
    table(
        "Memory: ns a reading",
        ("", "interpreted", "compiled", "times memcpy into new blocks", "SQLite in memory"),
        rows,
    )


# -- disk ---------------------------------------------------------------------------------------


def spent_s(engine: Engine, per_flush: int) -> float:
    """Return how long readings and a flush took."""
    began = time.perf_counter()
    engine.take(per_flush)
    return time.perf_counter() - began


def disk_row(engine: Engine, place: Path, spent: Sequence[float], per_flush: int) -> Row:
    """Return the row of one engine: us a reading appended with flushes, drained; latencies."""
    drained_us = ""
    if not isinstance(engine, Raw):
        engine.open(place)
        began = time.perf_counter()
        drained = engine.drain()
        drained_us = f"{(time.perf_counter() - began) / drained * 1e6:.2f}"
        engine.close()
        assert drained == (len(spent) + 1) * per_flush, (engine.name, drained)
    ranked = sorted(spent)
    return (
        engine.name,
        f"{statistics.median(ranked) / per_flush * 1e6:.2f}",
        drained_us,
        f"{statistics.median(ranked) * 1e3:.2f}",
        f"{ranked[int(len(ranked) * 0.99)] * 1e3:.2f}",
    )


def bench_disk(modes: list[ModuleType], folder: Path, *, quick: bool) -> None:
    """Print cost with flushes, drain from disk, and the latency of a flush.

    The engines take turns, flush by flush, so that a disturbance of the machine hits them all.
    """
    flushes = 20 if quick else DISK_READINGS // DISK_FLUSH
    engines: list[tuple[Engine, int]] = [
        *((RingEngine(ring, 64 * MIB), DISK_FLUSH) for ring in modes),
        *((RingEngine(ring, 64 * MIB, one_by_one=False), DISK_FLUSH) for ring in modes),
        (Raw(), DISK_FLUSH),
        (Sqlite("NORMAL"), DISK_FLUSH),
        (Sqlite("FULL"), DISK_FLUSH),
        (Sqlite("FULL", per_reading=True), 1),
        (PersistQueue(), 1),
    ]
    places = [folder / f"disk-{number}" for number in range(len(engines))]
    spent: list[list[float]] = [[] for _ in engines]
    for (engine, per_flush), place in zip(engines, places, strict=True):
        place.mkdir()
        engine.open(place)
        engine.take(per_flush)  # not counted: the first one makes the data, and grows the files
    for _ in range(flushes):
        for (engine, per_flush), times in zip(engines, spent, strict=True):
            times.append(spent_s(engine, per_flush))
    for engine, _ in engines:
        engine.close()
    rows = [
        disk_row(engine, place, times, per_flush)
        for (engine, per_flush), place, times in zip(engines, places, spent, strict=True)
    ]
    table(
        f"Disk: {DISK_FLUSH} readings appended and flushed at a time ({flushes} times, in turns), "
        f"then read back {BATCH} at a time after opening again; persist-queue commits each reading",
        ("", "append and flush, us a reading", "drain, us a reading", "p50 ms", "p99 ms"),
        rows,
    )


# -- opening ------------------------------------------------------------------------------------


def full_ring(ring: ModuleType, folder: Path, size_bytes: int) -> RingEngine:
    """Return a closed engine whose ring was filled once around."""
    engine = RingEngine(ring, size_bytes, one_by_one=False)
    engine.open(folder)
    blocks = engine.buffer._store.blocks
    part = 128
    for _ in range(0, blocks + 2 * part, part):
        engine.take(part * READINGS_PER_BLOCK)
    engine.close()
    return engine


def opening_ms(engine: RingEngine, folder: Path, rounds: int, spoil: bool) -> float:  # noqa: FBT001
    """Return the median time of ``Buffer.open``; ``spoil`` makes it read the whole file."""
    spent = []
    for _ in range(rounds):
        if spoil:
            with (folder / "data" / "ring").open("r+b") as file:
                file.seek(4 * BLOCK)  # slot 0: without it there is nothing to search by
                file.write(b"\xff" * BLOCK)
        engine.open(folder)
        spent.append(engine.opened_s)
        engine.close()
    return statistics.median(spent) * 1e3


def bench_opening(modes: list[ModuleType], folder: Path, *, quick: bool) -> None:
    """Print opening a full ring, and reading all of it after damage."""
    size = 16 * MIB if quick else FULL_RING_BYTES
    rows = []
    for ring in modes:
        place = folder / f"full-{bool(ring.COMPILED)}"
        place.mkdir()
        engine = full_ring(ring, place, size)
        healthy = opening_ms(engine, place, 5, spoil=False)
        scan = opening_ms(engine, place, 3, spoil=True)
        rate = size / 1e6 / ((scan - healthy) / 1e3)
        mode = "ring, compiled" if ring.COMPILED else "ring, interpreted"
        rows.append((mode, f"{healthy:.1f}", f"{scan:.0f}", f"{rate:.0f}"))
        data = (place / "data" / "ring").read_bytes()
    took = best_ns(
        lambda: [zlib.crc32(data[at : at + BLOCK]) for at in range(0, size, BLOCK)], 1, 3
    )
    rows.append(
        ("slices and crc32 of the same blocks", "", f"{took / 1e6:.0f}", f"{size / took * 1e3:.0f}")
    )
    table(
        f"Opening a full ring of {size // MIB} MiB in the page cache",
        ("", "healthy, ms", "slot 0 damaged: all is read, ms", "that scan, MB/s"),
        rows,
    )


# -- bytes that reach the device ----------------------------------------------------------------


@contextlib.contextmanager
def loop_ext4(folder: Path) -> Iterator[tuple[Path, Path] | None]:
    """Mount a new ext4 on a loop device: the folder and its stat file; None if that cannot be."""
    image, mount = folder / "image", folder / "mount"
    mkfs = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if os.geteuid() != 0 or mkfs is None:
        yield None
        return
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    mount.mkdir()
    subprocess.run([mkfs, "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image], check=True)
    done = subprocess.run(["mount", "-o", "loop,noatime", image, mount], check=False)
    if done.returncode:
        yield None
        return
    try:
        source = subprocess.run(
            ["findmnt", "-n", "-o", "SOURCE", mount], check=True, capture_output=True, text=True
        ).stdout.strip()
        yield mount, Path("/sys/block", Path(source).name, "stat")
    finally:
        subprocess.run(["umount", mount], check=True)
        image.unlink()


def written_by(mount: Path, stat: Path) -> int:
    """Return the bytes that the device was given so far, when nothing is left in memory."""
    subprocess.run(["sync", "-f", mount], check=True)
    return int(stat.read_text().split()[6]) * SECTOR


def device_ratio(engine: Engine, place: Path, stat: Path, flushes: int, per_flush: int) -> float:
    """Return bytes on the device for each byte of a reading (24 bytes)."""
    place.mkdir()
    engine.open(place)
    before = written_by(place.parent, stat)
    for _ in range(flushes):
        engine.take(per_flush)
    engine.close()  # SQLite moves its log into the database: it would have, sooner or later
    written = written_by(place.parent, stat) - before
    shutil.rmtree(place)
    return written / (flushes * per_flush * READING_BYTES)


def bench_bytes(modes: list[ModuleType], folder: Path, *, quick: bool) -> None:
    """Print bytes that reach the device for each byte stored."""
    with loop_ext4(folder) as mounted:
        if mounted is None:
            print("\nBytes on the device: needs root, mkfs.ext4 and a loop device; left out")
            return
        mount, stat = mounted
        rows = []
        engines: list[Callable[[], Engine]] = [
            lambda: RingEngine(modes[0], 64 * MIB),
            Raw,
            lambda: Sqlite("FULL"),
            lambda: Sqlite("NORMAL"),
        ]
        for rate in RATES:
            for interval_s in INTERVALS_S:
                flushes = max(4, FLUSHES[interval_s] // (10 if quick else 1))
                found = [
                    device_ratio(make(), mount / "run", stat, flushes, rate * interval_s)
                    for make in engines
                ]
                rows.append((str(rate), str(interval_s), *(f"{ratio:.2f}" for ratio in found)))
        count = 50 if quick else 500
        each = [
            (engine.name, device_ratio(engine, mount / "run", stat, 1, count))
            for engine in (Sqlite("FULL", per_reading=True), PersistQueue())
        ]
    table(
        "Bytes that reached the device (loop-mounted ext4, noatime) for each byte of a reading, 24 "
        "each. Schedule at accelerated time: the readings of an interval, then a flush",
        ("readings/s", "flush, s", *(make().name for make in engines)),
        rows,
    )
    for name, ratio in each:
        print(f"\n{name} (a transaction each), at any rate: {ratio:.0f}")


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, for CI")
    parser.add_argument("--directory", type=Path, help="where the files are made")
    parser.add_argument(
        "--only", nargs="*", choices=("memory", "disk", "opening", "bytes"), default=[]
    )
    arguments = parser.parse_args()
    only = set(arguments.only) or {"memory", "disk", "opening", "bytes"}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        folder = Path(name)
        modes = ring_modes(folder / "twin")
        versions = f"Python {sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}"
        print(f"{versions}, {os.cpu_count()} cores")
        if "memory" in only:
            bench_memory(modes, quick=arguments.quick)
        if "disk" in only:
            bench_disk(modes, folder, quick=arguments.quick)
        if "opening" in only:
            bench_opening(modes, folder, quick=arguments.quick)
        if "bytes" in only:
            bench_bytes(modes, folder, quick=arguments.quick)


if __name__ == "__main__":
    main()
