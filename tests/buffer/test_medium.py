"""The medium goes away, is exchanged or comes back: durable stays durable, memory is kept."""

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.buffer import Batch, Buffer, Gap
from gateway.buffer import flusher as flusher_module
from gateway.buffer import healing as healing_module
from gateway.buffer import lane as lane_module
from gateway.buffer.files import BlockFile, RingFile
from gateway.buffer.layout import BLOCK_SIZE, FIRST_DATA_SLOT, READINGS_PER_BLOCK
from tests.buffer.support import (
    KEY,
    FakeDisk,
    abandon,
    append,
    balanced,
    drain,
    open_buffer,
    sequences,
    settings_for,
    settle,
    until,
)

LINK = "aarhus"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flusher_module, "RETRY_FIRST_S", 0.02)
    monkeypatch.setattr(flusher_module, "RETRY_MAX_S", 0.02)
    monkeypatch.setattr(lane_module, "READ_RETRY_FIRST_S", 0.01)
    monkeypatch.setattr(lane_module, "READ_RETRY_MAX_S", 0.01)
    monkeypatch.setattr(healing_module, "HEAL_FIRST_S", 0.02)
    monkeypatch.setattr(healing_module, "HEAL_MAX_S", 0.02)


@asynccontextmanager
async def running(buffer: Buffer) -> AsyncIterator[None]:
    task = asyncio.create_task(buffer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ring_path(folder: Path) -> Path:
    return settings_for(folder).directory / "ring"


def missing(items: list[Batch | Gap]) -> list[tuple[int, int, str]]:
    return [(item.first, item.last, item.reason) for item in items if isinstance(item, Gap)]


def replace_ring(path: Path, content: bytes) -> None:
    other = path.with_name("other")
    other.write_bytes(content)
    other.replace(path)


@pytest.mark.parametrize("how", ["removed", "garbage", "empty", "directory"])
async def test_a_ring_file_that_goes_away_is_begun_anew_with_what_memory_has(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    buffer = await open_buffer(tmp_path, blocks=256)
    link = buffer.reader(LINK)
    for _ in range(100):  # more than memory keeps
        append(buffer, 2)
        await buffer.flush()
    path = ring_path(tmp_path)
    garbage = b"somebody else's file" * 5000
    if how == "removed":
        await asyncio.to_thread(path.unlink)
    elif how == "directory":
        await asyncio.to_thread(shutil.rmtree, path.parent)
    else:
        await asyncio.to_thread(replace_ring, path, garbage if how == "garbage" else b"")
    append(buffer, 5)
    await buffer.flush()
    assert "removed or replaced" in caplog.text
    assert not buffer.stats.degraded
    first_kept = buffer.stats.oldest_sequence
    assert 0 < first_kept <= 200 - 2 * 60, "sixty blocks or so were still in memory"
    items = await drain(link)
    assert missing(items) == [(0, first_kept - 1, "corrupt")]
    assert sequences(items) == list(range(first_kept, 205))
    assert buffer.stats.damaged_blocks == 0, "a lost file is no damage block by block"
    if how == "garbage":
        kept = await asyncio.to_thread((path.parent / "damaged" / "ring").read_bytes)
        assert kept == garbage
    settle(link, items[:1])
    assert balanced(link)
    await buffer.flush(cursors=True)
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, blocks=256)
    assert buffer.next_sequence == 205
    assert buffer.readers[LINK].cursor == first_kept
    assert sequences(await drain(buffer.readers[LINK])) == list(range(first_kept, 205))
    assert buffer.series(1).key == KEY, "the side files came along"
    await buffer.close()


async def test_a_ring_begins_on_a_disk_with_hardly_any_room(tmp_path: Path) -> None:
    """The reserve for the side files is no reason to stay in memory."""

    class Narrow(FakeDisk):
        def free(self) -> int:
            return 1 << 20

    disk = Narrow()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert not buffer.stats.degraded
    append(buffer, 10)
    await buffer.close()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert buffer.next_sequence == 10
    await buffer.close()


async def test_an_earlier_copy_of_the_ring_put_back_in_place_goes_on(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=256)
    link = buffer.reader(LINK)
    append(buffer, 20)
    await buffer.flush()
    path = ring_path(tmp_path)
    copy = await asyncio.to_thread(path.read_bytes)
    append(buffer, 20)
    await buffer.flush()
    await asyncio.to_thread(replace_ring, path, copy)
    append(buffer, 20)
    await buffer.flush()
    assert sequences(await drain(link)) == list(range(60))
    await abandon(buffer)
    epoch = buffer.epoch
    buffer = await open_buffer(tmp_path, blocks=256)
    assert buffer.epoch == epoch + 1
    assert sequences(await drain(buffer.readers[LINK])) == list(range(60))
    await buffer.close()


async def test_a_small_ring_whose_file_is_removed_keeps_no_block_twice(tmp_path: Path) -> None:
    """Memory holds more blocks than the ring has places: only the newest may go there."""
    buffer = await open_buffer(tmp_path, blocks=16)
    link = buffer.reader(LINK)
    for _ in range(40):
        append(buffer, 3)
        await buffer.flush()
    await asyncio.to_thread(ring_path(tmp_path).unlink)
    append(buffer, 3)
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, blocks=16)
    items = await drain(buffer.readers[link.name])
    assert sequences(items) == list(range(3 * 25, 3 * 41))
    await buffer.close()


