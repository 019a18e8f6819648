"""Boots that were never right are placed between their neighbours, and never overlap."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer import Batch
from gateway.buffer.boots import Boot, Boots, BootState
from tests.buffer.support import (
    BOOT_A,
    BOOT_B,
    START_NS,
    WALL_NS,
    HandClock,
    append,
    drain,
    open_buffer,
)

HOUR_NS = 3_600_000_000_000
NUMBERS = st.integers(0, 1 << 60)


def boots_of(*records: tuple[BootState, int, int]) -> Boots:
    """Make a table of (state, offset, last); the running boot follows, not synced."""
    known = [
        Boot(number, bytes([number]) * 16, offset_ns, state, 0, last_ns)
        for number, (state, offset_ns, last_ns) in enumerate(records, start=1)
    ]
    clock = HandClock(BOOT_B, synced=False)
    return Boots(known, Boot(len(known) + 1, BOOT_B, clock.offset_ns), clock)


def test_a_guess_between_the_neighbours_stays() -> None:
    boots = boots_of(
        ("synced", WALL_NS, HOUR_NS),
        ("unsynced", WALL_NS + 2 * HOUR_NS, HOUR_NS),
        ("synced", WALL_NS + 4 * HOUR_NS, HOUR_NS),
    )
    assert boots.estimate(2) == WALL_NS + 2 * HOUR_NS


def test_a_boot_of_1970_is_placed_behind_the_one_before() -> None:
    boots = boots_of(("synced", WALL_NS, HOUR_NS), ("unsynced", 0, HOUR_NS))
    assert boots.estimate(2) == WALL_NS + HOUR_NS


def test_a_boot_from_the_future_is_placed_before_the_one_after() -> None:
    boots = boots_of(("unsynced", 2 * WALL_NS, HOUR_NS), ("synced", WALL_NS, HOUR_NS))
    assert boots.estimate(1) == WALL_NS - HOUR_NS


def test_boots_that_were_right_or_still_run_are_not_placed() -> None:
    boots = boots_of(("synced", WALL_NS, HOUR_NS), ("unsynced", 0, HOUR_NS))
    assert boots.estimate(1) is None
    assert boots.estimate(3) is None
    assert boots.estimate(99) is None


def test_without_a_neighbour_nothing_is_known() -> None:
    assert boots_of(("unsynced", 0, HOUR_NS), ("unsynced", 5, HOUR_NS)).estimate(1) is None


@given(
    guesses=st.lists(st.tuples(NUMBERS, st.integers(0, HOUR_NS)), min_size=1, max_size=6),
    spare_ns=st.integers(0, 1 << 50),
)
def test_several_in_a_row_keep_their_order_and_do_not_overlap(
    guesses: list[tuple[int, int]], spare_ns: int
) -> None:
    end_ns = WALL_NS + HOUR_NS
    next_ns = end_ns + sum(last for _, last in guesses) + spare_ns
    boots = boots_of(
        ("synced", WALL_NS, HOUR_NS),
        *(("unsynced", offset, last) for offset, last in guesses),
        ("synced", next_ns, HOUR_NS),
    )
    reached_ns = end_ns
    for number, (_, last_ns) in enumerate(guesses, start=2):
        offset_ns = boots.estimate(number)
        assert offset_ns is not None
        assert offset_ns >= reached_ns
        reached_ns = offset_ns + last_ns
    assert reached_ns <= next_ns


async def test_what_was_measured_in_1970_comes_out_after_what_was_before_it(tmp_path: Path) -> None:
    first = HandClock(BOOT_A)
    buffer = await open_buffer(tmp_path, clock=first)
    buffer.reader("aarhus")
    append(buffer, 3)
    await buffer.close()
    lost = HandClock(BOOT_B, synced=False, wall_ns=5_000_000_000)
    buffer = await open_buffer(tmp_path, clock=lost)
    append(buffer, 3)
    await buffer.close()
    buffer = await open_buffer(tmp_path, clock=HandClock(bytes(16), wall_ns=WALL_NS + HOUR_NS))
    found = [batch for batch in await drain(buffer.readers["aarhus"]) if isinstance(batch, Batch)]
    walls = [time_ns + batch.offset_ns for batch in found for time_ns in batch.times_ns]
    assert walls == sorted(walls)
    assert all(WALL_NS <= wall_ns <= WALL_NS + HOUR_NS for wall_ns in walls)
    assert [(batch.boot, batch.synced, batch.estimated) for batch in found] == [
        (1, True, False),
        (2, False, True),
    ]
    assert walls[-1] > START_NS
    await buffer.close()
