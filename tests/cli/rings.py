"""Rings for the commands: written by the real Buffer, or block by block where that takes long."""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.buffer import Buffer
from gateway.buffer.layout import (
    BLOCK_SIZE,
    FIRST_DATA_SLOT,
    LINKS,
    READINGS_PER_BLOCK,
    Block,
    Super,
    block_seed,
    decode_block,
    encode_super,
    header_cursors,
    seal,
)
from gateway.reading import Flag, PrivacyClass, SeriesKey
from tests.buffer.support import BOOT_A, HandClock, settings_for

__all__ = ["Written", "fingerprint", "flip", "reseal", "slot_of", "sparse_ring", "write_ring"]

S = 1_000_000_000
MS = 1_000_000

SERIES: tuple[tuple[SeriesKey, str, PrivacyClass], ...] = (
    (SeriesKey("air-roof", "air.pm25"), "ug/m3", "P0"),
    (SeriesKey("traffic", "traffic.speed", (("direction", "in"), ("lane", "1"))), "km/h", "P1"),
    (SeriesKey("meter", "energy.active_import"), "kW.h", "P3"),
)


@dataclass
class Written:
    """What a test put into a ring, in the order of appending."""

    folder: Path
    readings: list[tuple[int, SeriesKey, float, int]] = field(default_factory=list)
    """Wall ns, series, value, flags; the index is the sequence."""

    @property
    def directory(self) -> Path:
        return self.folder / "data"

    @property
    def ring(self) -> Path:
        return self.directory / "ring"


def write_ring(
    folder: Path,
    readings: int,
    *,
    blocks: int = 64,
    flush_every: int = 5,
    seed: int = 1,
    clock: HandClock | None = None,
    more: Callable[[Buffer], None] = lambda _: None,
) -> Written:
    """Append a reading a second through the real Buffer, flush each few, and close it.

    The link ``aarhus`` is there from the start and never reads. A second call goes on.
    """
    written = Written(folder)

    async def write() -> None:
        rng = random.Random(seed)
        hand = clock or HandClock()
        buffer = await Buffer.open(settings_for(folder, blocks), hand)
        buffer.reader("aarhus")
        ids = [buffer.series_id(key, unit=unit, privacy=privacy) for key, unit, privacy in SERIES]
        for index in range(readings):
            hand.boot_ns += S
            hand.real_ns += S
            which = rng.choice((0, 0, 1, 2))
            value = rng.choice((rng.uniform(-1e6, 1e6), float(rng.randrange(100)), -0.0, 1e-300))
            flags = rng.choice((0, 0, 0, int(Flag.SPIKE), int(Flag.RATE | Flag.WARM_UP)))
            buffer.append(ids[which], hand.boot_ns, value, flags)
            written.readings.append((hand.real_ns, SERIES[which][0], value, flags))
            if index % flush_every == flush_every - 1:
                await buffer.flush()
        more(buffer)
        await buffer.close()

    asyncio.run(write())
    return written


def sparse_ring(path: Path, blocks: int) -> int:
    """Write a full ring of that many full blocks, all alike but for their numbers; readings."""
    content = Super(b"s" * 16, blocks, generation=2, epoch=1)
    offset_ns = time.time_ns() - 3600 * S  # so that nothing has expired
    seed = block_seed(content.salt)
    data = bytearray(BLOCK_SIZE)
    view = memoryview(data)
    for index in range(READINGS_PER_BLOCK):
        view.cast("d")[25 + 3 * index] = index + 0.5
        view.cast("I")[52 + 6 * index] = 1
    with path.open("wb") as file:
        file.write(encode_super(content))
        file.write(encode_super(content.next(epoch=1, links=content.links)))
        file.write(bytes(2 * BLOCK_SIZE))
        for number in range(blocks):
            for index in range(READINGS_PER_BLOCK):
                view.cast("q")[24 + 3 * index] = (number * READINGS_PER_BLOCK + index) * MS
            first = number * READINGS_PER_BLOCK
            block = Block(data, first=first, count=READINGS_PER_BLOCK, epoch=1, boot=1)
            seal(
                block,
                number,
                seed=seed,
                boot_id=BOOT_A,
                offset_ns=offset_ns,
                synced=True,
                bound_ms=0,
                cursors=(0,) * LINKS,
            )
            file.write(data)
    return blocks * READINGS_PER_BLOCK


def slot_of(ring: Path, slot: int) -> bytes:
    with ring.open("rb") as file:
        file.seek((FIRST_DATA_SLOT + slot) * BLOCK_SIZE)
        return file.read(BLOCK_SIZE)


def put(ring: Path, offset: int, data: bytes) -> None:
    with ring.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(ring: Path, offset: int, bit: int = 0) -> None:
    """Turn one bit over."""
    data = ring.read_bytes()[offset]
    put(ring, offset, bytes([data ^ (1 << bit)]))


def reseal(ring: Path, slot: int, change: Callable[[Block, list[int]], None]) -> None:
    """Change what a block says and give it a checksum that fits."""
    salt = ring.read_bytes()[16:32]
    data = slot_of(ring, slot)
    decoded = decode_block(data, block_seed(salt))
    assert decoded is not None
    block, boot_id = decoded
    block.data = bytearray(data)
    cursors = list(header_cursors(block))
    change(block, cursors)
    seal(
        block,
        block.number,
        seed=block_seed(salt),
        boot_id=boot_id,
        offset_ns=block.offset_ns,
        synced=block.synced,
        bound_ms=0,
        cursors=cursors,
    )
    put(ring, (FIRST_DATA_SLOT + slot) * BLOCK_SIZE, bytes(block.data))


def fingerprint(directory: Path) -> dict[str, tuple[int, str]]:
    """Return what would change if anything in a directory were touched."""
    return {
        str(path.relative_to(directory)): (
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
        )
        for path in sorted([directory, *directory.rglob("*")])
    }