async def test_a_new_file_that_cannot_be_written_at_first_gets_everything_later(
    tmp_path: Path,
) -> None:
    buffer = await open_buffer(tmp_path, blocks=64)
    link = buffer.reader(LINK)
    append(buffer, 30)
    await buffer.flush()
    path = ring_path(tmp_path)
    await asyncio.to_thread(path.unlink)
    await asyncio.to_thread(path.symlink_to, "/dev/full")  # each write says that the disk is full
    append(buffer, 30)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            await buffer.flush()
    assert buffer.stats.degraded
    assert sequences(await drain(link)) == list(range(60)), "links go on from memory"
    await asyncio.to_thread(path.unlink)
    append(buffer, 1)
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, blocks=64)
    assert sequences(await drain(buffer.readers[LINK])) == list(range(61))
    await buffer.close()


async def test_a_removed_directory_that_another_daemon_took_is_left_to_it(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 5)
    await buffer.flush()
    await asyncio.to_thread(shutil.rmtree, ring_path(tmp_path).parent)
    other = await open_buffer(tmp_path)
    append(other, 7)
    await other.flush()
    append(buffer, 5)
    with pytest.raises(OSError, match="in use by another"):
        await buffer.flush()
    await buffer.close()
    await other.close()
    again = await open_buffer(tmp_path)
    assert again.next_sequence == 7
    assert sequences(await drain(again.reader("all", from_oldest=True))) == list(range(7))
    await again.close()


async def obstructed(folder: Path) -> Path:
    """Make the data directory unusable, whoever we are; the real one waits beside it."""
    directory = settings_for(folder).directory
    aside = folder / "aside"

    def work() -> None:
        if directory.exists():
            directory.rename(aside)
        directory.write_text("a file where the directory should be")

    await asyncio.to_thread(work)
    return aside


async def put_back(folder: Path) -> None:
    directory = settings_for(folder).directory
    await asyncio.to_thread(directory.unlink)
    if await asyncio.to_thread((folder / "aside").exists):
        await asyncio.to_thread((folder / "aside").rename, directory)


def append_values(buffer: Buffer, values: range) -> None:
    series = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
    for value in values:
        buffer.append(series, value, float(value), 0)
    buffer.notify()


def values_of(items: list[Batch | Gap]) -> list[int]:
    return [int(value) for item in items if isinstance(item, Batch) for value in item.values]


