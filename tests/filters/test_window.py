import math
import random
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.filters import Chain, Environment, Passed, build_chain, parse_options
from gateway.filters.window import STEP_NS
from gateway.reading import Flag
from tests.filters.readings import EXACT_VALUES, SECOND_NS, readings

MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
YEAR_NS = 365 * 24 * HOUR_NS
CUT = Flag.ESTIMATED | Flag.RESTART
BOOT_WALL_NS = 1_790_000_000 * SECOND_NS + 123_456_789
"""Wall time at boot, on no grid."""

Figures = dict[str, tuple[float, int]]


class HandClock:
    """Wall time moved by hand."""

    def __init__(self, offset_ns: int = BOOT_WALL_NS, *, synced: bool = True) -> None:
        self.offset_ns = offset_ns
        self.is_synced = synced
        self.environment = Environment(lambda time_ns: time_ns + self.offset_ns, self._synced)

    def _synced(self) -> bool:
        return self.is_synced


def chain_of(options: Any, clock: HandClock, quantity: str = "air.pm25", **behind: Any) -> Chain:
    return build_chain({"window": options, **behind}, quantity, environment=clock.environment)()


def taken(chain: Chain) -> dict[int, Figures]:
    """Return and clear what came out: end of the window -> figure -> value, flags."""
    found: dict[int, Figures] = defaultdict(dict)
    for index, time_ns, value, flags in chain.pending:
        output = chain.outputs[index]
        assert output.aggregation not in found[time_ns], "a figure came twice"
        found[time_ns][output.aggregation] = (value, flags)
    chain.pending.clear()
    return found


