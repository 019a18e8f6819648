"""The counting beam against traffic that is known to the frame."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.tfluna import NUMBERS, TABLE, TfLuna, TfLunaOptions, distance_of
from drivers.tfluna.beam import Beam
from drivers.tfluna.simulated import Blocking, SimulatedTfLuna, frame
from gateway.reading import Flag, Measured
from tests.drivers.driver_cases import chunks, faults, feed_all, readings
from tests.shared_material import shared

bounded = settings(max_examples=40, deadline=None, derandomize=True)
CLEAR, BLOCKED, WEAK = frame(600, 900, 20.0), frame(200, 900, 20.0), frame(0, 20, 20.0)
BAD = CLEAR[:-1] + bytes((CLEAR[-1] ^ 1,))


def driver(**options: Any) -> TfLuna:
    return TfLuna(TfLunaOptions.model_validate(options))


def told(data: bytes, **options: Any) -> dict[str, float]:
    """Return the figures of the one window in the data."""
    found = [o for o in driver(**options).feed(data) if isinstance(o, Measured)]
    assert len({m.quantity for m in found}) == len(found)
    return {m.quantity: m.value for m in found}


GAPS = st.integers(5, 400)
LENGTHS = st.integers(4, 200)


@bounded
@given(st.lists(st.tuples(GAPS, LENGTHS), max_size=12), st.integers(0, 2**32))
def test_the_figures_are_those_of_the_traffic(plan: list[tuple[int, int]], seed: int) -> None:
    blockings = []
    now = 10
    for gap, length in plan:
        blockings.append(Blocking(now + gap, now + gap + length, 250))
        now = blockings[-1].behind
    frames = now + 10
    device = SimulatedTfLuna(seed, blockings)
    data = b"".join(device.next_frame() for _ in range(frames))
    got = told(data, window_s=frames / 100 if frames > 100 else 1, speed_kmh=36)
    if frames < 100:
        assert got == {}
        return
    assert got["traffic.count"] == len(plan)
    truth = sum(length for _, length in plan)
    # The beam is known from the third frame on.
    if frames > 200:
        assert got["traffic.occupancy"] == pytest.approx(100 * truth / (frames - 2), abs=0.002)
        pairs = list(pairwise(blockings))
        if pairs:
            headways = [later.first - early.first for early, later in pairs]
            gaps = [later.first - early.behind for early, later in pairs]
            mean = sum(headways) / len(headways) / 100
            assert got["traffic.headway_avg"] == pytest.approx(mean, abs=0.001)
            # At 36 km/h, 10 m/s.
            mean = sum(gaps) / len(gaps) / 10
            assert got["traffic.gap_avg"] == pytest.approx(mean, abs=0.006)
        else:
            assert "traffic.headway_avg" not in got


def test_a_headway_reaches_over_windows() -> None:
    data = CLEAR * 50 + BLOCKED * 10 + CLEAR * 340 + BLOCKED * 10 + CLEAR * 190
    found = [o for o in driver(window_s=2).feed(data) if isinstance(o, Measured)]
    assert [m.value for m in found if m.quantity == "traffic.count"] == [1.0, 0.0, 1.0]
    assert [m.value for m in found if m.quantity == "traffic.headway_avg"] == [3.5]


def test_without_a_speed_there_is_no_gap_in_metres_and_with_one_it_is_an_estimate() -> None:
    data = (CLEAR * 50 + BLOCKED * 10) * 3 + CLEAR * 20
    assert "traffic.gap_avg" not in told(data, window_s=2)
    outcomes = driver(window_s=2, speed_kmh=36).feed(data)
    found = [o for o in outcomes if isinstance(o, Measured) and o.quantity == "traffic.gap_avg"]
    assert found == [Measured("traffic.gap_avg", 5.0, (), 0.0, int(Flag.ESTIMATED))]


def test_a_beam_that_is_blocked_at_the_start_or_unknown_counts_only_what_it_saw_coming() -> None:
    assert told(BLOCKED * 100 + CLEAR * 50 + BLOCKED * 50, window_s=2)["traffic.count"] == 1
    lost = CLEAR * 100 + WEAK * 60 + BLOCKED * 40
    assert told(lost, window_s=2)["traffic.count"] == 0
    windscreen = CLEAR * 100 + BLOCKED * 10 + WEAK * 40 + BLOCKED * 10 + CLEAR * 40
    assert told(windscreen, window_s=2)["traffic.count"] == 1


def test_a_distance_that_sways_about_the_threshold_is_one_vehicle() -> None:
    side = b"".join(frame(cm, 900, 20.0) * 5 for cm in (395, 410, 390, 419, 395))
    data = CLEAR * 50 + side + frame(421, 900, 20.0) * 25
    assert told(data, window_s=1)["traffic.count"] == 1
    assert told(data, window_s=1, hysteresis_cm=0)["traffic.count"] == 3


def test_after_an_unknown_state_no_headway_is_told() -> None:
    beam = Beam(threshold_cm=400, hysteresis_cm=20, min_frames=1, hold_frames=5)
    seen = [600, 200, 600, *[None] * 6, 600, 200, 600, 200]
    found = [passage for distance in seen if (passage := beam.sample(distance))]
    assert [passage.headway_frames for passage in found] == [None, None, 2]
    assert [passage.gap_frames for passage in found] == [None, None, 1]


def test_a_window_without_any_state_tells_no_count() -> None:
    assert told(WEAK * 100, window_s=1) == {"device.temperature": 20.0}
    assert told(WEAK * 100, window_s=1, no_echo="clear")["traffic.count"] == 0.0


def test_a_window_with_holes_flags_its_count_and_tells_no_times() -> None:
    data = CLEAR * 50 + BAD * 3 + BLOCKED * 10 + CLEAR * 40 + BLOCKED * 10 + CLEAR * 87
    found = [m for m in driver(window_s=2).feed(data) if isinstance(m, Measured)]
    assert [(m.quantity, m.value, m.flags) for m in found] == [
        ("traffic.count", 2.0, int(Flag.ESTIMATED)),
        ("device.temperature", 20.0, 0),
    ]


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_any_chunking_says_the_same(size: int) -> None:
    device = SimulatedTfLuna(4)
    data = b"".join(device.emit() for _ in range(20))
    assert feed_all(driver(window_s=3), chunks(data, size)) == driver(window_s=3).feed(data)


def test_the_settings_that_are_sent_and_answered() -> None:
    assert list(driver(rate_hz=250).on_open()) == [
        bytes.fromhex("5a05050165"),
        bytes.fromhex("5a0603fa005d"),
    ]
    device, reader = SimulatedTfLuna(1, []), driver(rate_hz=50, window_s=4)
    for command in reader.on_open():
        assert reader.feed(device.receive(command)) == []
    assert reader.feed(device.emit()) == []
    assert next(iter(reader.feed(device.emit()))) == Measured("traffic.count", 0.0)


def test_the_simulator_takes_commands_in_pieces_and_ignores_what_is_none() -> None:
    device = SimulatedTfLuna(1)
    command = bytes.fromhex("5a06030a006d")
    assert [device.receive(command[n : n + 1]) for n in range(6)] == [*[b""] * 5, command]
    assert device.receive(b"\x00\x5a\x01" + command[:-1] + b"\x00") == b""


def test_another_rate_than_asked_for_is_an_error_of_the_device() -> None:
    found = driver(rate_hz=50).feed(bytes.fromhex("5a06036400c7"))
    assert faults(found) == ["device_error"]


def test_the_older_model_has_no_temperature() -> None:
    body = CLEAR[:6] + b"\x07\x00"
    old = body + bytes((sum(body) & 0xFF,))
    assert told(old * 100, window_s=1)["traffic.count"] == 0.0
    assert "device.temperature" not in told(old * 100, window_s=1)


# -- captures: all of them were built from the manual --------------------------------------------


def captured() -> list[dict[str, Any]]:
    path = shared("captures", "benewake_tfluna.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    frames: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["frames"]
    return frames


def test_the_captured_frames() -> None:
    beyond = 0
    for each in captured():
        expected, data = each["expected"], bytes.fromhex(each["hex"])
        # The beam of one frame a window, known from the first one on.
        outcomes = driver(window_s=1, rate_hz=10, min_frames=1).feed((data + CLEAR) * 10)
        if "error" in expected:
            assert set(faults(outcomes)) == {expected["error"]}
        if "distance" not in expected:
            continue
        assert data.startswith(TABLE.start)
        distance, strength, _ = NUMBERS.unpack(data)
        assert distance == expected["distance"][0]
        assert (
            told(data * 10, window_s=1, rate_hz=10)["device.temperature"]
            == (expected["temperature"][0])
        )
        usable = distance_of(distance, strength, 100)
        assert (usable is None) == ("quality" in expected)
        if distance == 22873:
            beyond += 1
            assert set(faults(outcomes)) == {"range"}  # 228 m: no such lidar sees so far
        else:
            assert faults(outcomes) == []
    assert beyond == 1


def test_the_captured_stream() -> None:
    (stream,) = [each for each in captured() if each.get("stream")]
    reader = driver(window_s=1, rate_hz=10, min_frames=1)
    outcomes = reader.feed(bytes.fromhex(stream["hex"]) + CLEAR * 6)
    # The stray 59 makes a frame with a wrong sum, which counts as time: 2 + 1 + 6.
    assert faults(outcomes) == ["noise", "checksum"]
    assert readings(outcomes) == []
    assert readings(reader.feed(CLEAR))[0] == ("traffic.count", 0.0, ())