async def test_a_fresh_ring_heals_without_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await obstructed(tmp_path)
    buffer = await open_buffer(tmp_path)
    link = buffer.reader(LINK)
    async with running(buffer):
        append_values(buffer, range(500))
        settle(link, (await drain(link, 100))[:2])
        link.rewind()
        assert buffer.stats.degraded
        await put_back(tmp_path)
        await until(lambda: not buffer.stats.degraded and not buffer.stats.unflushed_readings)
    assert 0 < buffer.epoch < 1 << 31
    assert balanced(link)
    assert (link.acknowledged, link.pending) == (200, 300)
    assert values_of(await drain(link)) == list(range(200, 500))
    assert "can be used again" in caplog.text
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.readers[LINK].cursor == 200
    assert values_of(await drain(buffer.readers[LINK])) == list(range(200, 500))
    await buffer.close()


async def test_memory_goes_behind_what_the_disk_holds_when_it_comes_back(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    first = buffer.reader(LINK)
    buffer.reader("gone")
    append_values(buffer, range(300))
    settle(first, [(await drain(first, 100))[0]])
    on_disk = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
    await buffer.close()
    await obstructed(tmp_path)

    buffer = await open_buffer(tmp_path)
    link, fresh = buffer.reader(LINK), buffer.reader("fresh")
    async with running(buffer):
        append_values(buffer, range(300, 700))
        in_memory = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
        assert in_memory != on_disk, "ids that are in use must not change their meaning"
        on_its_way = await link.read(50)
        assert isinstance(on_its_way, Batch)
        settle(fresh, await drain(fresh))
        await put_back(tmp_path)
        await until(lambda: buffer._source.held)
        assert await link.read(10) is None, "nothing new while something old is on its way"
        assert buffer.stats.degraded
        link.settle(on_its_way.first, on_its_way.last, acknowledged=50)
        await until(lambda: not buffer.stats.degraded and not buffer.stats.unflushed_readings)
        assert balanced(link)
        assert balanced(fresh)
        assert (link.acknowledged, link.pending) == (50, 200 + 350)
        assert (fresh.acknowledged, fresh.pending) == (400, 0)
        append_values(buffer, range(700, 710))
        items = await drain(link)
        expected = [*range(100, 300), *range(350, 710)]
        assert values_of(items) == expected
        assert {item.epoch for item in items if isinstance(item, Batch)} == {1, buffer.epoch}
        settle(link, items)
        assert link.pending == 0
        assert balanced(link)
    assert buffer.series(in_memory).key == KEY == buffer.series(on_disk).key
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.next_sequence == 700, "ten were never flushed"
    assert set(buffer.readers) == {LINK, "gone", "fresh"}
    assert values_of(await drain(buffer.readers["gone"])) == list(range(700))
    assert buffer.series(in_memory).key == KEY
    later = buffer.series_id(KEY._replace(sensor="new"), unit="ug/m3", privacy="P0")
    assert later < 1 << 31, "ids go on where they were"
    await buffer.close()


async def test_a_ring_in_memory_leaves_the_names_on_the_disk_alone(tmp_path: Path) -> None:
    """Only the ring file cannot be read; the directory takes writes all the time."""
    buffer = await open_buffer(tmp_path)
    link = buffer.reader(LINK)
    append_values(buffer, range(10))
    on_disk = buffer.series_id(KEY, unit="ug/m3", privacy="P0")
    await buffer.close()
    names = settings_for(tmp_path).directory / "series.json"
    before = names.read_bytes()
    readable = False

    def open_file(path: Path) -> BlockFile:
        if not readable:
            raise OSError(errno.EIO, "EIO")
        return RingFile(path)

    buffer = await open_buffer(tmp_path, open_file=open_file)
    link = buffer.reader(LINK)
    append_values(buffer, range(10, 20))
    assert buffer.series(on_disk).key != KEY, "the names are not known yet"
    with pytest.raises(OSError, match="EIO"):
        await buffer.flush()
    assert names.read_bytes() == before
    async with running(buffer):
        readable = True
        await until(lambda: not buffer.stats.degraded and not buffer.stats.unflushed_readings)
        assert buffer.series(on_disk).key == KEY
        assert values_of(await drain(link)) == list(range(20))
    await buffer.close()


async def test_what_fell_out_of_memory_meanwhile_is_a_gap(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=32)
    buffer.reader(LINK)
    append_values(buffer, range(10))
    await buffer.close()
    await obstructed(tmp_path)
    buffer = await open_buffer(tmp_path, blocks=32)
    link = buffer.reader(LINK)
    total = 50 * READINGS_PER_BLOCK
    append_values(buffer, range(10, 10 + total))
    lost = buffer.stats.lost_readings
    assert lost > 0
    await put_back(tmp_path)
    async with running(buffer):
        await until(lambda: not buffer.stats.degraded and not buffer.stats.unflushed_readings)
    items = await drain(link)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert {gap.reason for gap in gaps} == {"overwritten"}
    assert sum(gap.count for gap in gaps) + len(values_of(items)) == total + 10
    assert sum(gap.count for gap in gaps) >= lost
    settle(link, items)
    assert balanced(link)
    await buffer.close()


async def test_a_directory_held_by_another_daemon_is_waited_for(tmp_path: Path) -> None:
    await obstructed(tmp_path)
    buffer = await open_buffer(tmp_path)
    append_values(buffer, range(5))
    await put_back(tmp_path)
    other = await open_buffer(tmp_path)
    append_values(other, range(100, 103))
    async with running(buffer):
        await asyncio.sleep(0.2)
        assert buffer.stats.degraded
        await other.close()
        await until(lambda: not buffer.stats.degraded)
    await buffer.close()
    again = await open_buffer(tmp_path)
    items = await drain(again.reader("all", from_oldest=True))
    assert values_of(items) == [100, 101, 102, 0, 1, 2, 3, 4]
    await again.close()


async def test_being_stopped_while_storage_is_asked_again_leaves_nothing_open(
    tmp_path: Path,
) -> None:
    await obstructed(tmp_path)
    buffer = await open_buffer(tmp_path)
    link = buffer.reader(LINK)
    append_values(buffer, range(5))
    assert await link.read(2) is not None
    async with running(buffer):
        await put_back(tmp_path)
        await until(lambda: buffer._source.held)
    await buffer.close()
    again = await open_buffer(tmp_path)
    assert again.next_sequence == 0
    await again.close()


async def test_a_bad_place_at_start_costs_that_place_only(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    buffer.reader(LINK)
    for _ in range(20):
        append(buffer, 3)
        await buffer.flush()
    await buffer.close()
    real, bad = disk.pread, (FIRST_DATA_SLOT + 12) * BLOCK_SIZE

    def pread(size: int, offset: int) -> bytes:
        if offset <= bad < offset + size:
            raise OSError(errno.EIO, "EIO")
        return real(size, offset)

    disk.pread = pread  # type: ignore[method-assign]
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert buffer.stats.degraded
    async with running(buffer):
        append(buffer, 3)
        await until(lambda: not buffer.stats.degraded and not buffer.stats.unflushed_readings)
    items = await drain(buffer.readers[LINK])
    assert missing(items) == [(33, 35, "corrupt")]
    assert sum(len(item) for item in items if isinstance(item, Batch)) == 60
    assert not await asyncio.to_thread((ring_path(tmp_path).parent / "damaged" / "ring").exists)
    await buffer.close()


async def test_a_disk_that_cannot_be_read_at_all_is_never_taken_for_an_empty_one(
    tmp_path: Path,
) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, blocks=128, open_file=disk.open)
    append(buffer, 100 * READINGS_PER_BLOCK)
    await buffer.close()
    before = bytes(disk.durable)
    reads = [0]

    def fault(access: str) -> int | None:
        reads[0] += access == "pread"
        return errno.EIO if access == "pread" else None

    disk.fault = fault
    buffer = await open_buffer(tmp_path, blocks=128, open_file=disk.open)
    async with running(buffer):
        await until(lambda: reads[0] > 30)
        assert buffer.stats.degraded
    await buffer.close()
    assert bytes(disk.durable) == before


@pytest.mark.parametrize(
    ("access", "number"),
    [
        ("pread", errno.EIO),
        ("pwrite", errno.EIO),
        ("pwrite", errno.ENOSPC),
        ("pwrite", errno.EROFS),
        ("sync", errno.EIO),
        ("open", errno.EROFS),
    ],
)
async def test_an_error_at_any_access_of_opening_and_flushing_loses_nothing(
    tmp_path: Path, access: str, number: int
) -> None:
    """The n-th access fails once, for every n that a start and three flushes make."""
    for nth in range(1, 200):
        disk, folder = FakeDisk(), tmp_path / str(nth)
        seen = [0]

        def fault(asked: str, seen: list[int] = seen, nth: int = nth) -> int | None:
            seen[0] += asked == access
            return number if asked == access and seen[0] == nth else None

        buffer = await open_buffer(folder, open_file=disk.open)
        buffer.reader(LINK)
        append_values(buffer, range(20))
        await buffer.close()
        disk.fault = fault
        buffer = await open_buffer(folder, open_file=disk.open)
        link = buffer.reader(LINK)
        async with running(buffer):
            for begin in (20, 40, 60):
                append_values(buffer, range(begin, begin + 20))
                with contextlib.suppress(OSError):
                    await buffer.flush()
            await until(
                lambda buffer=buffer: (
                    not (  # type: ignore[misc]
                        buffer.stats.degraded or buffer.stats.unflushed_readings
                    )
                )
            )
        assert values_of(await drain(link)) == list(range(80))
        assert balanced(link)
        await abandon(buffer)
        disk.power_cut()
        disk.fault = lambda _: None
        buffer = await open_buffer(folder, open_file=disk.open)
        assert values_of(await drain(buffer.readers[LINK])) == list(range(80))
        await buffer.close()
        if seen[0] < nth:
            break
    else:
        pytest.fail("more accesses than expected")
    assert nth > 1


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/shm").is_dir(), reason="needs root")
async def test_a_really_full_small_file_system_and_one_remounted_read_only(tmp_path: Path) -> None:
    point = tmp_path / "small"
    await asyncio.to_thread(point.mkdir)
    if await command("mount", "-t", "tmpfs", "-o", "size=8m", "none", str(point)):
        pytest.skip("mounting is not allowed here")
    try:
        await on_a_small_file_system(point)
    finally:
        assert not await command("umount", "-l", str(point))


async def command(*words: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def on_a_small_file_system(point: Path) -> None:
    buffer = await open_buffer(point, blocks=900)
    link = buffer.reader(LINK)
    ballast = point / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            page = bytes(4096)
            with contextlib.suppress(OSError):
                while True:
                    file.write(page)

    append(buffer, 100)
    await buffer.flush()
    await asyncio.to_thread(fill)
    async with running(buffer):
        append(buffer, 600 * READINGS_PER_BLOCK)  # beyond the zeros that were there before
        await until(lambda: buffer.stats.degraded)
        assert "No space" in buffer.stats.degraded_reason
        await asyncio.to_thread(ballast.unlink)
        await until(lambda: not (buffer.stats.degraded or buffer.stats.unflushed_readings))
    await buffer.close()
    assert not await command("mount", "-o", "remount,ro", str(point))
    buffer = await open_buffer(point, blocks=900)
    assert "Read-only" in buffer.stats.degraded_reason
    end = 100 + 600 * READINGS_PER_BLOCK
    async with running(buffer):
        append(buffer, 7)
        assert not await command("mount", "-o", "remount,rw", str(point))
        await until(lambda: not (buffer.stats.degraded or buffer.stats.unflushed_readings))
    link = buffer.readers[LINK]
    assert link.pending == end + 7
    count = sum(len(item) for item in await drain(link, 5000) if isinstance(item, Batch))
    assert count == end + 7
    await buffer.close()