def by_window(fed: list[Passed], every_ns: int, offset_ns: int) -> dict[int, list[Passed]]:
    """Say in which window each reading counts: in its own, or if that is over in the open one."""
    found: dict[int, list[Passed]] = defaultdict(list)
    newest = -(1 << 62)
    for reading in fed:
        newest = max(newest, (reading[0] + offset_ns) // every_ns)
        found[newest].append(reading)
    return found


@given(fed=readings(EXACT_VALUES), every_s=st.sampled_from([1, 60, 900]))
def test_the_figures_are_what_numpy_says_of_the_readings_of_each_window(
    fed: list[Passed], every_s: int
) -> None:
    every_ns = every_s * SECOND_NS
    clock = HandClock()
    give = ["mean", "min", "max", "count", "last", "p50", "p85", "p95"]
    chain = chain_of({"every": f"{every_s} s", "give": give}, clock)
    for reading in fed:
        assert chain.apply(*reading) is None
        assert chain.dropped_by == ""
    chain.tick(1 << 60)
    groups = by_window(fed, every_ns, clock.offset_ns)
    found = taken(chain)
    assert sorted(found) == [(number + 1) * every_ns - clock.offset_ns for number in sorted(groups)]
    for number, group in groups.items():
        figures = found[(number + 1) * every_ns - clock.offset_ns]
        values = np.array([value for _, value, _ in group])
        newest = [each for each in group if each[0] == max(each[0] for each in group)][-1]
        expected = {
            "mean": float(np.mean(values)),
            "min": float(values.min()),
            "max": float(values.max()),
            "count": float(len(values)),
            "last": newest[1],
            "p50": float(np.percentile(values, 50)),
            "p85": float(np.percentile(values, 85)),
            "p95": float(np.percentile(values, 95)),
        }
        assert {name: value for name, (value, _) in figures.items()} == pytest.approx(expected)
        flags = CUT if number == min(groups) else 0
        late = any((time_ns + clock.offset_ns) // every_ns < number for time_ns, _, _ in group)
        flags |= Flag.ESTIMATED if late else 0
        for _, _, flag in group:
            flags |= flag
        assert {got for _, got in figures.values()} == {flags}


@given(fed=readings(EXACT_VALUES), hold_s=st.sampled_from([5, 60, 3600]))
def test_the_time_weighted_mean_is_the_integral_of_what_held(
    fed: list[Passed], hold_s: int
) -> None:
    clock = HandClock()
    options = {"every": "1 min", "weight": "time", "hold": f"{hold_s} s"}
    chain = chain_of(options, clock)
    for reading in fed:
        chain.apply(*reading)
    chain.tick(1 << 60)
    steps: list[tuple[int, float]] = []
    for time_ns, value, _ in fed:  # a late reading does not hold
        if not steps or time_ns >= steps[-1][0]:
            steps.append((time_ns, value))
    groups = by_window(fed, MINUTE_NS, clock.offset_ns)
    for end_ns, figures in taken(chain).items():
        spans = []
        for number, (start_ns, value) in enumerate(steps):
            until_ns = start_ns + hold_s * SECOND_NS
            if number + 1 < len(steps):
                until_ns = min(until_ns, steps[number + 1][0])
            length = min(until_ns, end_ns) - max(start_ns, end_ns - MINUTE_NS)
            if length > 0:
                spans.append((length / SECOND_NS, value))
        if spans:
            expected = float(np.average([v for _, v in spans], weights=[s for s, _ in spans]))
        else:  # only late readings, and nothing holds any more
            group = groups[(end_ns + clock.offset_ns) // MINUTE_NS - 1]
            expected = float(np.mean([value for _, value, _ in group]))
        assert figures["mean"][0] == pytest.approx(expected, abs=1e-6)


def test_thinned_readings_need_the_weight_of_time() -> None:
    """50 s at 10, then 10 s at 70, sent on change only."""
    means = {}
    for weight in ("readings", "time"):
        chain = chain_of({"every": "1 min", "weight": weight}, HandClock(0))
        for second, value in [(0, 10.0), (50, 70.0), (60, 0.0)]:
            chain.apply(second * SECOND_NS, value, 0)
        means[weight] = taken(chain)[MINUTE_NS]["mean"][0]
    assert means == {"readings": 40.0, "time": pytest.approx(20.0)}


def test_what_is_added_up_is_summed_and_counters_keep_the_last() -> None:
    for quantity, figure, expected in [
        ("traffic.count", "sum", 6.0),
        ("energy.active_import", "last", 3.0),
        ("parking.occupied", "mean", 2.0),
        ("air.pm25", "mean", 2.0),
    ]:
        chain = chain_of("1 min", HandClock(0), quantity)
        for second, value in [(1, 1.0), (2, 2.0), (3, 3.0), (61, 9.0)]:
            chain.apply(second * SECOND_NS, value, 0)
        assert {name: v for name, (v, _) in taken(chain)[MINUTE_NS].items()} == {figure: expected}


def test_levels_and_directions_have_means_of_their_own() -> None:
    for quantity, values, expected in [
        ("noise.laeq", [50.0, 60.0], 10 * math.log10((1e5 + 1e6) / 2)),
        ("wind.direction", [350.0, 30.0], 10.0),
    ]:
        chain = chain_of("1 min", HandClock(0), quantity)
        for second, value in enumerate(values):
            chain.apply(second * SECOND_NS, value, 0)
        chain.tick(HOUR_NS)
        assert taken(chain)[MINUTE_NS]["mean"][0] == pytest.approx(expected)


def test_opposite_directions_have_no_mean() -> None:
    chain = chain_of({"every": "1 min", "give": ["mean", "count"]}, HandClock(0), "wind.direction")
    chain.apply(0, 0.0, 0)
    chain.apply(1, 180.0, 0)
    chain.tick(HOUR_NS)
    assert set(taken(chain)[MINUTE_NS]) == {"count"}


# -- clocks --------------------------------------------------------------------------------------

STEPS = {
    "an hour behind": HOUR_NS,
    "from 1970": 56 * YEAR_NS,
    "back an hour": -HOUR_NS,
    "a year on": YEAR_NS,
    "back 70 s": -70 * SECOND_NS,
    "on 40 s": 40 * SECOND_NS,
    "slewed": STEP_NS // 2,
    "slewed back": -STEP_NS // 2,
}


def session(
    rng: random.Random, clock: HandClock, step_at_ns: int, step_ns: int
) -> tuple[int, dict[int, Figures]]:
    """Feed readings and ticks over a step; return how many readings, and what came out."""
    chain = chain_of({"every": "1 min", "give": ["mean", "count"]}, clock)
    now_ns = fed = 0
    out: dict[int, Figures] = {}
    for _ in range(3000):
        before_ns, now_ns = now_ns, now_ns + rng.randrange(2 * SECOND_NS)
        if before_ns < step_at_ns <= now_ns:
            clock.offset_ns += step_ns
            clock.is_synced = True
        if rng.random() < 0.8:
            chain.apply(now_ns, 1.0, 0)
            fed += 1
        if rng.random() < 0.6:
            chain.tick(now_ns)
        for end_ns, figures in taken(chain).items():
            assert not out or end_ns > max(out), "time went back"
            out[end_ns] = figures
    chain.close(now_ns)
    return fed, out | taken(chain)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("step_ns", STEPS.values(), ids=STEPS)
def test_a_clock_that_is_set_loses_no_reading_and_counts_none_twice(
    step_ns: int, seed: int
) -> None:
    clock = HandClock(50 * YEAR_NS + 17, synced=False)
    rng = random.Random(seed)
    step_at_ns = 10 * MINUTE_NS + rng.randrange(MINUTE_NS)
    fed, out = session(rng, clock, step_at_ns, step_ns)
    assert sum(figures["count"][0] for figures in out.values()) == fed
    ends = sorted(out)
    stepped = abs(step_ns) > STEP_NS
    for end_ns in ends[:-1]:
        flags = out[end_ns]["count"][1]
        on_grid = (end_ns + clock.offset_ns) % MINUTE_NS in (0, -step_ns % MINUTE_NS)
        if end_ns < step_at_ns - 2 * SECOND_NS:
            assert flags & Flag.CLOCK_UNSYNCED
        elif end_ns > step_at_ns + 2 * MINUTE_NS:
            assert flags == 0
            assert (end_ns + clock.offset_ns) % MINUTE_NS == 0
        elif not on_grid:
            assert flags & Flag.ESTIMATED
    if stepped:  # what the step cut off, and the rest of the window in which it happened
        assert sum(bool(out[end]["count"][1] & Flag.ESTIMATED) for end in ends[1:-1]) in (1, 2)
    else:
        assert not any(out[end]["count"][1] & Flag.ESTIMATED for end in ends[1:-1])


def test_the_window_in_which_the_clock_becomes_right_ends_there_with_what_it_has() -> None:
    clock = HandClock(0, synced=False)
    chain = chain_of({"every": "15 min", "give": ["mean", "count"]}, clock)
    for minute in range(20):  # a reading a minute: 15 in the first window, 5 in the second
        chain.apply(minute * MINUTE_NS, float(minute), 0)
    first = taken(chain)
    unsynced = Flag.CLOCK_UNSYNCED
    assert first == {
        15 * MINUTE_NS: {"mean": (7.0, unsynced | CUT), "count": (15.0, unsynced | CUT)}
    }
    clock.offset_ns, clock.is_synced = HOUR_NS + 2 * MINUTE_NS, True
    now_ns = 19 * MINUTE_NS + SECOND_NS
    chain.tick(now_ns)
    cut_off = Flag.CLOCK_UNSYNCED | Flag.ESTIMATED
    assert taken(chain) == {now_ns: {"mean": (17.0, cut_off), "count": (5.0, cut_off)}}
    for minute in range(20, 45):
        chain.apply(minute * MINUTE_NS, float(minute), 0)
    second = taken(chain)
    # Wall time 1:30 is boot time 28 min: eight readings, and the window missed its first part.
    assert list(second) == [28 * MINUTE_NS, 43 * MINUTE_NS]
    assert second[28 * MINUTE_NS]["count"] == (8.0, Flag.ESTIMATED)
    assert second[43 * MINUTE_NS]["count"] == (15.0, 0)


def test_a_clock_that_was_right_all_along_cuts_nothing_when_it_says_so() -> None:
    clock = HandClock(0, synced=False)
    chain = chain_of({"every": "1 min", "give": ["count"]}, clock)
    chain.apply(0, 1.0, 0)
    clock.is_synced = True
    chain.tick(SECOND_NS)
    assert chain.pending == []
    chain.apply(MINUTE_NS, 1.0, 0)
    assert taken(chain) == {MINUTE_NS: {"count": (1.0, CUT)}}


def test_the_end_is_on_the_grid_of_the_newest_offset() -> None:
    clock = HandClock(0)
    chain = chain_of("1 min", clock)
    chain.apply(0, 1.0, 0)
    clock.offset_ns = 3_000_000
    chain.apply(MINUTE_NS, 1.0, 0)
    assert [end + clock.offset_ns for end in taken(chain)] == [MINUTE_NS]


def test_silence_stays_silence_and_suspend_is_silence() -> None:
    chain = chain_of({"every": "1 min", "settle": "5 s"}, HandClock(0))
    chain.apply(0, 1.0, 0)
    for second in range(1, 600):
        chain.tick(second * SECOND_NS)
        if second == 64:
            assert chain.pending == []
    assert list(taken(chain)) == [MINUTE_NS]
    chain.apply(8 * HOUR_NS, 2.0, 0)  # CLOCK_BOOTTIME went on while it slept
    chain.tick(9 * HOUR_NS)
    assert taken(chain) == {8 * HOUR_NS + MINUTE_NS: {"mean": (2.0, 0)}}


def test_a_late_reading_counts_in_the_next_window_and_that_says_so() -> None:
    chain = chain_of({"every": "1 min", "give": ["count"]}, HandClock(0))
    for second in (0, 61, 121):
        chain.apply(second * SECOND_NS, 1.0, 0)
    chain.apply(100 * SECOND_NS, 1.0, 0)
    chain.tick(HOUR_NS)
    chain.apply(150 * SECOND_NS, 1.0, 0)  # of a window that went out before the next one began
    chain.tick(2 * HOUR_NS)
    found = {end // MINUTE_NS: figures["count"] for end, figures in taken(chain).items()}
    late = Flag.ESTIMATED
    assert found == {1: (1.0, CUT), 2: (1.0, 0), 3: (2.0, late), 4: (1.0, late)}


# -- a restart -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_restart_in_the_middle_makes_two_windows_that_add_up(seed: int) -> None:
    rng = random.Random(seed)
    clock = HandClock()
    options = {"every": "15 min", "give": ["sum", "count"]}
    total = sum_out = count_out = 0.0
    now_ns = 0
    flags = []
    for _ in range(4):
        chain = chain_of(options, clock, "traffic.count")
        for _ in range(200):
            now_ns += rng.randrange(20 * SECOND_NS)
            chain.apply(now_ns, 2.0, 0)
            total += 2.0
        chain.close(now_ns)
        for figures in taken(chain).values():
            sum_out += figures["sum"][0]
            count_out += figures["count"][0]
            flags.append(figures["sum"][1])
    assert (sum_out, count_out) == (total, 800.0)
    assert sum(flag == CUT for flag in flags) >= 7  # the first and the last of each run


# -- what goes in and what is behind -------------------------------------------------------------


def test_what_is_left_out_does_not_count_and_the_count_says_so() -> None:
    for leave_out, expected in [("nothing", 3.0), ("bad", 2.0), ("doubtful", 1.0)]:
        options = {"every": "1 min", "give": ["count", "mean"], "leave_out": leave_out}
        chain = chain_of(options, HandClock(0))
        for second, flags in enumerate([0, Flag.SPIKE, Flag.RANGE]):
            chain.apply(second * SECOND_NS, 1.0, flags)
        chain.apply(61 * SECOND_NS, 1.0, Flag.RANGE)
        chain.tick(HOUR_NS)
        found = taken(chain)
        assert found[MINUTE_NS]["count"][0] == expected
        if leave_out != "nothing":
            assert {name: v for name, (v, _) in found[2 * MINUTE_NS].items()} == {"count": 0.0}


def test_the_filters_behind_are_for_each_figure() -> None:
    options = {"every": "1 min", "give": ["mean", "max", "count"]}
    chain = chain_of(options, HandClock(0), range={"max": 50})
    for second, value in [(0, 10.0), (1, 80.0), (60, 0.0)]:
        chain.apply(second * SECOND_NS, value, 0)
    flags = {name: flag & Flag.RANGE for name, (_, flag) in taken(chain)[MINUTE_NS].items()}
    assert flags == {"mean": 0, "max": Flag.RANGE, "count": 0}


def test_small_sums_and_how_many_readings_made_them_are_both_hidden() -> None:
    options = {"every": "1 min", "give": ["sum", "count"]}
    chain = chain_of(options, HandClock(0), "people.count", suppress_small=5)
    for second in (1, 2, 3, 61, 62, 63, 64, 65, 121):
        chain.apply(second * SECOND_NS, 1.0, 0)
    found = taken(chain)
    hidden = CUT | Flag.SUPPRESSED
    assert found[MINUTE_NS] == {"sum": (0.0, hidden), "count": (0.0, hidden)}
    assert found[2 * MINUTE_NS] == {"sum": (5.0, 0), "count": (5.0, 0)}


def test_the_readings_can_be_kept_beside_the_figures() -> None:
    chain = chain_of({"every": "1 min", "keep_raw": True}, HandClock(0), deadband=1)
    assert chain.output is not None
    assert [chain.apply(n * SECOND_NS, 5.0, 0) for n in range(2)] == [(0, 5.0, 0), None]
    assert chain.dropped_by == "deadband"
    chain.tick(HOUR_NS)
    assert taken(chain) == {MINUTE_NS: {"mean": (5.0, CUT)}}


def test_without_them_the_chain_has_no_main_series() -> None:
    chain = chain_of("1 min", HandClock(0))
    assert chain.output is None
    assert [(each.aggregation, each.calibration) for each in chain.outputs] == [
        ("mean", {"window_s": "60"})
    ]


@pytest.mark.parametrize(
    "raw",
    [
        60,
        "7 min",
        "2 d",
        "500 ms",
        "1.5 s",
        {},
        {"every": "1 min", "give": ["mean", "mean"]},
        {"every": "1 min", "give": ["median"]},
        {"every": "1 min", "weight": "none"},
    ],
)
def test_what_makes_no_sense_is_refused(raw: Any) -> None:
    with pytest.raises(ValidationError):
        parse_options("window", raw)
