"""A disk that refuses: nothing durable is lost, memory stays bounded, and it heals by itself."""

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.buffer import Buffer, Gap, Reader
from gateway.buffer import flusher as flusher_module
from gateway.buffer import lane as lane_module
from gateway.buffer.layout import READINGS_PER_BLOCK
from tests.buffer.support import (
    FakeDisk,
    HandClock,
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


def failing(
    *accesses: str, number: int = errno.EIO, times: int = 1 << 30
) -> Callable[[str], int | None]:
    left = [times]

    def fault(access: str) -> int | None:
        if access in accesses and left[0] > 0:
            left[0] -= 1
            return number
        return None

    return fault


@asynccontextmanager
async def running(buffer: Buffer) -> AsyncIterator[None]:
    task = asyncio.create_task(buffer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("access", ["pwrite", "sync"])
async def test_after_one_error_everything_is_written_again(tmp_path: Path, access: str) -> None:
    """The fake disk forgets dirty pages at a failed sync, so syncing again would not be enough."""
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    buffer.reader(LINK)
    append(buffer, 5)
    await buffer.flush()
    append(buffer, 2 * READINGS_PER_BLOCK + 7)
    disk.fault = failing(access, times=1)
    with pytest.raises(OSError, match="EIO"):
        await buffer.flush()
    assert buffer.stats.flush_errors == 1
    assert buffer.stats.unflushed_readings == 2 * READINGS_PER_BLOCK + 7
    await buffer.flush()
    assert buffer.stats.unflushed_readings == 0
    end = buffer.next_sequence
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert sequences(await drain(buffer.reader(LINK))) == list(range(end))
    await buffer.close()


async def test_durable_blocks_are_never_written_again(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, blocks=64, open_file=disk.open)
    first_data_write = len(disk.writes)
    for count in (1, 200, 400, 3):
        append(buffer, count)
        disk.fault = failing("sync", times=1)
        with pytest.raises(OSError, match="EIO"):
            await buffer.flush()
        await buffer.flush()
        durable = bytes(disk.durable)
        append(buffer, 1)
        before = len(disk.writes)
        await buffer.flush()
        for offset, size in disk.writes[before:]:
            assert not any(durable[offset : offset + size]), "wrote over a durable block"
    assert len(disk.writes) > first_data_write
    await buffer.close()


async def test_a_full_disk_degrades_and_heals_and_the_links_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, blocks=256, open_file=disk.open)
    link = buffer.reader(LINK)
    async with running(buffer):
        append(buffer, 300)
        await until(lambda: not buffer.stats.unflushed_readings)
        disk.fault = failing("pwrite", number=errno.ENOSPC)
        append(buffer, 300)
        await until(lambda: buffer.stats.degraded)
        assert "ENOSPC" in buffer.stats.degraded_reason
        append(buffer, 300)
        settle(link, await drain(link))
        assert (link.acknowledged, link.pending) == (900, 0), "forwarding goes on from memory"
        assert balanced(link)
        disk.fault = lambda _: None
        await until(lambda: not buffer.stats.degraded)
        await until(lambda: not buffer.stats.unflushed_readings)
    assert buffer.stats.degraded_reason == ""
    assert buffer.stats.lost_readings == 0
    assert {record.levelno for record in caplog.records} == {logging.WARNING}, "nothing was lost"
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(tmp_path, blocks=256, open_file=disk.open)
    everything = buffer.reader("all", from_oldest=True)
    assert sequences(await drain(everything)) == list(range(900))
    await buffer.close()


async def test_when_memory_is_used_up_the_oldest_fall_out_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    disk = FakeDisk()
    blocks = 64
    buffer = await open_buffer(tmp_path, blocks=blocks, open_file=disk.open)
    link = buffer.reader(LINK)
    other = buffer.reader("other")
    append(buffer, 10)
    await buffer.flush()
    disk.fault = failing("pwrite")
    append(buffer, 5 * READINGS_PER_BLOCK)
    with pytest.raises(OSError, match="EIO"):
        await buffer.flush()
    for _ in range(2 * blocks):
        append(buffer, READINGS_PER_BLOCK)
        assert len(buffer._ring.blocks) <= blocks + 2, "memory must stay bounded"
        settle(other, await drain(other))
        assert balanced(other)
        assert balanced(link)
    lost = buffer.stats.lost_readings
    assert lost > 0
    disk.fault = lambda _: None
    await buffer.flush()
    end = buffer.next_sequence
    items = await drain(link)
    gaps = [item for item in items if isinstance(item, Gap)]
    assert {gap.reason for gap in gaps} == {"overwritten"}
    assert gaps[-1].count == lost, "what fell out is one gap; one before it was overwritten"
    assert len(sequences(items)) + sum(gap.count for gap in gaps) == end
    assert other.acknowledged == end, "a live reader lost nothing"
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(tmp_path, blocks=blocks, open_file=disk.open)
    again = await drain(buffer.reader(LINK))
    lost_now = {
        one for gap in again if isinstance(gap, Gap) for one in range(gap.first, gap.last + 1)
    }
    assert {gap.reason for gap in again if isinstance(gap, Gap)} == {"overwritten"}
    assert sorted(lost_now | set(sequences(again))) == list(range(end))
    settle(buffer.reader(LINK), again)
    assert balanced(buffer.reader(LINK))
    await buffer.close()


async def test_losses_are_told_as_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, blocks=16, open_file=disk.open)
    disk.fault = failing("pwrite", "open")
    async with running(buffer):
        for _ in range(40):
            append(buffer, READINGS_PER_BLOCK)
        await until(lambda: "fell out of memory" in caplog.text)
        assert buffer.stats.lost_readings == 24 * READINGS_PER_BLOCK
    disk.fault = lambda _: None
    await buffer.close()
    assert "can be written again" in caplog.text


