"""One byte of a small ring is flipped, or the file ends there: at most the block hit is lost.

A run looks at a sample, another one each time (the seed is in the test's id, EVERY_BYTE_SEED
repeats it); EVERY_BYTE=1 looks at all bytes, which takes some minutes.
"""

import asyncio
import logging
import os
import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from gateway.buffer import Batch, Gap
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT
from tests.buffer.support import FakeDisk, abandon, append, drain, open_buffer

BLOCKS = 16
USED = 12
FIXED = "20261122"
SEED = os.environ.get("EVERY_BYTE_SEED", FIXED)
SAMPLES = 60
LENGTH = (FIRST_DATA_SLOT + USED + 2) * BLOCK_SIZE


def places() -> Iterable[int]:
    if os.environ.get("EVERY_BYTE"):
        return range(LENGTH)
    rng = random.Random(SEED)
    sample = [rng.randrange(LENGTH) for _ in range(SAMPLES)]
    borders = [block * BLOCK_SIZE + at for block in range(0, 18, 3) for at in (0, 5, 8, 4095)]
    return sorted({*sample, *borders})


async def small_ring(folder: Path) -> tuple[FakeDisk, list[tuple[int, int]]]:
    """Return the disk, and which sequences each data slot holds (end of them exclusive)."""
    disk = FakeDisk()
    buffer = await open_buffer(folder, blocks=BLOCKS, open_file=disk.open)
    buffer.reader("aarhus", from_oldest=True)
    held = [(0, 0)]
    for count in range(1, USED):
        append(buffer, 10 * count)
        await buffer.flush()
        held.append((held[-1][1], buffer.next_sequence))
    await abandon(buffer)
    return disk, held


async def check(disk: FakeDisk, folder: Path, lost: set[int], end: int) -> None:
    """Open, read everything, write, and open again."""
    buffer = await open_buffer(folder, blocks=BLOCKS, open_file=disk.open)
    assert not buffer.stats.degraded
    items = await drain(buffer.reader("aarhus", from_oldest=True))
    found = {
        item.first + index: value
        for item in items
        if isinstance(item, Batch)
        for index, value in enumerate(item.values)
    }
    assert all(value == sequence for sequence, value in found.items()), "nothing invented"
    assert set(range(end)) - set(found) <= lost
    told = {one for gap in items if isinstance(gap, Gap) for one in range(gap.first, gap.last + 1)}
    assert not told & set(found)
    assert told <= lost
    assert buffer.next_sequence >= max(found, default=-1) + 1
    first = buffer.next_sequence
    append(buffer, 5)
    await buffer.flush()
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(folder, blocks=BLOCKS, open_file=disk.open)
    assert buffer.next_sequence == first + 5
    await buffer.close()


@pytest.mark.timeout(1200 if os.environ.get("EVERY_BYTE") else 30)
@pytest.mark.parametrize("harm", ["flip", "cut"])
@pytest.mark.parametrize("seed", [SEED])
async def test_at_most_the_block_hit_is_lost(
    tmp_path: Path, harm: str, seed: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    origin, held = await small_ring(tmp_path / "origin")
    end = held[-1][1]
    for at in places():
        disk, folder = origin.copy(), tmp_path / f"{harm}-{at}"
        await asyncio.to_thread(prepare, folder)
        slot = at // BLOCK_SIZE - FIRST_DATA_SLOT
        if harm == "flip":
            if at >= len(disk.durable):
                continue
            disk.durable[at] ^= 1 << random.Random(at).randrange(8)
            begin, stop = held[slot] if 0 <= slot < len(held) else (0, 0)
            lost = set(range(begin, stop))
        else:
            del disk.durable[at:]
            first = held[max(0, slot)][0] if slot < len(held) else end
            lost = set(range(end)) if slot < 0 else set(range(first, end))
        disk.cache = bytearray(disk.durable)
        await check(disk, folder, lost, end)


def prepare(folder: Path) -> None:
    """Make the place where the fake disk believes that its file is."""
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "ring").touch()
