"""Opening whatever the disk holds: it succeeds, and loses no more than what was hit."""

import asyncio
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.buffer import Batch, Buffer, Gap
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, READINGS_PER_BLOCK
from tests.buffer.support import (
    BOOT_B,
    KEY,
    START_NS,
    WALL_NS,
    FakeDisk,
    HandClock,
    abandon,
    append,
    drain,
    open_buffer,
    sequences,
    settings_for,
    settle,
)

SEED = 20_261_122
LINK = "aarhus"


def offset(slot: int) -> int:
    return (FIRST_DATA_SLOT + slot) * BLOCK_SIZE


async def filled(disk: FakeDisk, folder: Path, *, blocks: int, flushes: int, each: int) -> int:
    """Write a ring of ``flushes`` flushes of ``each`` readings and return its next sequence."""
    buffer = await open_buffer(folder, blocks=blocks, open_file=disk.open)
    buffer.reader(LINK, from_oldest=True)
    for _ in range(flushes):
        append(buffer, each)
        await buffer.flush()
    await abandon(buffer)
    return buffer.next_sequence


async def reopened(
    disk: FakeDisk, folder: Path, *, blocks: int, clock: HandClock | None = None
) -> tuple[Buffer, list[Batch | Gap]]:
    buffer = await open_buffer(folder, blocks=blocks, open_file=disk.open, clock=clock)
    reader = buffer.reader(LINK, from_oldest=True)
    return buffer, await drain(reader, 500)


async def test_a_missing_directory_is_made_for_this_user_alone(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path / "not" / "there")
    append(buffer, 1)
    await buffer.close()
    settings = settings_for(tmp_path / "not" / "there")

    def modes() -> set[tuple[str, int]]:
        paths = [settings.directory, *settings.directory.iterdir()]
        return {(path.name, path.stat().st_mode & 0o777) for path in paths}

    found = await asyncio.to_thread(modes)
    assert ("data", 0o700) in found
    assert {mode for name, mode in found if name != "data"} == {0o600}
    assert {name for name, _ in found} >= {"ring", "series.json", "boots.json", "lock"}


@pytest.mark.parametrize(
    ("content", "aside_name"),
    [
        (b"", ""),
        (b"\x00" * 100_000, "ring"),
        (b"SQLite format 3\x00" + b"x" * 50_000, "ring"),
        (random.Random(SEED).randbytes(300_000), "ring"),
        (b"CLGS", "ring"),
    ],
    ids=["empty", "zeros", "foreign", "garbage", "short"],
)
async def test_a_file_that_is_no_ring_is_set_aside(
    tmp_path: Path, content: bytes, aside_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(tmp_path)
    await asyncio.to_thread(settings.directory.mkdir)
    await asyncio.to_thread((settings.directory / "ring").write_bytes, content)
    with caplog.at_level(logging.WARNING):
        buffer = await open_buffer(tmp_path)
    aside = settings.directory / "damaged" / aside_name
    assert ("was moved to" in caplog.text) is bool(aside_name)
    if aside_name:
        assert await asyncio.to_thread(aside.read_bytes) == content
    append(buffer, 10)
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 10
    assert not buffer.stats.degraded
    await buffer.close()


@pytest.mark.parametrize("flushes", [0, 1, 9, 40, 64, 95, 96, 97, 200])
async def test_the_head_is_found_wherever_it_is(tmp_path: Path, flushes: int) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=96, flushes=flushes, each=3)
    buffer, items = await reopened(disk, tmp_path, blocks=96)
    assert buffer.next_sequence == end
    assert sequences(items)[-min(flushes, 95) * 3 or end :] == list(
        range(max(0, end - min(flushes, 95) * 3), end)
    )
    await buffer.close()


async def test_opening_a_large_ring_reads_little(tmp_path: Path) -> None:
    disk = FakeDisk()
    await filled(disk, tmp_path, blocks=8192, flushes=5000, each=1)
    reads: list[str] = []
    disk.fault = reads.append
    buffer = await open_buffer(tmp_path, blocks=8192, open_file=disk.open)
    assert buffer.next_sequence == 5000
    assert reads.count("pread") < 450, "binary search, two probes, samples; never the whole file"
    disk.fault = lambda _: None
    await buffer.close()


