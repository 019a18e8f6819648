"""Rings of earlier versions stay readable for ever; one of a later version is left whole."""

import asyncio
import gzip
import json
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Batch
from gateway.buffer.layout import BLOCK_SIZE, READABLE_VERSIONS
from tests.buffer.support import (
    BOOT_B,
    WALL_NS,
    HandClock,
    append,
    drain,
    open_buffer,
    settings_for,
)

FIXTURES = Path(__file__).parent / "fixtures"
"""One folder a format version: the files of a data directory, written by the version that made
them, and what is in them. They are never written again."""


def unpack(version: str, directory: Path) -> dict[str, Any]:
    directory.mkdir(parents=True)
    source = FIXTURES / version
    (directory / "ring").write_bytes(gzip.decompress((source / "ring.gz").read_bytes()))
    for name in ("series.json", "boots.json"):
        shutil.copy(source / name, directory / name)
    expected: dict[str, Any] = json.loads((source / "expected.json").read_bytes())
    return expected


def test_each_version_that_is_read_has_a_fixture() -> None:
    assert {f"v{version}" for version in READABLE_VERSIONS} == {
        path.name for path in FIXTURES.iterdir()
    }


@pytest.mark.parametrize("version", sorted(path.name for path in FIXTURES.iterdir()))
async def test_an_old_ring_is_read_as_it_was_written(tmp_path: Path, version: str) -> None:
    expected = await asyncio.to_thread(unpack, version, settings_for(tmp_path).directory)
    clock = HandClock(BOOT_B, wall_ns=WALL_NS + 10**15)
    buffer = await open_buffer(tmp_path, blocks=expected["blocks"], clock=clock)
    assert buffer.next_sequence == expected["next_sequence"]
    assert buffer.epoch == expected["epoch"] + 1
    assert buffer.boot == expected["boot"]
    cursors = {name: reader.cursor for name, reader in buffer.readers.items()}
    assert cursors == expected["cursors"]
    for number, (sensor, quantity, dims, unit, privacy) in expected["series"].items():
        series = buffer.series(int(number))
        assert (series.key.sensor, series.key.quantity) == (sensor, quantity)
        assert [list(pair) for pair in series.key.dims] == dims
        assert (series.unit, series.privacy) == (unit, privacy)
    rows = {
        batch["first"] + index: (batch["epoch"], batch["boot"], batch["offset_ns"], *columns)
        for batch in expected["batches"]
        for index, columns in enumerate(
            zip(batch["series"], batch["times_ns"], batch["values"], batch["flags"], strict=True)
        )
    }
    found = {}
    for batch in await drain(buffer.reader("all", from_oldest=True)):
        assert isinstance(batch, Batch)
        columns = zip(batch.series, batch.times_ns, batch.values, batch.flags, strict=True)
        for index, row in enumerate(columns):
            found[batch.first + index] = (batch.epoch, batch.boot, batch.offset_ns, *row)
    assert found == rows
    assert min(found) == expected["oldest_sequence"]
    append(buffer, 5)
    await buffer.close()


@pytest.mark.parametrize("intact", [(0, 1), (0,), (1,)])
async def test_a_ring_of_a_later_version_is_kept_whole(
    tmp_path: Path, intact: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 10)
    await buffer.close()
    path = settings_for(tmp_path).directory / "ring"
    data = bytearray(await asyncio.to_thread(path.read_bytes))
    for place in (0, 1):
        block = bytearray(data[place * BLOCK_SIZE : (place + 1) * BLOCK_SIZE])
        struct.pack_into("<I", block, 8, 77)
        struct.pack_into("<I", block, 4, zlib.crc32(block[8:]) ^ (place not in intact))
        data[place * BLOCK_SIZE : (place + 1) * BLOCK_SIZE] = block
    await asyncio.to_thread(path.write_bytes, bytes(data))
    buffer = await open_buffer(tmp_path)
    assert "format version 77" in caplog.text
    assert buffer.next_sequence == 0
    assert not buffer.stats.degraded
    aside = await asyncio.to_thread((path.parent / "damaged" / "ring.v77").read_bytes)
    assert aside == bytes(data)
    append(buffer, 3)
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 3
    await buffer.close()