async def test_a_cancelled_flush_is_repeated(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    link = buffer.reader(LINK)
    append(buffer, 500)
    flush = asyncio.create_task(buffer.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    flush.cancel()
    await asyncio.gather(flush, return_exceptions=True)
    assert flush.cancelled()
    await buffer.flush()
    await abandon(buffer)
    disk.power_cut()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert sequences(await drain(buffer.reader(link.name))) == list(range(500))
    await buffer.close()


async def test_a_side_file_that_cannot_be_written_keeps_no_reading_from_the_disk(
    tmp_path: Path,
) -> None:
    buffer = await open_buffer(tmp_path)
    buffer.reader(LINK)
    obstacle = settings_for(tmp_path).directory / "series.json.tmp"
    await asyncio.to_thread(obstacle.mkdir)
    append(buffer, 100)
    for _ in range(3):
        with pytest.raises(OSError, match=r"series\.json"):
            await buffer.flush()
    stats = buffer.stats
    assert (stats.degraded, stats.unflushed_readings) == (True, 0)
    await asyncio.to_thread(obstacle.rmdir)
    await buffer.flush()
    assert not buffer.stats.degraded
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.series(1).key.sensor == "air-roof"
    assert sequences(await drain(buffer.reader(LINK))) == list(range(100))
    await buffer.close()


async def backlog(disk: FakeDisk, folder: Path) -> tuple[Buffer, Reader]:
    buffer = await open_buffer(folder, blocks=512, open_file=disk.open)
    link = buffer.reader(LINK)
    for _ in range(300):
        append(buffer, 4)
        await buffer.flush()
    return buffer, link


async def test_a_read_error_that_passes_costs_nothing(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer, link = await backlog(disk, tmp_path)
    disk.fault = failing("pread", times=2)
    assert sequences(await drain(link)) == list(range(1200))
    await buffer.close()


async def test_a_place_that_stays_unreadable_is_a_gap(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer, link = await backlog(disk, tmp_path)
    real = disk.pread
    bad = (4 + 40) * 4096

    def pread(size: int, offset: int) -> bytes:
        if offset <= bad < offset + size:
            raise OSError(errno.EIO, "EIO")
        return real(size, offset)

    disk.pread = pread  # type: ignore[method-assign]
    items = await drain(link)
    assert [(gap.first, gap.last, gap.reason) for gap in items if isinstance(gap, Gap)] == [
        (156, 159, "corrupt")
    ]
    assert len(sequences(items)) == 1196
    await buffer.close()


async def test_a_disk_that_is_gone_is_waited_for(tmp_path: Path) -> None:
    disk = FakeDisk()
    buffer, link = await backlog(disk, tmp_path)
    attempts: list[str] = []

    def gone(access: str) -> int | None:
        attempts.append(access)
        return errno.EIO

    disk.fault = gone
    reading = asyncio.create_task(link.read(200))
    await until(lambda: len(attempts) > 400)
    assert not reading.done(), "the whole backlog was declared lost"
    disk.fault = lambda _: None
    first = await reading
    assert first is not None
    assert sequences([first]) == list(range(len(sequences([first]))))
    assert sequences([first, *await drain(link)]) == list(range(1200))
    await buffer.close()


@pytest.mark.parametrize("accesses", range(460, 540, 9))
async def test_a_disk_that_comes_back_while_it_is_looked_through_has_lost_nothing(
    tmp_path: Path, accesses: int
) -> None:
    """The blocks behind the one that was asked for last can be read: that says nothing of it."""
    disk = FakeDisk()
    buffer, link = await backlog(disk, tmp_path)
    left = iter(range(accesses))
    disk.fault = lambda _: None if next(left, None) is None else errno.EIO
    first = await link.read(200)
    assert first is not None
    assert sequences([first, *await drain(link)]) == list(range(1200))
    assert buffer.stats.damaged_blocks == 0
    await buffer.close()


async def test_storage_that_cannot_be_used_at_all_gives_a_ring_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread((tmp_path / "data").write_text, "a file where the directory should be")
    buffer = await open_buffer(tmp_path, blocks=32)
    assert buffer.stats.degraded
    assert buffer.epoch >= 1 << 31
    link = buffer.reader(LINK)
    async with running(buffer):
        for _ in range(100):
            append(buffer, READINGS_PER_BLOCK)
            settle(link, await drain(link))
            await asyncio.sleep(0)
        assert link.acknowledged == 100 * READINGS_PER_BLOCK
        assert balanced(link)
    slow = buffer.reader("slow", from_oldest=True)
    assert len(sequences(await drain(slow))) > 0
    await buffer.close()
    assert "only in memory" in caplog.text


@pytest.mark.parametrize("access", ["open", "pwrite", "sync", "pread"])
async def test_opening_survives_a_disk_that_only_answers_with_errors(
    tmp_path: Path, access: str
) -> None:
    disk = FakeDisk()
    disk.fault = failing(access)
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    assert buffer.stats.degraded
    append(buffer, 10)
    await buffer.close()
    disk.fault = lambda _: None
    buffer = await open_buffer(tmp_path, open_file=disk.open, clock=HandClock())
    assert not buffer.stats.degraded
    await buffer.close()


async def test_a_really_full_file_system(tmp_path: Path) -> None:
    """/dev/full answers each write with ENOSPC, as a full disk does."""

    class FullFile(FakeDisk):
        def pwrite(self, data: bytes | bytearray, offset: int) -> None:
            if full:
                fd = os.open("/dev/full", os.O_WRONLY)
                try:
                    os.write(fd, data)
                finally:
                    os.close(fd)
            super().pwrite(data, offset)

    full = False
    disk = FullFile()
    buffer = await open_buffer(tmp_path, open_file=disk.open)
    buffer.reader(LINK)
    append(buffer, 10)
    full = True
    with pytest.raises(OSError, match="No space left"):
        await buffer.flush()
    full = False
    await buffer.flush()
    assert not buffer.stats.unflushed_readings
    await buffer.close()