async def test_a_torn_block_ahead_of_the_head_is_cleared(tmp_path: Path) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=64, flushes=10, each=5)
    torn = random.Random(SEED).randbytes(2000)
    disk.pwrite(torn, offset(11))
    buffer, items = await reopened(disk, tmp_path, blocks=64)
    assert sequences(items) == list(range(end))
    assert bytes(disk.durable[offset(11) : offset(12)]) == bytes(BLOCK_SIZE)
    append(buffer, 5)
    await buffer.close()
    buffer, items = await reopened(disk, tmp_path, blocks=64)
    assert sequences(items) == list(range(end + 5))
    await buffer.close()


async def test_valid_blocks_behind_a_torn_one_are_found(tmp_path: Path) -> None:
    """An unfinished flush: of blocks 11, 12, 13 only the last two reached the disk."""
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=64, flushes=13, each=5)
    disk.pwrite(bytes(BLOCK_SIZE), offset(11))
    buffer, items = await reopened(disk, tmp_path, blocks=64)
    assert buffer.next_sequence == end
    assert sequences(items) == [*range(50), *range(55, 65)]
    gap = items[1]
    assert gap == Gap(50, 54, "corrupt", WALL_NS + 49, WALL_NS + 55)
    await buffer.close()


async def test_a_corrupt_block_in_the_middle_is_one_gap_and_its_bytes_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=512, flushes=200, each=7)
    flipped = bytearray(disk.pread(BLOCK_SIZE, offset(50)))
    flipped[1000] ^= 4
    disk.pwrite(flipped, offset(50))
    buffer, items = await reopened(disk, tmp_path, blocks=512)
    lost = range(49 * 7, 50 * 7)  # block 0 is the empty one that begins a ring
    assert sequences(items) == [one for one in range(end) if one not in lost]
    assert [item for item in items if isinstance(item, Gap)] == [
        Gap(lost[0], lost[-1], "corrupt", WALL_NS + lost[0] - 1, WALL_NS + lost[-1] + 1)
    ]
    assert buffer.stats.damaged_blocks == 1
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    kept = settings_for(tmp_path).directory / "damaged" / "block-50"
    assert await asyncio.to_thread(kept.read_bytes) == bytes(flipped)
    buffer.reader(LINK).rewind()
    await drain(buffer.reader(LINK))
    assert buffer.stats.damaged_blocks == 1, "counted once"
    await buffer.close()


async def test_an_area_that_a_card_zeroed_costs_that_area_only(tmp_path: Path) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=4096, flushes=3000, each=1)
    disk.pwrite(bytes(1000 * BLOCK_SIZE), offset(1900))
    buffer, items = await reopened(disk, tmp_path, blocks=4096)
    assert buffer.next_sequence == end, "the search must not take the area for the end"
    assert sequences(items) == [*range(1899), *range(2899, end)]
    await buffer.close()


@pytest.mark.parametrize("lap", [1, 2])
async def test_slot_zero_may_be_the_damaged_one(tmp_path: Path, lap: int) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=64, flushes=50 * lap, each=2)
    disk.pwrite(bytes(BLOCK_SIZE), offset(0))
    buffer, _ = await reopened(disk, tmp_path, blocks=64)
    assert buffer.next_sequence == end
    await buffer.close()


async def test_the_first_block_of_a_lap_may_be_the_one_that_did_not_arrive(tmp_path: Path) -> None:
    disk = FakeDisk()
    end = await filled(disk, tmp_path, blocks=64, flushes=63, each=2)
    old = disk.pread(BLOCK_SIZE, offset(0))
    buffer = await open_buffer(tmp_path, blocks=64, open_file=disk.open)
    append(buffer, 3 * READINGS_PER_BLOCK)
    await buffer.flush()
    await abandon(buffer)
    disk.pwrite(old, offset(0))  # slots 1 and 2 are of the second lap, slot 0 of the first
    buffer, items = await reopened(disk, tmp_path, blocks=64)
    assert buffer.next_sequence == end + 3 * READINGS_PER_BLOCK
    assert Gap(end, end + READINGS_PER_BLOCK - 1, "corrupt", WALL_NS + end - 1) in [
        Gap(item.first, item.last, item.reason, item.first_time_ns)
        for item in items
        if isinstance(item, Gap)
    ]
    await buffer.close()


