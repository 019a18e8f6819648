"""The counting line against walkers whose way is known, and against recordings of a real radar."""

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from drivers.ld2450 import Ld2450, Ld2450Options, target_of
from drivers.ld2450.simulated import SimulatedLd2450, Walker, frame_of
from drivers.ld2450.tracking import MAX_TRACKS, Line, Target, Tracker
from gateway.reading import Fault, Flag, Measured
from tests.drivers.driver_cases import chunks, faults, feed_all, readings
from tests.shared_material import shared

bounded = settings(max_examples=40, deadline=None, derandomize=True)
WINDOW_S = 3600.0
EMPTY = frame_of([], 0, random.Random(0))


def driver(**options: Any) -> Ld2450:
    return Ld2450(Ld2450Options.model_validate({"report": "events"} | options))


def scene(walkers: list[Walker], frames: int, seed: int, rate: float = 10.0) -> bytes:
    source = random.Random(seed)
    return b"".join(frame_of(walkers, n, source, frames_per_s=rate) for n in range(frames))


def passages(data: bytes, **options: Any) -> list[tuple[str, float]]:
    """Return direction and speed of each passage."""
    outcomes = driver(**options).feed(data)
    assert faults(outcomes) == []
    counted = [m for m in outcomes if isinstance(m, Measured) and m.quantity == "people.count"]
    speeds = [m for m in outcomes if isinstance(m, Measured) and m.quantity == "people.speed_avg"]
    assert len(speeds) == len([m for m in counted if m.value])
    return [(dict(m.dims)["direction"], m.value) for m in speeds]


def one_after_the_other(
    plans: list[tuple[bool, float, float, float]],
) -> tuple[list[Walker], int]:
    """Return walkers over the line at y = 2 m: inwards, m/s, x in m, drift to the side in m/s."""
    walkers = []
    frame = 0
    for inwards, speed, x, drift in plans:
        y, speed_y = (5000.0, -1000 * speed) if inwards else (800.0, 1000 * speed)
        walkers.append(Walker(frame, 1000 * x * y / 5000, y, 1000 * drift, speed_y))
        frame += round(5300 / (1000 * speed) * 10) + 12
    return walkers, frame


PLAN = st.tuples(st.booleans(), st.floats(0.5, 6.0), st.floats(-1.0, 1.0), st.floats(-0.15, 0.15))


@bounded
@given(st.lists(PLAN, min_size=1, max_size=6), st.integers(0, 2**32))
def test_who_walks_one_after_the_other_is_counted_once_each(
    plans: list[tuple[bool, float, float, float]], seed: int
) -> None:
    walkers, frames = one_after_the_other(plans)
    got = passages(scene(walkers, frames, seed), window_s=WINDOW_S)
    assert [direction for direction, _ in got] == [
        "inbound" if inwards else "outbound" for inwards, *_ in plans
    ]
    for (_, kmh), walker in zip(got, walkers, strict=True):
        assert kmh == pytest.approx(walker.kmh, rel=0.08)


@bounded
@given(st.lists(PLAN, min_size=4, max_size=12), st.integers(0, 2**32))
def test_the_figures_of_a_window_are_those_of_the_scene(
    plans: list[tuple[bool, float, float, float]], seed: int
) -> None:
    walkers, frames = one_after_the_other(plans)
    options = Ld2450Options(counts="vehicles", window_s=frames / 10)
    outcomes = Ld2450(options).feed(scene(walkers, frames, seed))
    got = {(q, dict(dims)["direction"]): value for q, value, dims in readings(outcomes)}
    for direction, inwards in (("inbound", True), ("outbound", False)):
        truth = sorted(
            walker.kmh for walker, plan in zip(walkers, plans, strict=True) if plan[0] == inwards
        )
        assert got["traffic.count", direction] == len(truth)
        if truth:
            mean = sum(truth) / len(truth)
            assert got["traffic.speed_avg", direction] == pytest.approx(mean, rel=0.08)
            p85 = got["traffic.speed_p85", direction]
            place = 0.85 * (len(truth) - 1)
            above = truth[min(int(place) + 1, len(truth) - 1)]
            assert truth[int(place)] * 0.92 <= p85 <= above * 1.08
        else:
            assert ("traffic.speed_avg", direction) not in got


@pytest.mark.parametrize("seed", range(20))
def test_three_at_a_time_in_both_directions(seed: int) -> None:
    """Their numbers in the frame change all the time; two meet each other 1.2 m apart."""
    source = random.Random(seed)
    walkers = [
        Walker(0, -1200.0, 5000.0, 0.0, -source.uniform(800, 1800)),
        Walker(0, 0.0, 800.0, 0.0, source.uniform(800, 1800)),
        Walker(source.randrange(20), 1200.0, 4500.0, 0.0, -source.uniform(800, 1800)),
    ]
    got = passages(scene(walkers, 80, seed), window_s=WINDOW_S)
    assert sorted(direction for direction, _ in got) == ["inbound", "inbound", "outbound"]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rate", [10.0, 12.0])
