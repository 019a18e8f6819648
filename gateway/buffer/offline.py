"""What is done to a data directory without a daemon: one that is idle, or a copy."""

import asyncio
from pathlib import Path

from gateway.buffer.buffer import Buffer
from gateway.buffer.files import RingFile
from gateway.buffer.opening import BufferSettings
from gateway.buffer.recovery import RING_FILE, size_of
from gateway.clock import Clock

__all__ = ["purge_directory"]


async def purge_directory(
    directory: Path, clock: Clock, *, sensor: str | None, runtime_directory: Path | None = None
) -> int:
    """Remove a sensor's readings and names, or all, from a data directory; return how many.

    ``runtime_directory``: where the daemon of that directory keeps the open block; what a dead
    process left there is taken over first. FileNotFoundError if there is no ring, DataDirectoryBusy
    if a daemon runs, OSError if the disk refuses.
    """
    size_bytes = await asyncio.to_thread(_size_bytes, directory / RING_FILE)
    settings = BufferSettings(
        directory=directory,
        runtime_directory=runtime_directory or directory,
        size_bytes=size_bytes,
    )
    buffer = await Buffer.open(settings, clock)
    try:
        if buffer.stats.degraded:
            raise OSError(buffer.stats.degraded_reason)
        return await buffer.purge(sensor)
    finally:
        await buffer.close()


def _size_bytes(path: Path) -> int:
    if not path.exists():
        raise FileNotFoundError(2, "there is no ring", str(path))
    file = RingFile(path)
    try:
        return size_of(file)
    finally:
        file.close()
