"""How much is written: idle gateways flush later, acknowledged readings need not be written."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.buffer import Buffer, Gap, card_life_years
from gateway.buffer.flusher import IDLE_READINGS
from gateway.buffer.layout import BLOCK_SIZE, READINGS_PER_BLOCK
from tests.buffer.support import (
    BOOT_B,
    HandClock,
    abandon,
    append,
    balanced,
    drain,
    open_buffer,
    sequences,
    settle,
    until,
)

LINK = "aarhus"


@asynccontextmanager
async def running(buffer: Buffer) -> AsyncIterator[None]:
    task = asyncio.create_task(buffer.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_flush_is_due_by_interval_by_idle_time_and_by_fill(tmp_path: Path) -> None:
    """The rule itself, without a clock: (now, due, idle due) and how much waits."""

    async def look(waiting: int) -> list[bool]:
        buffer = await open_buffer(tmp_path / str(waiting), blocks=64)
        append(buffer, waiting)
        due = buffer._flusher._is_due
        found = [due(4.9, 5.0, 30.0), due(5.0, 5.0, 30.0), due(29.9, 5.0, 30.0), due(30, 5.0, 30.0)]
        await buffer.close()
        return found

    assert asyncio.run(look(0)) == [False, True, True, True]
    assert asyncio.run(look(1)) == [False, False, False, True]
    assert asyncio.run(look(IDLE_READINGS - 1)) == [False, False, False, True]
    assert asyncio.run(look(IDLE_READINGS)) == [False, True, True, True]
    assert asyncio.run(look(READINGS_PER_BLOCK)) == [False, True, True, True]
    assert asyncio.run(look(20 * READINGS_PER_BLOCK)) == [True, True, True, True]


async def test_a_few_readings_are_flushed_in_the_end_and_many_at_once(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, flush_interval_s=0.2, flush_interval_max_s=3600.0)
    async with running(buffer):
        append(buffer, 3)
        await until(lambda: not buffer.stats.unflushed_readings)  # six intervals
        append(buffer, IDLE_READINGS)
        await until(lambda: not buffer.stats.unflushed_readings)
    assert buffer.stats.flushes == 2
    await buffer.close()


async def test_the_greatest_interval_is_a_bound(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, flush_interval_s=100.0, flush_interval_max_s=0.3)
    buffer2 = await open_buffer(tmp_path / "2", flush_interval_s=0.1, flush_interval_max_s=0.0)
    async with running(buffer2):
        append(buffer2, 1)
        await until(lambda: not buffer2.stats.unflushed_readings)
    await buffer.close()
    await buffer2.close()


async def test_what_every_link_has_acknowledged_is_not_written(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, persist="unacknowledged")
    fast, slow = buffer.reader(LINK), buffer.reader("slow")
    append(buffer, 10)
    settle(fast, await drain(fast))
    await buffer.flush()
    written = buffer.stats.written_readings
    assert written == 10, "one link has it, the other has not"
    settle(slow, await drain(slow))
    for _ in range(20):
        append(buffer, 400)
        for link in (fast, slow):
            settle(link, await drain(link))
            assert balanced(link)
        before = buffer.stats.written_bytes
        await buffer.flush()
        assert buffer.stats.written_bytes == before
    assert buffer.stats.written_readings == written
    assert buffer.stats.unwritten_readings == 8000
    assert buffer.stats.unflushed_readings == 0
    append(buffer, 7)
    settle(fast, await drain(fast))
    await buffer.flush()
    assert sequences(await drain(slow)) == list(range(8010, 8017))
    await abandon(buffer)
    buffer = await open_buffer(tmp_path, persist="unacknowledged", clock=HandClock(BOOT_B))
    assert buffer.next_sequence == 8017
    link = buffer.readers["slow"]
    items = await drain(link)
    assert sequences(items) == list(range(8010, 8017))
    assert not any(isinstance(item, Gap) for item in items)
    await buffer.close()


async def test_without_links_everything_is_written(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, persist="unacknowledged")
    append(buffer, 500)
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert sequences(await drain(buffer.reader("all", from_oldest=True))) == list(range(500))
    await buffer.close()


async def test_cursors_of_what_was_never_written_are_kept_at_the_end(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path, persist="unacknowledged")
    link = buffer.reader(LINK)
    append(buffer, 500)
    settle(link, await drain(link))
    await buffer.close()
    buffer = await open_buffer(tmp_path)
    assert (buffer.next_sequence, buffer.readers[LINK].cursor) == (500, 500)
    assert buffer.readers[LINK].pending == 0
    await buffer.close()


async def test_the_figures_of_wear_add_up(tmp_path: Path) -> None:
    clock = HandClock()
    buffer = await open_buffer(tmp_path, clock=clock)
    assert buffer.stats.bytes_per_reading is None
    assert buffer.stats.bytes_per_day is None
    base = buffer.stats.written_bytes
    append(buffer, 100)
    await buffer.flush()
    append(buffer, 400)
    await buffer.flush()
    clock.boot_ns += 43_200 * 1_000_000_000
    stats = buffer.stats
    assert stats.written_readings == 500
    assert stats.written_bytes == base + (1 + 3) * BLOCK_SIZE
    assert stats.bytes_per_reading == stats.written_bytes / 500
    assert stats.bytes_per_day == 2 * stats.written_bytes
    await buffer.close()


def test_the_life_of_a_card() -> None:
    day = 1e12 / 365.25
    assert card_life_years(day, endurance_tb=10) == pytest.approx(10)
    assert card_life_years(day, endurance_tb=10, amplification=4) == pytest.approx(2.5)
    assert card_life_years(0, endurance_tb=10) is None
    with pytest.raises(ValueError, match="above 0"):
        card_life_years(1, endurance_tb=0)


async def test_a_renamed_link_keeps_all_that_it_had(tmp_path: Path) -> None:
    buffer = await open_buffer(tmp_path)
    link = buffer.reader(LINK)
    buffer.reader("other")
    append(buffer, 20)
    link.settle(0, 9, acknowledged=10)
    buffer.rename_reader(LINK, "århus")
    assert buffer.reader("århus") is link
    assert (link.name, link.acknowledged, link.pending) == ("århus", 10, 10)
    with pytest.raises(ValueError, match="already"):
        buffer.rename_reader("århus", "other")
    with pytest.raises(KeyError):
        buffer.rename_reader("nobody", "somebody")
    with pytest.raises(ValueError, match="bytes"):
        buffer.rename_reader("other", "")
    await buffer.flush()
    await abandon(buffer)
    buffer = await open_buffer(tmp_path)
    assert {name: reader.cursor for name, reader in buffer.readers.items()} == {
        "århus": 10,
        "other": 0,
    }
    await buffer.close()