def test_sideways_the_speed_comes_from_the_way(seed: int, rate: float) -> None:
    walker = Walker(0, -3000.0, 2500.0, 1500.0, 0.0)
    data = scene([walker], 60, seed, rate)
    line = [[0, 1000], [0, 4000]]
    got = passages(data, line=line, frames_per_s=rate, directions=["right", "left"])
    assert [direction for direction, _ in got] == ["right"]
    assert got[0][1] == pytest.approx(5.4, rel=0.08)


def test_towards_the_radar_a_wrong_frame_rate_does_not_change_a_speed() -> None:
    walker = Walker(0, 0.0, 5000.0, 0.0, -1500.0)
    got = passages(scene([walker], 60, 1, rate=12.0), frames_per_s=10.0)
    ((direction, kmh),) = got
    assert direction == "inbound"
    assert kmh == pytest.approx(5.4, rel=0.02)


@pytest.mark.parametrize("seed", range(10))
def test_lost_frames_lose_nobody(seed: int) -> None:
    source = random.Random(seed)
    walkers, frames = one_after_the_other([(True, 1.2, 0.2, 0.0), (False, 1.5, -0.3, 0.0)] * 3)
    data = scene(walkers, frames, seed)
    kept = [piece for piece in chunks(data, 30) if source.random() > 0.1]
    outcomes = driver(window_s=WINDOW_S).feed(b"".join(kept))
    counts = [dict(dims)["direction"] for q, _, dims in readings(outcomes) if q == "people.count"]
    assert counts == ["inbound", "outbound"] * 3


def test_a_turn_on_the_line_is_a_passage_each_way_and_standing_there_is_none() -> None:
    ways = [*range(2600, 1500, -120), *range(1500, 2700, 120)]
    there_and_back = [Target(0.0, float(y), 1200.0) for y in ways]
    tracker = Tracker(Line((-3000, 2000), (3000, 2000)), min_track_mm=500, frames_per_s=10)
    crossings = [c for target in there_and_back for c in tracker.frame([target])]
    assert [crossing.to_right for crossing in crossings] == [True, False]
    source = random.Random(3)
    standing = Tracker(Line((-3000, 2000), (3000, 2000)), min_track_mm=0, frames_per_s=10)
    for _ in range(500):
        sway = Target(source.gauss(0, 60), 2000 + source.uniform(-140, 140), 80.0)
        assert standing.frame([sway]) == []


def tracker() -> Tracker:
    return Tracker(Line((-3000, 2000), (3000, 2000)), min_track_mm=500, frames_per_s=10)


def test_sideways_what_is_left_of_a_radial_speed_is_not_scaled_up() -> None:
    """Swinging arms alone show the radar some speed, whichever way somebody walks."""
    upright = Tracker(Line((0, 500), (0, 4000)), min_track_mm=500, frames_per_s=10)
    walk = [Target(float(x), 3000.0, 80.0) for x in range(-700, 800, 150)]
    ((crossing,),) = [found for target in walk if (found := upright.frame([target]))]
    assert crossing.kmh == pytest.approx(5.4)


def test_one_who_vanishes_and_another_who_appears_are_two() -> None:
    line = tracker()
    walk = [Target(-1500.0, float(y), 1000.0) for y in range(3500, 2400, -100)]
    other = [Target(800.0, float(y), 1000.0) for y in range(1500, 400, -100)]
    assert [line.frame([target]) for target in walk + other] == [[]] * 22


@pytest.mark.parametrize(("unseen", "crossings"), [(0, 1), (4, 1), (8, 0)])
def test_who_is_not_seen_for_less_than_half_a_second_is_the_same(
    unseen: int, crossings: int
) -> None:
    line = tracker()
    ways = [*range(3500, 2200, -100), *([0] * unseen), *range(2200 - 100 * unseen, 500, -100)]
    frames = [[Target(0.0, float(y), 1000.0)] if y else [] for y in ways]
    assert sum(len(line.frame(targets)) for targets in frames) == crossings


