"""Retention by age: what is too old for its class is not given out, whatever the clock does."""

import math
from pathlib import Path

import pytest

from gateway.buffer import Batch, Buffer
from gateway.reading import PrivacyClass, SeriesKey
from tests.buffer.support import (
    BOOT_A,
    BOOT_B,
    START_NS,
    WALL_NS,
    HandClock,
    balanced,
    drain,
    open_buffer,
    settle,
)

LINK = "aarhus"
HOUR_NS = 3600 * 1_000_000_000
YEAR_NS = 365 * 24 * HOUR_NS


def put(buffer: Buffer, clock: HandClock, privacy: PrivacyClass, count: int = 1) -> None:
    key = SeriesKey(f"sensor-{privacy}", "air.pm25")
    series = buffer.series_id(key, unit="ug/m3", privacy=privacy)
    for _ in range(count):
        buffer.append(series, clock.now_ns(), float(buffer.next_sequence), 0)


async def rest(buffer: Buffer) -> list[int]:
    """Read everything and return the sequences that were given out."""
    link = buffer.reader(LINK)
    items = [item for item in await drain(link) if isinstance(item, Batch)]
    settle(link, items)
    assert balanced(link)
    assert link.pending == 0
    return [item.first + index for item in items for index in range(len(item))]


async def test_by_default_only_p3_expires_and_only_after_three_days(tmp_path: Path) -> None:
    clock = HandClock()
    buffer = await open_buffer(tmp_path, clock=clock)
    link = buffer.reader(LINK)
    for privacy in ("P0", "P1", "P2", "P3"):
        put(buffer, clock, privacy, 3)
    await buffer.flush()
    clock.boot_ns += 72 * HOUR_NS
    clock.real_ns += 72 * HOUR_NS
    items = await drain(link)
    assert sum(len(item) for item in items if isinstance(item, Batch)) == 12
    link.rewind()
    clock.boot_ns += 1
    assert await rest(buffer) == list(range(9))
    assert link.dropped["expired"] == 3
    assert link.acknowledged == 9
    await buffer.close()


async def test_each_class_has_its_own_limit_and_mixed_readings_are_told_apart(
    tmp_path: Path,
) -> None:
    clock = HandClock()
    retention: dict[PrivacyClass, float | None] = {"P0": None, "P1": 7200.0, "P2": math.inf}
    buffer = await open_buffer(tmp_path, clock=clock, retention_s=retention | {"P3": 3600.0})
    buffer.reader(LINK)
    kept = []
    for hours_ago in (3, 1.5, 0.5):
        for privacy, limit_h in (("P0", 99), ("P3", 1), ("P1", 2), ("P2", 99), ("P3", 1)):
            if hours_ago < limit_h:
                kept.append(buffer.next_sequence)
            put(buffer, clock, privacy)  # type: ignore[arg-type]
        await buffer.flush()
        clock.boot_ns += HOUR_NS if hours_ago > 1 else HOUR_NS // 2
        if hours_ago == 3:
            clock.boot_ns += HOUR_NS // 2
    assert await rest(buffer) == kept
    assert buffer.reader(LINK).dropped["expired"] == 15 - len(kept)
    await buffer.close()


@pytest.mark.parametrize("synced", [True, False])
@pytest.mark.parametrize("jump_ns", [-YEAR_NS, YEAR_NS])
async def test_a_wall_step_expires_nothing_of_this_boot(
    tmp_path: Path, *, synced: bool, jump_ns: int
) -> None:
    clock = HandClock(synced=synced)
    buffer = await open_buffer(tmp_path, clock=clock)
    buffer.reader(LINK)
    put(buffer, clock, "P3", 5)
    clock.step_wall(jump_ns)
    clock.boot_ns += HOUR_NS
    put(buffer, clock, "P3", 5)
    await buffer.flush()
    assert await rest(buffer) == list(range(10))
    put(buffer, clock, "P3", 2)
    clock.boot_ns += 73 * HOUR_NS
    assert await rest(buffer) == []
    assert buffer.reader(LINK).dropped["expired"] == 2, "boot time goes on whatever the wall says"
    await buffer.close()


@pytest.mark.parametrize(
    ("before_synced", "now_synced", "hours", "expired"),
    [
        (True, True, 71, False),
        (True, True, 73, True),
        (True, False, 73, False),
        (False, True, 73, False),
        (False, False, 9000, False),
    ],
)
async def test_across_boots_wall_time_counts_only_if_both_boots_knew_it(
    tmp_path: Path, *, before_synced: bool, now_synced: bool, hours: int, expired: bool
) -> None:
    clock = HandClock(BOOT_A, synced=before_synced)
    buffer = await open_buffer(tmp_path, clock=clock)
    buffer.reader(LINK)
    put(buffer, clock, "P3", 5)
    put(buffer, clock, "P0", 1)
    await buffer.close()
    clock = HandClock(BOOT_B, synced=now_synced, wall_ns=WALL_NS + hours * HOUR_NS)
    buffer = await open_buffer(tmp_path, clock=clock)
    assert await rest(buffer) == ([5] if expired else list(range(6)))
    await buffer.close()


@pytest.mark.parametrize("jump_ns", [-YEAR_NS, YEAR_NS])
async def test_a_wall_step_of_a_clock_that_was_right_expires_no_earlier_boot(
    tmp_path: Path, jump_ns: int
) -> None:
    clock = HandClock(BOOT_A)
    buffer = await open_buffer(tmp_path, clock=clock)
    buffer.reader(LINK)
    put(buffer, clock, "P3", 5)
    await buffer.flush()
    if jump_ns < 0:  # somebody sets the clock back, and the boot's record takes that over
        clock.step_wall(jump_ns)
        put(buffer, clock, "P0", 1)
    await buffer.close()
    clock = HandClock(BOOT_B, wall_ns=WALL_NS + HOUR_NS)
    buffer = await open_buffer(tmp_path, clock=clock)
    if jump_ns > 0:
        clock.step_wall(jump_ns)
        buffer.note_clock()
    assert (await rest(buffer))[:5] == list(range(5))
    await buffer.close()


async def test_a_machine_that_never_learns_the_time_expires_what_it_has_seen_grow_old(
    tmp_path: Path,
) -> None:
    clock = HandClock(BOOT_A, synced=False)
    buffer = await open_buffer(tmp_path, clock=clock)
    buffer.reader(LINK)
    put(buffer, clock, "P3", 5)
    await buffer.close()
    clock = HandClock(BOOT_B, synced=False)
    buffer = await open_buffer(tmp_path, clock=clock)
    clock.boot_ns = START_NS + 73 * HOUR_NS
    assert await rest(buffer) == []
    assert buffer.reader(LINK).dropped["expired"] == 5
    await buffer.close()


async def test_an_expired_backlog_is_passed_over_block_by_block(tmp_path: Path) -> None:
    clock = HandClock()
    buffer = await open_buffer(tmp_path, blocks=512, clock=clock)
    link = buffer.reader(LINK)
    for _ in range(200):
        put(buffer, clock, "P3", 10)
        await buffer.flush()
    clock.boot_ns += 80 * HOUR_NS
    put(buffer, clock, "P3", 3)
    batch = await link.read(500)
    assert isinstance(batch, Batch)
    assert (batch.first, len(batch)) == (2000, 3)
    assert link.cursor == 2000
    assert link.dropped["expired"] == 2000
    await buffer.close()
