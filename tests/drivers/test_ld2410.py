"""Presence as a share of time, against simulated and captured reports."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ld2410 import Ld2410, Ld2410Options
from drivers.ld2410.simulated import SimulatedLd2410, report
from gateway.reading import Flag, Measured
from tests.drivers.driver_cases import chunks, faults, feed_all, readings

STATES = {"none": 0, "moving": 1, "static": 2, "moving+static": 3}


def shares(data: bytes, **options: Any) -> list[float]:
    outcomes = Ld2410(Ld2410Options.model_validate(options)).feed(data)
    assert faults(outcomes) == []
    return [value for _, value, _ in readings(outcomes)]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=50))
def test_the_share_is_that_of_the_reports(states: list[int]) -> None:
    data = b"".join(report(state, 100, 200) for state in states)
    length = len(states)
    somebody = sum(state > 0 for state in states)
    moving = sum(state in (1, 3) for state in states)
    window: dict[str, Any] = {"window_s": 1, "frames_per_s": length}
    assert shares(data, **window) == [round(100 * somebody / length, 3)]
    assert shares(data, present="moving", **window) == [round(100 * moving / length, 3)]
    assert shares(data * 3, **window) == [round(100 * somebody / length, 3)] * 3


@pytest.mark.parametrize("size", [1, 7, 22, 24, 1000])
def test_any_chunking_says_the_same(size: int) -> None:
    device = SimulatedLd2410(2)
    data = b"".join(device.emit() for _ in range(30))
    whole = Ld2410(Ld2410Options()).feed(data)
    assert len(readings(whole)) == 6
    assert feed_all(Ld2410(Ld2410Options()), chunks(data, size)) == whole


def test_a_window_with_holes_is_flagged_and_one_without_a_state_says_nothing() -> None:
    driver = Ld2410(Ld2410Options(window_s=1))
    outcomes = list(driver.feed(report(1, 9, 9) + report(7, 9, 9) + report(0, 9, 9) * 8))
    assert faults(outcomes) == ["unknown"]
    assert outcomes[-1] == Measured("traffic.occupancy", 11.111, (), 0.0, int(Flag.ESTIMATED))
    assert readings(driver.feed(report(7, 9, 9) * 10)) == []


def test_end_bytes_inside_of_a_report_are_data() -> None:
    data = report(1, 0xF7F8, 0xF5F6)
    assert shares(data, window_s=1, frames_per_s=1) == [100.0]


@pytest.mark.parametrize("seed", range(3))
def test_noise_between_reports_costs_none(seed: int) -> None:
    source = random.Random(seed)
    data = b"".join(report(1, 9, 9) + source.randbytes(source.randrange(9)) for _ in range(100))
    outcomes = Ld2410(Ld2410Options(window_s=10)).feed(data + report(0, 9, 9))
    assert [value for _, value, _ in readings(outcomes)] == [100.0]
    assert set(faults(outcomes)) == {"noise"}
