"""The buffer as the rest of the daemon uses it, on a real file."""

import asyncio
from pathlib import Path

import pytest

from gateway.buffer import Batch, Gap
from gateway.buffer.layout import READINGS_PER_BLOCK
from gateway.buffer.ring import RECENT_BLOCKS
from gateway.errors import DataDirectoryBusy
from gateway.reading import SeriesKey
from tests.buffer.support import (
    BOOT_B,
    KEY,
    START_NS,
    WALL_NS,
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


async def test_a_reading_comes_back_as_it_went_in(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")
    series = buffer.series_id(KEY, unit="ug/m3", privacy="P1")
    sequence = buffer.append(series, 12_345, -0.5, 0x1003)
    batch = await link.read(10)
    assert isinstance(batch, Batch)
    assert (batch.first, batch.last, len(batch)) == (sequence, sequence, 1)
    assert (batch.series, batch.times_ns, batch.values, batch.flags) == (
        [series],
        [12_345],
        [-0.5],
        [0x1003],
    )
    assert (batch.epoch, batch.boot, batch.synced) == (buffer.epoch, buffer.boot, True)
    assert batch.offset_ns == WALL_NS - START_NS
    assert buffer.series(series).key == KEY
    assert await link.read(10) is None
    await buffer.close()


async def test_flushed_readings_survive_and_the_epoch_rises(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    buffer.reader("aarhus")
    append(buffer, 500)
    await buffer.flush()
    epoch = buffer.epoch
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert buffer.epoch == epoch + 1
    items = await drain(buffer.readers["aarhus"])
    assert sequences(items) == list(range(500))
    assert {item.epoch for item in items if isinstance(item, Batch)} == {epoch}
    assert buffer.next_sequence == 500
    await buffer.close()


async def test_a_batch_never_crosses_an_epoch(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    buffer.reader("aarhus")
    append(buffer, 10)
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    append(buffer, 10)
    batches = await drain(buffer.readers["aarhus"])
    assert [(item.first, item.last) for item in batches] == [(0, 9), (10, 19)]
    await buffer.close()


async def test_a_new_boot_gets_a_new_number_and_the_old_one_keeps_its_offset(
    tmp_path: Path,
) -> None:
    buffer = await open_buffer(tmp_path, clock=HandClock())
    buffer.reader("aarhus")
    append(buffer, 3)
    await buffer.close()
    late = HandClock(BOOT_B, synced=False, wall_ns=5_000_000_000)
    buffer = await open_buffer(tmp_path, clock=late)
    assert buffer.boot == 2
    append(buffer, 3)
    first, second = await drain(buffer.readers["aarhus"])
    assert isinstance(first, Batch)
    assert isinstance(second, Batch)
    assert (first.boot, first.offset_ns, first.synced) == (1, WALL_NS - START_NS, True)
    assert (second.boot, second.offset_ns, second.synced) == (2, 4_000_000_000, False)
    await buffer.close()


async def test_when_the_clock_becomes_right_the_readings_of_this_boot_do_too(
    tmp_path: Path,
) -> None:
    clock = HandClock(synced=False, wall_ns=5_000_000_000)
    buffer = await open_buffer(tmp_path, clock=clock)
    link = buffer.reader("aarhus")
    append(buffer, 3)
    await buffer.flush()
    clock.sync_source = "timesyncd"
    clock.step_wall(WALL_NS - 5_000_000_000)
    batch = await link.read(10)
    assert isinstance(batch, Batch)
    assert (batch.offset_ns, batch.synced) == (WALL_NS - START_NS, True)
    await buffer.close()
    clock = HandClock(BOOT_B, synced=False, wall_ns=5_000_000_000)
    buffer = await open_buffer(tmp_path, clock=clock)
    again = await buffer.readers["aarhus"].read(10)
    assert isinstance(again, Batch)
    assert (again.offset_ns, again.synced) == (WALL_NS - START_NS, True)
    await buffer.close()


async def test_settled_ranges_are_not_read_again_after_a_lost_connection(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")
    append(buffer, 100)
    first, second, third = [await link.read(20) for _ in range(3)]
    assert first is not None
    assert second is not None
    assert third is not None
    settle(link, [second])
    assert (link.cursor, link.pending) == (0, 80)
    link.rewind()
    again = await drain(link, 50)
    assert [(item.first, item.last) for item in again] == [(0, 19), (40, 89), (90, 99)]
    settle(link, again)
    assert (link.cursor, link.pending, link.acknowledged) == (100, 0, 100)
    assert balanced(link)
    await buffer.close()


async def test_settling_twice_or_beyond_the_end_is_refused(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")
    append(buffer, 10)
    link.settle(2, 4, acknowledged=3)
    for first, last in ((4, 5), (0, 2), (3, 3), (0, 9)):
        with pytest.raises(ValueError, match="overlaps"):
            link.settle(first, last, acknowledged=last - first + 1)
    with pytest.raises(ValueError, match="not the same"):
        link.settle(0, 1, acknowledged=1)
    with pytest.raises(ValueError, match="not the same"):
        link.settle(0, 1, acknowledged=3, dropped={"policy": -1})
    with pytest.raises(ValueError, match="never appended"):
        link.settle(9, 10, acknowledged=2)
    assert balanced(link)
    assert (link.cursor, link.pending) == (0, 7)
    await buffer.close()


async def test_the_cursor_is_stored_with_the_next_block(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")
    append(buffer, 100)
    settle(link, [item for item in [await link.read(60)] if item is not None])
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    link = buffer.readers["aarhus"]
    assert (link.cursor, link.pending, link.accepted) == (60, 40, 40)
    settle(link, await drain(link))
    await buffer.close()  # only the cursor moved: an empty block carries it
    buffer = await open_buffer(tmp_path)
    assert buffer.readers["aarhus"].pending == 0
    await buffer.close()


async def test_a_new_link_is_owed_what_comes_from_now_on(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 10)
    live, all_of_it = buffer.reader("live"), buffer.reader("all", from_oldest=True)
    assert buffer.reader("live") is live
    append(buffer, 5)
    assert sequences(await drain(live)) == list(range(10, 15))
    assert sequences(await drain(all_of_it)) == list(range(15))
    assert (live.accepted, all_of_it.accepted) == (5, 15)
    await buffer.close()


async def test_the_place_of_a_forgotten_link_is_used_again(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 10)
    for number in range(16):
        buffer.reader(f"link-{number}")
    with pytest.raises(ValueError, match="16"):
        buffer.reader("one-too-many")
    reader = buffer.reader("link-3")
    reader.settle(10, 10, acknowledged=append(buffer, 1)[0] - 9)
    await buffer.flush()
    buffer.forget_reader("link-3")
    newcomer = buffer.reader("newcomer", from_oldest=True)
    assert newcomer.cursor == 0
    append(buffer, 1)
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert "link-3" not in buffer.readers
    assert buffer.readers["newcomer"].cursor == 0, "took over the cursor of an earlier owner"
    assert sequences(await drain(buffer.readers["newcomer"])) == list(range(12))
    await buffer.close()


@pytest.mark.parametrize("name", ["", "x" * 129, "a\x00b"])
async def test_a_name_that_does_not_fit_is_refused(tmp_path: Path, name: str) -> None:
    buffer = await open_buffer(tmp_path)
    with pytest.raises(ValueError, match="link name"):
        buffer.reader(name)
    await buffer.close()


async def test_overwritten_readings_become_one_gap_with_exact_numbers(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=16)
    other = buffer.reader("other")
    buffer.reader("slow")
    per_flush = READINGS_PER_BLOCK * 4
    for _ in range(RECENT_BLOCKS // 4 + 8):
        append(buffer, per_flush)
        await buffer.flush()
        settle(other, await drain(other))
    stats = buffer.stats
    assert stats.blocks == stats.blocks_used == 16
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=16)
    slow = buffer.readers["slow"]
    total = buffer.next_sequence
    oldest = buffer.stats.oldest_sequence
    items = await drain(slow)
    assert items[0] == Gap(0, oldest - 1, "overwritten", None, WALL_NS + oldest)
    assert sequences(items[1:]) == list(range(oldest, total))
    # 16 blocks, of which the newest is the empty one that carried the cursor at the end.
    assert oldest == total - 15 * READINGS_PER_BLOCK
    settle(slow, items)
    assert slow.dropped["overwritten"] == oldest
    assert balanced(slow)
    assert other.acknowledged == total
    await buffer.close()


async def test_a_live_reader_never_asks_the_disk(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")

    async def refuse(*_: object, **__: object) -> None:
        raise AssertionError("went to the disk")

    link._source.fetch = refuse  # type: ignore[assignment]
    for _ in range(30):
        append(buffer, 400)
        await buffer.flush()
        settle(link, await drain(link))
    assert link.acknowledged == 12_000
    await buffer.close()


async def test_a_backlog_is_read_from_disk(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=512)
    link = buffer.reader("aarhus")
    for count in (1, 7, 162, 200, 3, 40_000, 5):
        append(buffer, count)
        await buffer.flush()
    assert link.cursor < buffer._ring.memory_first, "the test needs a backlog beyond memory"
    items = await drain(link, 200)
    assert sequences(items) == list(range(buffer.next_sequence))
    assert all(len(item) <= 200 for item in items if isinstance(item, Batch))
    link.rewind()
    assert sequences(await drain(link, 5000)) == list(range(buffer.next_sequence))
    await buffer.close()


async def test_wait_returns_when_something_was_appended(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader("aarhus")
    waiting = asyncio.create_task(link.wait())
    await asyncio.sleep(0)
    buffer.notify()
    await asyncio.sleep(0)
    assert not waiting.done(), "nothing was there"
    append(buffer, 1)
    buffer.notify()
    await waiting
    await link.wait()
    await drain(link)
    waiting = asyncio.create_task(link.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    link.rewind()
    await waiting
    await buffer.close()


async def test_the_age_of_what_is_pending_is_known_wherever_it_is(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=512)
    link = buffer.reader("aarhus")
    append(buffer, 10)
    link.settle(0, 3, acknowledged=4)
    assert link.oldest_pending_time_ns == WALL_NS + 4
    for _ in range(100):
        append(buffer, READINGS_PER_BLOCK)
        await buffer.flush()
    assert link.cursor < buffer._ring.memory_first
    assert link.oldest_pending_time_ns == WALL_NS + 4
    await buffer.close()
    buffer = await open_buffer(tmp_path, blocks=512)
    link = buffer.readers["aarhus"]
    assert link.oldest_pending_time_ns == WALL_NS + 4
    settle(link, await drain(link))
    nothing_pending: int | None = link.oldest_pending_time_ns
    assert nothing_pending is None
    await buffer.close()


async def test_two_daemons_cannot_share_a_directory(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    with pytest.raises(DataDirectoryBusy) as caught:
        await open_buffer(tmp_path)
    assert caught.value.directory == str(settings_for(tmp_path).directory)
    await buffer.close()
    await (await open_buffer(tmp_path)).close()


async def test_run_flushes_and_fills_the_file_by_itself(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, blocks=1024)
    durations: list[float] = []
    buffer.on_flush = durations.append
    running = asyncio.create_task(buffer.run())
    append(buffer, READINGS_PER_BLOCK * 3 + 5)
    ring = settings_for(tmp_path, 1024).directory / "ring"
    await until(lambda: not buffer.stats.unflushed_readings)
    await until(lambda: not buffer._flusher._filling)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(durations) == buffer.stats.flushes >= 1
    status = await asyncio.to_thread(ring.stat)
    assert status.st_size == buffer.stats.size_bytes
    assert status.st_blocks * 512 >= buffer.stats.size_bytes, "the file is sparse"
    await buffer.close()


async def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 1)
    await buffer.flush()
    before = buffer.stats
    await buffer.flush()
    assert buffer.stats.written_bytes == before.written_bytes
    assert buffer.stats.flushes == before.flushes
    await buffer.close()


async def test_stats_add_up(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    append(buffer, 200)
    stats = buffer.stats
    assert (stats.appended_readings, stats.unflushed_readings, stats.next_sequence) == (200,) * 3
    assert (stats.oldest_sequence, stats.oldest_time_ns) == (0, WALL_NS)
    await buffer.flush()
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    stats = buffer.stats
    assert (stats.appended_readings, stats.unflushed_readings, stats.next_sequence) == (0, 0, 200)
    assert (stats.oldest_sequence, stats.oldest_time_ns) == (0, WALL_NS)
    assert not stats.degraded
    await buffer.close()


async def test_privacy_changes_in_place_and_a_new_unit_is_a_new_series(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    key = SeriesKey("count", "traffic.count", (("lane", "1"),), "sum")
    first = buffer.series_id(key, unit="1", privacy="P0")
    assert buffer.series_id(key, unit="1", privacy="P2") == first
    assert buffer.series(first).privacy == "P2"
    second = buffer.series_id(key, unit="{count}", privacy="P2")
    assert second != first
    append(buffer, 1)
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    assert buffer.series(first).key == buffer.series(second).key == key
    assert (buffer.series(first).unit, buffer.series(second).unit) == ("1", "{count}")
    assert buffer.series_id(key, unit="{count}", privacy="P2") == second
    await buffer.close()
