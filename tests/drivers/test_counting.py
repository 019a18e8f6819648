"""Windows of frames, tallies of speeds, and the counter of passages, against the plain truth."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.counting import COUNTED, FrameWindow, Mean, PassageCounter, SpeedTally, lane_dims
from gateway.quantities import DIMS, registry
from gateway.reading import Dims, Flag, Measured

bounded = settings(max_examples=100, deadline=None, derandomize=True)
IN, OUT = lane_dims(direction="inbound"), lane_dims(direction="outbound")


def rank(values: list[float], share: float) -> float:
    """Return the percentile between the two nearest ranks."""
    place = share * (len(values) - 1)
    below = int(place)
    low, high = sorted(values)[below], sorted(values)[min(below + 1, len(values) - 1)]
    return low + (high - low) * (place - below)


@bounded
@given(st.lists(st.floats(0.0, 300.0), min_size=1, max_size=300))
def test_a_tally_knows_mean_and_p85(speeds: list[float]) -> None:
    tally = SpeedTally()
    for speed in speeds:
        tally.add(speed)
    figures = tally.take()
    assert figures is not None
    assert figures[0] == pytest.approx(sum(speeds) / len(speeds), abs=0.001)
    assert figures[1] == pytest.approx(rank(speeds, 0.85), abs=0.0511)
    assert tally.take() is None


def test_the_memory_of_a_tally_does_not_grow_with_the_number_of_speeds() -> None:
    tally = SpeedTally()
    for number in range(20_000):
        tally.add(number * 0.05)
    assert len(tally._steps) <= 5001
    assert tally.take() == pytest.approx((499.975, 500.0))


def test_a_mean_begins_anew() -> None:
    mean = Mean()
    mean.add(1.0)
    mean.add(2.0)
    assert mean.take() == 1.5
    assert mean.take() is None
    mean.add(4.0)
    assert mean.take() == 4.0


@pytest.mark.parametrize(
    ("window_s", "rate", "frames"), [(60, 10, 600), (1, 1, 1), (0.01, 10, 1), (2.5, 11.2, 28)]
)
def test_a_window_is_a_number_of_frames(window_s: float, rate: float, frames: int) -> None:
    window = FrameWindow(window_s, rate)
    for _ in range(3):
        assert [window.tick() for _ in range(frames)] == [False] * (frames - 1) + [True]
        window.restart()


def test_a_window_with_more_than_a_hundredth_in_doubt_is_flagged() -> None:
    window = FrameWindow(20, 10)
    window.doubt()  # where listening began, in the middle of a frame
    window.tick()
    window.doubt()
    window.doubt()
    assert window.flags == 0
    window.doubt()
    assert window.flags == int(Flag.ESTIMATED)
    window.restart()
    assert window.flags == 0


@bounded
@given(
    st.lists(st.lists(st.tuples(st.sampled_from([IN, OUT]), st.floats(0, 200)), max_size=9)),
    st.sampled_from(["people", "bicycles", "vehicles"]),
)
def test_both_reports_count_the_same(windows: list[list[tuple[Dims, float]]], counted: str) -> None:
    names = COUNTED[counted]  # type: ignore[index]
    summed = PassageCounter(counted, [IN, OUT], "windows")  # type: ignore[arg-type]
    single = PassageCounter(counted, [IN, OUT], "events")  # type: ignore[arg-type]
    for passages in windows:
        told: list[Measured] = []
        for place, kmh in passages:
            assert summed.add(place, kmh) == []
            told += single.add(place, kmh)
        told += single.close()
        for place in (IN, OUT):
            counts = [m.value for m in told if m.quantity == names.passages and m.dims == place]
            truth = sum(where == place for where, _ in passages)
            assert counts == ([1.0] * truth or [0.0])
        closed = summed.close()
        assert [m.value for m in closed if m.quantity == names.passages] == [
            float(sum(where == place for where, _ in passages)) for place in (IN, OUT)
        ]
        speeds = [m for m in closed if m.quantity == names.speed_avg]
        assert len(speeds) == len({where for where, _ in passages})
        for measured in told + closed:
            assert measured.quantity in registry()
            assert {key for key, _ in measured.dims} <= set(DIMS)
            assert list(measured.dims) == sorted(measured.dims)


def test_a_passage_without_a_speed_counts() -> None:
    counter = PassageCounter("vehicles", [IN], "windows")
    counter.add(IN, None)
    assert counter.close() == [Measured("traffic.count", 1.0, IN)]
    assert counter.close() == [Measured("traffic.count", 0.0, IN)]


def test_dimensions_without_a_name_are_left_out() -> None:
    assert lane_dims() == ()
    assert lane_dims(lane="2", direction="left") == (("direction", "left"), ("lane", "2"))