def test_the_place_on_the_line_decides_the_lane() -> None:
    options: dict[str, Any] = {"lanes": ["a", "b", "c"], "window_s": WINDOW_S}
    for x, lane in ((-2000, "a"), (0, "b"), (2900, "c"), (3100, "")):
        walker = Walker(0, float(x), 5000.0, 0.0, -1500.0)
        frames = [frame_of([walker], n, random.Random(n), noise_mm=0.0) for n in range(35)]
        outcomes = driver(line=[[-3000, 3500], [3000, 3500]], **options).feed(b"".join(frames))
        dims = [dims for q, _, dims in readings(outcomes) if q == "people.count"]
        assert dims == ([(("direction", "inbound"), ("lane", lane))] if lane else [])


def test_the_tracker_stays_small_and_silent_in_chaos() -> None:
    source = random.Random(5)
    tracker = Tracker(Line((-3000, 2000), (3000, 2000)), min_track_mm=500, frames_per_s=10)
    for _ in range(2000):
        targets = [
            Target(source.uniform(-4000, 4000), source.uniform(0, 6000), source.uniform(0, 3000))
            for _ in range(3)
        ]
        for crossing in tracker.frame(targets):
            assert 0.0 <= crossing.along <= 1.0
            assert crossing.kmh is None or 0.0 <= crossing.kmh <= 100.0
        assert tracker.tracks <= MAX_TRACKS


@pytest.mark.parametrize("size", [1, 7, 29, 31, 500])
def test_any_chunking_of_a_busy_path_says_the_same(size: int) -> None:
    device = SimulatedLd2450(11)
    data = b"".join(device.emit() for _ in range(40))
    whole = Ld2450(Ld2450Options(window_s=5)).feed(data)
    assert feed_all(Ld2450(Ld2450Options(window_s=5)), chunks(data, size)) == whole


def test_a_window_with_many_holes_is_flagged() -> None:
    data = EMPTY * 5 + (EMPTY[:-1] + b"\x00") * 3 + EMPTY * 5
    outcomes = Ld2450(Ld2450Options(window_s=1)).feed(data)
    assert faults(outcomes) == ["noise"]
    assert {m.flags for m in outcomes if isinstance(m, Measured)} == {int(Flag.ESTIMATED)}
    clean = Ld2450(Ld2450Options(window_s=1)).feed(b"\x00" * 20 + EMPTY * 10)
    assert {m.flags for m in clean if isinstance(m, Measured)} == {0}


@pytest.mark.parametrize(
    "numbers",
    [
        (0x8000 | 8001, 0x8000 | 10, 0x8000),
        (8001, 0x8000 | 10, 0x8000),
        (0, 100, 0),
        (0, 0x8000 | 8001, 0),
        (0x8001, 0x8001, 2001),
    ],
)
def test_a_target_where_none_can_be_is_a_fault(numbers: tuple[int, int, int]) -> None:
    found = target_of(*numbers)
    assert isinstance(found, Fault)
    assert found.kind == "range"


@pytest.mark.parametrize(
    "options",
    [
        {"line": [[0, 0], [0, 0]]},
        {"directions": ["in", "in"]},
        {"lanes": ["1", "1"]},
        {"lanes": ["a b"]},
        {"line": [[0, 0], [9000, 0]]},
        {"counts": "cats"},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Ld2450Options.model_validate(options)


# -- captures -----------------------------------------------------------------------------------


def capture(name: str) -> Any:
    path = shared("captures", name)
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    return path.read_bytes()


def test_the_damaged_captured_frames() -> None:
    for frame in json.loads(capture("hlk_ld2450.json"))["frames"]:
        if "frames" not in frame["expected"]:
            continue
        count = frame["expected"]["frames"]
        for window, told in ((count, 2), (count + 1, 0)):
            options = Ld2450Options(window_s=window, frames_per_s=1)
            outcomes = Ld2450(options).feed(bytes.fromhex(frame["hex"]))
            assert len(readings(outcomes)) == told
            assert set(faults(outcomes)) == {"noise"}


@pytest.mark.parametrize(
    ("name", "frames", "counts"),
    [
        # Somebody at a desk: the one way that leads over y = 1.2 m goes outwards.
        ("raw_ld2450_office-desk-30s.bin", 337, {"inbound": 0.0, "outbound": 1.0}),
        ("raw_ld2450_office-empty-15s.bin", 180, {"inbound": 0.0, "outbound": 0.0}),
    ],
)
def test_recordings(name: str, frames: int, counts: dict[str, float]) -> None:
    options = Ld2450Options(
        window_s=frames, frames_per_s=1, line=((-3000, 1200), (3000, 1200)), counts="vehicles"
    )
    outcomes = Ld2450(options).feed(capture(name))
    assert faults(outcomes) == []
    assert counts == {
        dict(dims)["direction"]: value
        for quantity, value, dims in readings(outcomes)
        if quantity == "traffic.count"
    }
