"""Random and mutated bytes: no decoder raises, grows or says what its device cannot produce."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.ops243 import HIGHEST_M_S
from gateway.driver import Advert, Beacon, Outcome
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.driver_cases import DRIVERS, Case, all_cases, make

MAX_BUFFERED_BYTES = 8192
LIMITS: dict[str, tuple[float, float]] = {
    "air.pm25": (0.0, 999.9),
    "air.pm10": (0.0, 999.9),
    "traffic.speed_avg": (0.0, HIGHEST_M_S[20] * 3.6),
    "air.temperature": (-40.0, 85.0),
    "air.humidity": (0.0, 100.0),
    "air.pressure": (300.0, 1200.0),
    "device.voltage": (1.6, 3.65),
    "device.rssi": (-127.0, 20.0),
    "power.active": (-1e7, 1e7),
    "power.reactive": (-1e7, 1e7),
    "electric.voltage": (0.0, 1000.0),
    "electric.current": (0.0, 10_000.0),
    "electric.frequency": (40.0, 70.0),
}
COUNTER = (0.0, 1e9)
STREAM_CASES = all_cases(beacons=False)
BEACON_CASES = all_cases(beacons=True)
STREAMS = [name for name in DRIVERS if not isinstance(make(name), Beacon)]
TEXT = st.text(alphabet='/!\r\n0123456789.:-*()[]{}",kWmspeed ', max_size=300).map(str.encode)

bounded = settings(max_examples=60, deadline=None, derandomize=True)


def check(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            low, high = LIMITS.get(outcome.quantity, COUNTER)
            assert low <= outcome.value <= high + 1e-9, outcome
        elif isinstance(outcome, Fault):
            assert outcome.kind in FAULT_KINDS
            assert len(outcome.sample) <= 24


def feed(driver: Any, *pieces: bytes) -> None:
    for piece in pieces:
        check(list(driver.feed(piece)))
        assert driver.buffered_bytes <= MAX_BUFFERED_BYTES


@pytest.mark.parametrize("name", STREAMS)
@bounded
@given(pieces=st.lists(st.binary(max_size=300) | TEXT, max_size=20))
def test_random_bytes(name: str, pieces: list[bytes]) -> None:
    feed(make(name), *pieces)


@pytest.mark.parametrize("case", STREAM_CASES, ids=str)
@bounded
@given(data=st.data())
def test_mutated_frames(case: Case, data: st.DataObject) -> None:
    """Change, insert and remove a few bytes, then cut anywhere."""
    mutated = bytearray(case.data)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(mutated) - 1))
        how = data.draw(st.sampled_from(["change", "insert", "remove"]))
        byte = data.draw(st.integers(0, 255))
        if how == "change":
            mutated[place] = byte
        elif how == "insert":
            mutated.insert(place, byte)
        elif len(mutated) > 1:
            del mutated[place]
    cut = data.draw(st.integers(0, len(mutated)))
    feed(make(case.driver, case.options), bytes(mutated[:cut]), bytes(mutated[cut:]), case.data)


@pytest.mark.parametrize("case", BEACON_CASES, ids=str)
@bounded
@given(data=st.binary(max_size=30), seed=st.integers(0, 2**32))
def test_random_and_mutated_adverts(case: Case, data: bytes, seed: int) -> None:
    source = random.Random(seed)
    driver = make(case.driver, case.options)
    for advert in case.adverts:
        for company, payload in advert.manufacturer_data.items():
            mutated = bytearray(payload)
            for _ in range(source.randrange(1, 4)):
                mutated[source.randrange(len(mutated))] = source.randrange(256)
            for changed in (bytes(mutated), payload[:1] + data, data):
                heard = Advert(advert.address, advert.rssi, manufacturer_data={company: changed})
                check(list(driver.decode(heard)))


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_long_run_of_noise_does_not_fill_memory(name: str, seed: int) -> None:
    source = random.Random(seed)
    driver = make(name)
    reports = 0
    for _ in range(200):
        outcomes = list(driver.feed(source.randbytes(1000)))
        check(outcomes)
        reports += len(outcomes)
        assert driver.buffered_bytes <= MAX_BUFFERED_BYTES
    assert reports < 200 * 100
