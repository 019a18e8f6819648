"""Purge: readings and names are gone from every file, all else stays, also through power cuts."""

import asyncio
import random
import struct
from pathlib import Path

import pytest

from gateway.buffer import Batch, Buffer, Gap, purge_directory
from gateway.buffer import flusher as flusher_module
from gateway.buffer.layout import READINGS_PER_BLOCK
from gateway.errors import DataDirectoryBusy
from gateway.reading import SeriesKey
from tests.buffer.support import (
    FakeDisk,
    HandClock,
    abandon,
    balanced,
    drain,
    open_buffer,
    settings_for,
    settle,
)

LINK = "aarhus"
SECRET = "door-Nørregade"
OTHER = "air-roof"
SECRET_VALUE = 7.0e77
"""Its bytes occur nowhere else."""


def put(buffer: Buffer, sensor: str, value: float) -> int:
    key = SeriesKey(sensor, "air.pm25")
    series = buffer.series_id(key, unit="ug/m3", privacy="P0")
    return buffer.append(series, 1_000 + buffer.next_sequence, value, 0)


def put_mixed(buffer: Buffer, count: int) -> None:
    """Every third reading is of the sensor that is to be forgotten."""
    for _ in range(count):
        mine = buffer.next_sequence % 3 == 0
        put(buffer, SECRET if mine else OTHER, SECRET_VALUE if mine else buffer.next_sequence)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def traces(folder: Path) -> list[str]:
    """Return the files in which anything of the sensor is left."""
    found = await asyncio.to_thread(files, folder)
    value = struct.pack("<d", SECRET_VALUE)
    marks = (SECRET.encode(), value, b"N\\u00f8rregade")
    return [name for name, data in found.items() if any(mark in data for mark in marks)]


def given_out(items: list[Batch | Gap]) -> list[int]:
    found: list[int] = []
    for item in items:
        if isinstance(item, Batch):
            assert item.values == [float(item.first + index) for index in range(len(item))]
            found += range(item.first, item.first + len(item))
    return found


def others(end: int, begin: int = 0) -> list[int]:
    return [one for one in range(begin, end) if one % 3]


async def test_a_sensor_is_gone_from_every_file_and_the_rest_stays(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=256)
    link, live = buffer.reader(LINK), buffer.reader("live")
    for _ in range(90):
        put_mixed(buffer, 10)
        await buffer.flush()
    settle(live, await drain(live))
    damaged = settings_for(tmp_path).directory / "damaged"
    await asyncio.to_thread(damaged.mkdir)
    await asyncio.to_thread((damaged / "block-7").write_bytes, SECRET.encode())
    settle(link, [(await drain(link, 31))[0]])
    link.rewind()
    put_mixed(buffer, 50)
    await buffer._flusher._save_open()
    assert len(await traces(tmp_path)) >= 4
    expected = len([one for one in range(950) if not one % 3])
    assert await buffer.purge(SECRET) == expected
    assert await traces(tmp_path) == []
    assert await buffer.purge(SECRET) == 0
    assert buffer.next_sequence == 950
    items = await drain(link)
    assert given_out(items) == others(950, 31)
    assert not any(isinstance(item, Gap) for item in items), "removed readings are no gap"
    settle(link, items)
    assert link.dropped["purged"] == len([one for one in range(31, 950) if not one % 3])
    assert balanced(link)
    assert link.pending == 0
    put(buffer, OTHER, 950)
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=256)
    assert buffer.next_sequence == 951
    assert given_out(await drain(buffer.reader("all", from_oldest=True))) == [*others(950), 950]
    assert buffer.stats.damaged_blocks == 0
    await buffer.close()
    assert await traces(tmp_path) == []


async def test_everything_is_gone_and_the_numbers_go_on(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=64)
    link = buffer.reader(LINK)
    for _ in range(40):
        put_mixed(buffer, 2 * READINGS_PER_BLOCK)
        await buffer.flush()
    put_mixed(buffer, 7)
    await buffer.flush()
    held = buffer.next_sequence - buffer.stats.oldest_sequence
    end = buffer.next_sequence
    assert await buffer.purge() == held
    assert await traces(tmp_path) == []
    value = put(buffer, "new", float(buffer.next_sequence))
    assert value == end
    items = await drain(link)
    assert given_out(items) == [end]
    settle(link, items)
    assert balanced(link)
    assert link.dropped["purged"] + link.dropped["overwritten"] == end
    assert link.dropped["purged"] >= held
    assert buffer.series(1).key.sensor == "unknown-1"
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=64)
    assert buffer.next_sequence == end + 1
    everything = await drain(buffer.reader("all", from_oldest=True))
    assert given_out(everything) == [end]
    assert not any(isinstance(item, Gap) for item in everything)
    await buffer.close()