@pytest.mark.parametrize("flushes", [30, 100], ids=["first-lap", "wrapped"])
@pytest.mark.parametrize("seed", range(6))
async def test_a_truncated_file_keeps_what_is_left(tmp_path: Path, flushes: int, seed: int) -> None:
    disk = FakeDisk()
    blocks = 64
    end = await filled(disk, tmp_path, blocks=blocks, flushes=flushes, each=4)
    before, whole = await reopened(disk, tmp_path, blocks=blocks)
    await abandon(before)
    had = set(sequences(whole))
    rng = random.Random(seed)
    size = rng.randrange(offset(1), offset(blocks))
    del disk.cache[size:], disk.durable[size:]
    buffer, items = await reopened(disk, tmp_path, blocks=blocks)
    head = flushes % blocks
    kept_slots = (size - offset(0)) // BLOCK_SIZE
    found = sequences(items)
    assert set(found) <= had
    lost_blocks = blocks - kept_slots
    assert len(had) - len(found) <= 4 * lost_blocks
    if kept_slots > head:
        assert buffer.next_sequence == end
    append(buffer, 4)
    await buffer.flush()
    while await buffer._worker.call(buffer._store.fill):
        pass
    assert disk.size() == offset(blocks), "the file is filled again"
    last = (await drain(buffer.reader(LINK)))[-1]
    assert isinstance(last, Batch)
    assert len(last) == 4
    await buffer.close()


@pytest.mark.parametrize("flushes", [20, 150], ids=["first-lap", "wrapped"])
async def test_a_flipped_bit_anywhere_costs_at_most_its_block(tmp_path: Path, flushes: int) -> None:
    disk = FakeDisk()
    blocks, each = 64, 4
    end = await filled(disk, tmp_path, blocks=blocks, flushes=flushes, each=each)
    untouched = bytes(disk.durable)
    buffer, items = await reopened(disk, tmp_path, blocks=blocks)
    had = set(sequences(items))
    epoch = buffer.epoch
    await abandon(buffer)
    rng = random.Random(SEED)
    for _ in range(60):
        byte, bit = rng.randrange(len(untouched)), rng.randrange(8)
        case = f"byte {byte} bit {bit}"
        disk.cache = bytearray(untouched)
        disk.cache[byte] ^= 1 << bit
        disk.durable = bytearray(disk.cache)
        buffer, items = await reopened(disk, tmp_path, blocks=blocks)
        found = sequences(items)
        assert len(had - set(found)) <= each, case
        assert buffer.next_sequence >= end - each, case
        assert buffer.epoch == epoch, case
        assert LINK in buffer.readers, case
        await abandon(buffer)


@pytest.mark.parametrize("flushes", [5, 62, 80], ids=["first-lap", "at-the-end", "wrapped"])
@pytest.mark.parametrize("seed", range(3))
async def test_the_power_may_go_at_any_write(tmp_path: Path, flushes: int, seed: int) -> None:
    """Power goes at each write and sync of opening, a flush and closing in turn, and twice."""
    rng = random.Random(seed)
    before = FakeDisk()
    end = await filled(before, tmp_path, blocks=64, flushes=flushes, each=4)
    for accesses in range(30):
        disk = before.copy()
        promised, epochs = set(range(end)), [1]
        for _ in range(2):
            disk.accesses_left = accesses
            buffer = await open_buffer(tmp_path, blocks=64, open_file=disk.open)
            opened = disk.accesses_left >= 0
            buffer.reader("second")
            append(buffer, 2 * READINGS_PER_BLOCK + 9)
            await buffer.flush()
            if disk.accesses_left >= 0:
                promised |= set(range(buffer._first_sequence, buffer.next_sequence))
            await buffer.close()
            assert not opened or buffer.epoch > max(epochs)
            epochs += [buffer.epoch] if opened else []
            disk.power_cut(rng)
        buffer, items = await reopened(disk, tmp_path, blocks=64)
        case = f"{accesses} accesses"
        assert buffer.epoch > max(epochs), case
        overwritten = range(max(0, end - 4 * (64 - 16)))  # at most 16 blocks were written since
        assert set(sequences(items)) >= promised - set(overwritten), case
        await buffer.close()


