"""A boot that was never right lies within its bound of the truth, whatever it believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer.boots import BOUND_UNKNOWN_MS, Boot, Boots, BootState, place_boots
from tests.buffer.support import BOOT_B, WALL_NS, HandClock

BOUND_MS = 16_000
S = 1_000_000_000


def boot(number: int, state: BootState, offset_ns: int, last_ns: int) -> Boot:
    bound_ms = BOUND_MS if state == "synced" else BOUND_UNKNOWN_MS
    return Boot(number, bytes([number]) * 16, offset_ns, state, bound_ms, last_ns)


@given(
    lost=st.lists(
        st.tuples(
            st.integers(0, 1 << 40),  # pause before it, ns
            st.integers(0, 1 << 44),  # how long it lasted
            st.integers(-(1 << 62), 1 << 62),  # what it believed of its beginning
        ),
        min_size=1,
        max_size=5,
    ),
    errors_ns=st.tuples(*[st.integers(-BOUND_MS * 1_000_000, BOUND_MS * 1_000_000)] * 2),
)
def test_the_truth_lies_within_the_bound(
    lost: list[tuple[int, int, int]], errors_ns: tuple[int, int]
) -> None:
    boots = [boot(1, "synced", WALL_NS + errors_ns[0], 3600 * S)]
    now_ns = WALL_NS + 3600 * S
    truth: dict[int, int] = {}
    for number, (pause_ns, last_ns, guess_ns) in enumerate(lost, start=2):
        truth[number] = now_ns + pause_ns
        now_ns = truth[number] + last_ns
        boots.append(boot(number, "unsynced", guess_ns, last_ns))
    boots.append(boot(len(lost) + 2, "synced", now_ns + errors_ns[1], 0))
    placed = place_boots(boots)
    assert placed.keys() == truth.keys()
    for number, true_ns in truth.items():
        found = placed[number]
        assert abs(found.offset_ns - true_ns) <= found.bound_ms * 1_000_000


def test_with_one_neighbour_nobody_knows_how_far_it_may_be_off() -> None:
    placed = place_boots([boot(1, "synced", WALL_NS, S), boot(2, "unsynced", 0, S)])
    assert placed[2].bound_ms == BOUND_UNKNOWN_MS


def table(state: BootState, *, synced_now: bool) -> Boots:
    known = [boot(1, "synced", WALL_NS, S), boot(2, state, 0, S)]
    clock = HandClock(BOOT_B, synced=synced_now, wall_ns=WALL_NS + 7200 * S)
    boots = Boots(known, Boot(3, BOOT_B, clock.offset_ns), clock)
    boots.note_clock()
    return boots


def test_a_lost_boot_has_its_place_for_good_when_the_running_one_is_right() -> None:
    lost_id = bytes([2]) * 16
    assert table("unsynced", synced_now=False).settled_time(lost_id) is None
    known = table("unsynced", synced_now=True).settled_time(lost_id)
    assert known is not None
    assert known.estimated
    assert known.offset_ns == WALL_NS + S
    assert known.bound_ms is not None


def test_a_boot_that_was_right_stays_where_it_was() -> None:
    known = table("synced", synced_now=False).settled_time(bytes([2]) * 16)
    assert known == (0, BOUND_MS, False)


def test_of_a_boot_without_a_record_nothing_is_known() -> None:
    with pytest.raises(KeyError):
        table("synced", synced_now=True).settled_time(bytes(16))
