"""Memory stays flat while a full ring is drained: it is measured, not timed."""

import asyncio
import gc
import tracemalloc
from pathlib import Path

import pytest

from gateway.buffer import Batch
from gateway.buffer.layout import BLOCK_SIZE, READINGS_PER_BLOCK
from tests.buffer.support import KEY, open_buffer

BLOCKS = 3000
LINK = "aarhus"
ROOM_BYTES = 1 << 20
"""Two visits' worth of blocks read ahead, a batch as columns, and the interpreter's own."""


@pytest.mark.timeout(60)
async def test_memory_is_flat_while_a_full_ring_is_drained(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=BLOCKS)
    link = buffer.reader(LINK)
    series = buffer.series_id(KEY, unit="ug/m3", privacy="P3")
    for _ in range(BLOCKS // 250):
        for _ in range(250 * READINGS_PER_BLOCK):
            buffer.append(series, 1_000, 1.0, 0)
        await buffer.flush()
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=BLOCKS)
    link = buffer.reader(LINK)
    total = link.pending
    assert total > (BLOCKS - 2) * READINGS_PER_BLOCK
    gc.collect()
    tracemalloc.start()
    try:
        peaks = await drained(link)
    finally:
        tracemalloc.stop()
    assert link.pending == 0
    assert sum(link.dropped.values()) + link.acknowledged == total
    assert max(peaks) < ROOM_BYTES
    assert max(peaks) < total * 24 / 10, "far less than what was read"
    await buffer.close()
    await asyncio.sleep(0)


async def drained(link: object) -> list[int]:
    """Read and settle everything; return the peak of each tenth of it."""
    peaks = []
    base = tracemalloc.get_traced_memory()[0]
    count = 0
    while (item := await link.read(500)) is not None:  # type: ignore[attr-defined]
        if isinstance(item, Batch):
            link.settle(item.first, item.last, acknowledged=len(item))  # type: ignore[attr-defined]
        else:
            link.settle(item.first, item.last, dropped={item.reason: item.count})  # type: ignore[attr-defined]
        count += 1
        if count % 100 == 0:
            peaks.append(tracemalloc.get_traced_memory()[1] - base)
            tracemalloc.reset_peak()
    assert len(peaks) > 5
    assert BLOCK_SIZE * 32 * 2 < ROOM_BYTES
    return peaks