async def test_readings_that_come_while_everything_is_removed_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flusher_module, "PURGE_BLOCKS", 2)
    buffer = await open_buffer(tmp_path, blocks=64)
    link = buffer.reader(LINK)
    put_mixed(buffer, 5000)
    purging = asyncio.create_task(buffer.purge())
    begun = asyncio.Event()
    real = buffer._store.purge_slots

    def purge_slots(first: int, count: int) -> int:
        begun.set()
        return real(first, count)

    buffer._store.purge_slots = purge_slots  # type: ignore[method-assign]
    while not purging.done():
        if begun.is_set() and buffer.next_sequence < 8000:
            put(buffer, OTHER, float(buffer.next_sequence))
        await asyncio.sleep(0)
    assert await purging == 5000
    assert buffer.next_sequence > 5000
    assert given_out(await drain(link)) == list(range(5000, buffer.next_sequence))
    await buffer.close()


@pytest.mark.parametrize("sensor", [SECRET, None], ids=["sensor", "everything"])
async def test_a_power_cut_at_any_access_of_a_purge_leaves_whole_blocks(
    tmp_path: Path, sensor: str | None
) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path / "origin", blocks=24, open_file=disk.open)
    buffer.reader(LINK, from_oldest=True)
    for _ in range(20):
        put_mixed(buffer, 9)
        await buffer.flush()
    names = await asyncio.to_thread(files, tmp_path / "origin" / "data")
    await abandon(buffer)
    accesses = 0
    while True:
        state, folder = disk.copy(), tmp_path / str(accesses)
        await asyncio.to_thread(restore, folder / "data", names)
        if not await purge_with_power_for(state, folder, sensor, accesses):
            break
        state.power_cut(random.Random(accesses))
        await check_after_power_cut(state, folder, sensor)
        accesses += 1
    assert accesses > 20


def restore(directory: Path, names: dict[str, bytes]) -> None:
    directory.mkdir(parents=True)
    for name, data in names.items():
        (directory / Path(name).name).write_bytes(data)


async def purge_with_power_for(
    disk: FakeDisk, folder: Path, sensor: str | None, accesses: int
) -> bool:
    """Purge on a disk that loses power after so many accesses; False if it was long enough."""
    buffer = await open_buffer(folder, blocks=24, open_file=disk.open)
    # What happens to names while the power is out is another matter: they are removed last.
    buffer._flusher._forget_names = lambda series: None  # type: ignore[method-assign]
    disk.accesses_left = accesses
    await buffer.purge(sensor)
    cut = disk.accesses_left < 0
    disk.accesses_left = None if not cut else disk.accesses_left
    await abandon(buffer)
    return cut


async def check_after_power_cut(disk: FakeDisk, folder: Path, sensor: str | None) -> None:
    buffer = await open_buffer(folder, blocks=24, open_file=disk.open)
    assert buffer.next_sequence == 180
    link = buffer.readers[LINK]
    items = await drain(link)
    assert not any(isinstance(item, Gap) for item in items)
    assert buffer.stats.damaged_blocks == 0
    found = {
        item.first + index: value
        for item in items
        if isinstance(item, Batch)
        for index, value in enumerate(item.values)
    }
    settle(link, items)
    assert balanced(link)
    for sequence in range(180):
        expected = float(sequence) if sequence % 3 else SECRET_VALUE
        assert found.get(sequence, expected) == expected
        if sensor is not None and sequence % 3:
            assert sequence in found, "only readings of that sensor may be missing"
    assert len(found) + link.dropped["purged"] == 180
    await buffer.purge(sensor)
    await buffer.close()
    left = bytes(disk.durable)
    assert struct.pack("<d", SECRET_VALUE) not in left


async def test_a_disk_that_refuses_a_purge_says_so_and_loses_nothing_else(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    link = buffer.reader(LINK)
    put_mixed(buffer, 300)
    await buffer.flush()
    left = [3]

    def fault(access: str) -> int | None:
        left[0] -= access == "sync"
        return 5 if left[0] < 0 else None

    disk.fault = fault
    with pytest.raises(OSError, match="EIO"):
        await buffer.purge(SECRET)
    disk.fault = lambda _: None
    put_mixed(buffer, 30)
    await buffer.flush()
    assert await buffer.purge(SECRET) > 0
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert given_out(await drain(buffer.readers[link.name])) == others(330)
    await buffer.close()


async def test_a_copied_directory_is_purged_without_a_daemon(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=64)
    buffer.reader(LINK)
    put_mixed(buffer, 600)
    directory = settings_for(tmp_path).directory
    with pytest.raises(DataDirectoryBusy):
        await purge_directory(directory, HandClock(), sensor=SECRET)
    await buffer.close()
    assert await purge_directory(directory, HandClock(), sensor=SECRET) == 200
    assert await traces(tmp_path) == []
    buffer = await open_buffer(tmp_path, blocks=64)
    assert buffer.stats.blocks == 64
    assert given_out(await drain(buffer.readers[LINK])) == others(600)
    await buffer.close()
    assert await purge_directory(directory, HandClock(), sensor=None) == 400
    with pytest.raises(FileNotFoundError):
        await purge_directory(tmp_path / "nothing", HandClock(), sensor=None)
    assert not await asyncio.to_thread((tmp_path / "nothing").exists)
