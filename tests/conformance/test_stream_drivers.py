"""What every driver of a device that talks by itself is held to, by its test cases."""

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from gateway.driver import Outcome, Stream
from gateway.reading import Flag, Measured
from tests.conformance.honesty import assert_honest, simulated
from tests.drivers.driver_cases import (
    STREAMS,
    Case,
    all_cases,
    chunks,
    faults,
    feed_all,
    info_of,
    make,
    readings,
    restarts,
)

CASES = all_cases(beacons=False)
CHUNK_SIZES = (1, 7, 64, 1000)
NOISE_SEEDS = range(3)
NOISE_BYTES = 200
MAX_BUFFERED_BYTES = 8192
"""Two of the longest telegrams that any of these devices sends."""
SIMULATED_STEPS = 300
SIMULATED_SECONDS = 400
"""Long enough for several windows of those that count."""
PLACES = 700
"""A long test case is damaged or cut off in about so many places, a shorter one everywhere."""
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_driver = pytest.mark.parametrize("name", STREAMS)


def run(case: Case, *pieces: bytes) -> list[Outcome]:
    return feed_all(make(case.driver, case.options), pieces)


def places(case: Case) -> Iterator[int]:
    """Return where to damage a case: everywhere, or in a long one here and there, by its seed."""
    step = 1 + len(case.data) // PLACES
    source = random.Random(str(case))
    return (
        min(start + source.randrange(step), len(case.data) - 1)
        for start in range(0, len(case.data), step)
    )


@each_case
def test_whole(case: Case) -> None:
    driver = make(case.driver, case.options)
    assert isinstance(driver, Stream)
    outcomes = feed_all(driver, [case.data])
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert restarts(outcomes) == case.restarts
    assert_honest(info_of(case.driver, case.options), outcomes)


@each_case
def test_any_chunking_says_the_same(case: Case) -> None:
    whole = run(case, case.data)
    for size in CHUNK_SIZES:
        assert run(case, *chunks(case.data, size)) == whole, size
    source = random.Random(str(case))
    cuts = sorted(source.sample(range(len(case.data)), 10))
    pieces = [case.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(case.data)], strict=True)]
    assert run(case, *pieces) == whole


@each_case
def test_an_empty_piece_says_nothing(case: Case) -> None:
    driver = make(case.driver, case.options)
    assert list(driver.feed(b"")) == []
    assert feed_all(driver, (case.data, b"")) == run(case, case.data)


@each_case
def test_glued_together(case: Case) -> None:
    apart = run(case, case.data, case.data, case.data)
    assert run(case, case.data * 3) == apart
    assert len(readings(apart)) >= len(case.readings)


@each_case
def test_noise_before_invents_nothing_and_costs_at_most_a_line(case: Case) -> None:
    undisturbed = readings(run(case, case.data, case.data))
    for seed in NOISE_SEEDS:
        noise = random.Random(seed).randbytes(NOISE_BYTES)
        got = readings(run(case, noise + case.data + case.data))
        if case.protocol == "lines":
            second_half = len(undisturbed) - len(readings(run(case, case.data)))
            assert len(got) >= second_half
            assert not Counter(got) - Counter(undisturbed)
            assert got[len(got) - second_half :] == undisturbed[len(undisturbed) - second_half :]
        else:
            assert got == undisturbed


@each_case
def test_one_lost_byte_invents_nothing(case: Case) -> None:
    info = info_of(case.driver, case.options)
    whole = run(case, case.data)
    for lost in places(case):
        outcomes = run(case, case.data[:lost] + case.data[lost + 1 :])
        assert_honest(info, outcomes)
        invented = Counter(readings(outcomes)) - Counter(case.readings)
        if case.protocol == "counts":
            assert_no_more_is_counted(whole, outcomes)
        elif case.protocol == "lines":
            # Text without a checksum: a lost digit makes another number, but of one line only.
            assert invented.total() <= 1, f"byte {lost} lost"
        else:
            assert not invented, f"byte {lost} lost"


@each_case
def test_one_wrong_bit_invents_nothing(case: Case) -> None:
    """Any check value sees it; where there is none a digit may become another one.

    In a case with a wrong check value the bit may be the one that was wrong.
    """
    info = info_of(case.driver, case.options)
    checked = case.protocol == "frames" and not case.options.get("unchecked")
    checked = checked and "checksum" not in case.faults
    source = random.Random(str(case))
    for place in places(case):
        damaged = bytearray(case.data)
        damaged[place] ^= 1 << source.randrange(8)
        outcomes = run(case, bytes(damaged))
        assert_honest(info, outcomes)
        if checked:
            assert not Counter(readings(outcomes)) - Counter(case.readings), f"byte {place}"


def assert_no_more_is_counted(whole: list[Outcome], outcomes: list[Outcome]) -> None:
    """No passage more, and no series that was not there before.

    A frame less makes another share or mean, and moves what follows to another window.
    """
    assert {reading[::2] for reading in readings(outcomes)} <= {r[::2] for r in readings(whole)}
    counted = {quantity for quantity, _, _ in readings(whole) if quantity.endswith(".count")}
    for quantity in counted:
        passed = [
            sum(o.value for o in told if isinstance(o, Measured) and o.quantity == quantity)
            for told in (outcomes, whole)
        ]
        assert passed[0] <= passed[1]


@each_case
def test_truncated(case: Case) -> None:
    whole = run(case, case.data)
    for end in places(case):
        outcomes = run(case, case.data[:end])
        assert outcomes == whole[: len(outcomes)], f"cut at byte {end}"


@each_case
def test_the_buffer_stays_small(case: Case) -> None:
    driver = make(case.driver, case.options)
    for start in range(0, len(case.data), 50):
        for piece in chunks(case.data[start:], 500):
            feed_all(driver, [piece])
            assert driver.buffered_bytes <= MAX_BUFFERED_BYTES


# -- simulators ---------------------------------------------------------------------------------


def simulated_bytes(name: str, seed: int) -> list[bytes]:
    """Return what a simulated device sends, after the driver has set it up."""
    device = simulated(name, seed)
    sent = [device.receive(command) for command in make(name).on_open()]
    steps = max(SIMULATED_STEPS, round(SIMULATED_SECONDS / device.interval_s))
    return sent + [device.emit() for _ in range(steps)]


@pytest.mark.parametrize("seed", [1, 2, 3])
@each_driver
def test_simulated_bytes_decode_without_fault(name: str, seed: int) -> None:
    outcomes = feed_all(make(name), simulated_bytes(name, seed))
    assert faults(outcomes) == []
    assert len(readings(outcomes)) > 20
    assert len({value for _, value, _ in readings(outcomes)}) > 10
    assert_honest(info_of(name), outcomes)
    assert not any(o.flags & Flag.ESTIMATED for o in outcomes if isinstance(o, Measured))


@each_driver
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert simulated_bytes(name, 7) == simulated_bytes(name, 7)
    assert simulated_bytes(name, 7) != simulated_bytes(name, 8)
