"""The ranges of doubtful times against a plain table of every reading."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.forward.unsure import (
    MAX_RANGES,
    SPREAD_NS,
    Unsure,
    UnsureRanges,
    parse_ranges,
    ranges_document,
    with_reserve,
)

BOOT_ID = bytes(range(16))


def unsure(first: int, last: int, offset_ns: int, epoch: int = 1) -> Unsure:
    return Unsure(epoch, 1, BOOT_ID, first, last, last, offset_ns, offset_ns)


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 30),
        st.one_of(st.integers(0, SPREAD_NS), st.integers(0, 1 << 62)),
        st.integers(1, 2),
    ),
    max_size=60,
)


@given(STEPS)
@settings(deadline=None)
def test_every_reading_keeps_the_offset_that_it_was_sent_with_last(
    steps: list[tuple[int, int, int, int]],
) -> None:
    ranges = UnsureRanges()
    table: dict[tuple[int, int], int] = {}
    for first, more, offset_ns, epoch in steps:
        ranges.add(unsure(first, first + more, offset_ns, epoch))
        table |= {(epoch, number): offset_ns for number in range(first, first + more + 1)}
    told = [(one.epoch, number) for one in ranges for number in range(one.first, one.last + 1)]
    assert sorted(told) == sorted(table)
    for one in ranges:
        assert one.spread_ns <= SPREAD_NS
        for number in range(one.first, one.last + 1):
            assert one.low_ns <= table[one.epoch, number] <= one.high_ns


def test_the_number_of_ranges_is_bounded_and_the_bound_says_what_that_costs() -> None:
    ranges = UnsureRanges()
    count = 2 * MAX_RANGES
    for number in range(count):
        ranges.add(unsure(number, number, number * 2 * SPREAD_NS))
    assert len(ranges) <= MAX_RANGES
    assert ranges.forgotten == 0
    told = [number for one in ranges for number in range(one.first, one.last + 1)]
    assert told == list(range(count))
    for one in ranges:
        assert one.low_ns == one.first * 2 * SPREAD_NS
        assert one.high_ns == one.last * 2 * SPREAD_NS


def test_ranges_of_other_runs_never_become_one() -> None:
    ranges = UnsureRanges()
    for epoch in range(MAX_RANGES + 3):
        ranges.add(unsure(0, 5, 0, epoch))
    assert len(ranges) == MAX_RANGES
    assert ranges.forgotten == 3
    assert min(one.epoch for one in ranges) == 3


@given(STEPS)
@settings(deadline=None)
def test_what_is_kept_covers_what_is_sent_next_and_overlaps_nothing(
    steps: list[tuple[int, int, int, int]],
) -> None:
    ranges = UnsureRanges()
    for first, more, offset_ns, epoch in steps:
        ranges.add(unsure(first, first + more, offset_ns, epoch))
    kept = with_reserve(list(ranges), {one.source for one in ranges})
    for before, one in zip(ranges, kept, strict=True):
        assert one.covers(before)
    for left, right in pairwise(kept):
        assert left.source != right.source or left.reserved < right.first
    assert parse_ranges(ranges_document(kept), 1 << 40) == [
        Unsure(*one.source, one.first, one.reserved, one.reserved, one.low_ns, one.high_ns)
        for one in kept
    ]