@pytest.mark.parametrize("place", [0, 1])
async def test_damage_to_one_super_block_costs_nothing(tmp_path: Path, place: int) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    append(buffer, 5)
    buffer.reader(LINK)
    append(buffer, 5)
    await buffer.flush()
    await abandon(buffer)
    disk.pwrite(b"\xff", place * BLOCK_SIZE + 100)
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert buffer.epoch == 2
    assert sequences(await drain(buffer.readers[LINK])) == list(range(5, 10))
    await buffer.close()


async def test_the_epoch_is_above_that_of_every_block(tmp_path: Path) -> None:
    disk = FakeDisk()
    await filled(disk, tmp_path, blocks=64, flushes=1, each=1)
    supers = disk.pread(2 * BLOCK_SIZE, 0)
    for _ in range(3):
        buffer, _ = await reopened(disk, tmp_path, blocks=64)
        append(buffer, 1)
        await buffer.close()
    disk.pwrite(supers, 0)
    again, _ = await reopened(disk, tmp_path, blocks=64)
    assert again.epoch == buffer.epoch + 1 == 5
    await again.close()


async def test_no_cursor_in_a_header_is_newer_than_its_block(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    link = buffer.reader(LINK)
    append(buffer, READINGS_PER_BLOCK + 10)
    settle(link, await drain(link))
    await buffer.flush()
    for slot, cursor in ((1, READINGS_PER_BLOCK), (2, READINGS_PER_BLOCK + 10)):
        assert int.from_bytes(disk.pread(8, offset(slot) + 64), "little") == cursor
    await abandon(buffer)
    disk.pwrite(bytes(BLOCK_SIZE), offset(2))
    buffer, _ = await reopened(disk, tmp_path, blocks=64)
    assert buffer.next_sequence == READINGS_PER_BLOCK, "no hole was invented"
    await buffer.close()


async def test_the_oldest_reading_is_known_while_the_ring_goes_round(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, blocks=128, open_file=disk.open)
    for flush in range(1, 400):
        append(buffer, 2)
        await buffer.flush()
        # Block 0 is the empty one, so 127 blocks of the first lap hold readings.
        assert buffer.stats.oldest_sequence == max(0, flush - 127 - (flush > 127)) * 2
    await buffer.close()


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _flip(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"air-roof", b"air-rooF"))


