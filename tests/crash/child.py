"""A process to be killed: appends and flushes, and tells on its standard output what it did.

``python -m tests.crash.child FOLDER SEED OPEN_INTERVAL_S quiet|busy``. Lines: ``ready NEXT``,
``accepted MONOTONIC_NS NEXT`` after a burst (the time is that before it), ``flushed NEXT``.
"""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from gateway.buffer import Buffer, BufferSettings
from gateway.clock import Clock
from gateway.reading import SeriesKey

__all__ = ["LARGEST_BURST", "PACES", "settings_in", "value_of"]

SIZE_BYTES = 32 << 20
PACES = {"quiet": ((1, 1, 2), 0.02, 0.004), "busy": ((1, 5, 40, 200), 0.01, 0.02)}
"""Sizes of a burst, the pause between two in seconds, and the chance of a flush after one.

Quiet, a block takes two seconds and more to fill: only the open file can save what is in it.
"""
LARGEST_BURST = 200


def value_of(epoch: int, sequence: int) -> float:
    """Return the value that the child gives to a reading, so that others can tell it is right."""
    return sequence + epoch / 1024


def settings_in(folder: Path, open_interval_s: float) -> BufferSettings:
    """Return the settings of child and checker: those of a gateway but for the size."""
    return BufferSettings(
        directory=folder / "data",
        runtime_directory=folder / "run",
        size_bytes=SIZE_BYTES,
        open_interval_s=open_interval_s,
    )


def _tell(*words: object) -> None:
    os.write(1, (" ".join(str(word) for word in words) + "\n").encode())


async def _main(folder: Path, seed: int, open_interval_s: float, pace: str) -> None:
    bursts, pause_s, flush_chance = PACES[pace]
    rng = random.Random(seed)
    clock = Clock(trusted=True)
    buffer = await Buffer.open(settings_in(folder, open_interval_s), clock)
    buffer.reader("aarhus")
    running = asyncio.create_task(buffer.run())
    series = buffer.series_id(SeriesKey("air", "air.pm25"), unit="ug/m3", privacy="P0")
    _tell("ready", buffer.next_sequence)
    while not running.done():
        started_ns = time.monotonic_ns()
        for _ in range(rng.choice(bursts)):
            value = value_of(buffer.epoch, buffer.next_sequence)
            buffer.append(series, clock.now_ns(), value, 0)
        _tell("accepted", started_ns, buffer.next_sequence)
        if rng.random() < flush_chance:
            end = buffer.next_sequence
            await buffer.flush()
            _tell("flushed", end)
        await asyncio.sleep(pause_s)
    running.result()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]))