@pytest.mark.parametrize("harm", [Path.unlink, _truncate, _flip])
async def test_a_lost_catalogue_is_replaced_by_its_predecessor(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    buffer = await open_buffer(tmp_path)
    first = buffer.series_id(KEY, unit="ug/m3", privacy="P1")
    append(buffer, 3)
    await buffer.flush()
    other = KEY._replace(sensor="second")
    second = buffer.series_id(other, unit="ug/m3", privacy="P0")
    append(buffer, 3)
    await buffer.close()
    await asyncio.to_thread(harm, settings_for(tmp_path).directory / "series.json")
    buffer = await open_buffer(tmp_path)
    assert buffer.series(first).key == KEY
    assert buffer.series(second).key.sensor == f"unknown-{second}"
    assert buffer.series(second).privacy == "P3", "what nobody can name must not leave"
    assert buffer.series_id(other, unit="ug/m3", privacy="P0") not in (first, second)
    await buffer.close()


async def test_a_catalogue_lost_for_good_gives_no_id_a_second_meaning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = await open_buffer(tmp_path)
    buffer.reader(LINK)
    first = buffer.series_id(KEY, unit="ug/m3", privacy="P1")
    append(buffer, 3)
    await buffer.close()
    for name in ("series.json", "series.json.bak", "boots.json", "boots.json.bak"):
        path = settings_for(tmp_path).directory / name
        await asyncio.to_thread(path.write_bytes, b'{"content": [[[[')
    buffer = await open_buffer(tmp_path, clock=HandClock(BOOT_B))
    assert "catalogue is lost" in caplog.text
    assert buffer.series_id(KEY, unit="ug/m3", privacy="P1") != first
    assert buffer.series(first).key.sensor == f"unknown-{first}"
    assert buffer.boot == 2, "the blocks know the newest boot number"
    batch = await buffer.reader(LINK).read(10)
    assert isinstance(batch, Batch)
    assert (batch.boot, batch.offset_ns, batch.synced) == (1, WALL_NS - START_NS, True)
    await buffer.close()


async def save_open(buffer: Buffer) -> None:
    await buffer._flusher._save_open()


async def test_the_open_block_survives_the_death_of_the_process(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader(LINK)
    append(buffer, 200)
    await buffer.flush()
    append(buffer, 30)
    link.settle(0, 209, acknowledged=210)
    await save_open(buffer)
    epoch = buffer.epoch
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 230
    assert buffer.stats.recovered_readings_open_block == 30
    link = buffer.readers[LINK]
    assert link.cursor == 210, "cursors ride in the open block, too"
    items = await drain(link)
    assert sequences(items) == list(range(210, 230))
    assert [item.epoch for item in items if isinstance(item, Batch)] == [epoch]
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 230
    assert buffer.stats.recovered_readings_open_block == 0, "replayed once"
    await buffer.close()


async def test_an_open_block_that_does_not_fit_is_left_alone(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 30)
    await save_open(buffer)
    await buffer.flush()
    append(buffer, 5)
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)  # the block was flushed after it was saved
    assert (buffer.next_sequence, buffer.stats.recovered_readings_open_block) == (30, 0)
    append(buffer, 5)
    await save_open(buffer)
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, clock=HandClock(BOOT_B))  # another boot
    assert (buffer.next_sequence, buffer.stats.recovered_readings_open_block) == (30, 0)
    append(buffer, 7)
    await save_open(buffer)
    await abandon(buffer)
    await asyncio.to_thread(shutil.rmtree, settings_for(tmp_path).directory)
    buffer = await open_buffer(tmp_path, clock=HandClock(BOOT_B))  # another ring
    assert buffer.next_sequence == 0
    await buffer.close()


async def test_an_open_block_of_an_earlier_epoch_is_left_alone(tmp_path: Path) -> None:
    path = settings_for(tmp_path).runtime_directory / "open"
    buffer = await open_buffer(tmp_path)
    append(buffer, 30)
    await save_open(buffer)
    await abandon(buffer)
    image = await asyncio.to_thread(path.read_bytes)
    await asyncio.to_thread(path.unlink)
    await abandon(await open_buffer(tmp_path))
    await asyncio.to_thread(path.write_bytes, image)
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 0
    await buffer.close()


async def test_a_garbled_open_file_is_ignored(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 30)
    await buffer.close()
    path = settings_for(tmp_path).runtime_directory / "open"
    await asyncio.to_thread(path.write_bytes, random.Random(SEED).randbytes(BLOCK_SIZE))
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 30
    await buffer.close()


async def test_damaged_blocks_are_kept_within_bounds(tmp_path: Path) -> None:
    disk = FakeDisk()
    await filled(disk, tmp_path, blocks=128, flushes=110, each=1)
    for slot in range(5, 100, 1):
        disk.pwrite(b"bad", offset(slot) + 500)
    buffer, items = await reopened(disk, tmp_path, blocks=128)
    assert [item.count for item in items if isinstance(item, Gap)] == [95]
    kept = settings_for(tmp_path).directory / "damaged"
    count = await asyncio.to_thread(lambda: len(list(kept.iterdir())))
    assert count == 64
    assert buffer.stats.damaged_blocks == 95
    await buffer.close()
