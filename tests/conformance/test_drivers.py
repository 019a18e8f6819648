"""What every driver is held to, by its declaration, its files, its test cases and its simulator."""

import json
import random
import tomllib
from collections import Counter
from typing import Any

import pytest

from gateway.config.model import SensorSection
from gateway.driver import Advert, Beacon, DriverInfo, Outcome, Stream
from gateway.quantities import DIMS, registry
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.driver_cases import (
    DRIVERS,
    FOLDER,
    Case,
    all_cases,
    chunks,
    faults,
    feed_all,
    load,
    make,
    readings,
    restarts,
    table,
)

STREAM_CASES = all_cases(beacons=False)
BEACON_CASES = all_cases(beacons=True)
CHUNK_SIZES = (1, 7, 64, 1000)
NOISE_SEEDS = range(5)
NOISE_BYTES = 200
MAX_BUFFERED_BYTES = 8192
"""Two of the longest telegrams that any of these devices sends."""
SIMULATED_STEPS = 300
TRUNCATIONS = 400
"""A test case is cut off in about so many places."""

stream_case = pytest.mark.parametrize("case", STREAM_CASES, ids=str)
beacon_case = pytest.mark.parametrize("case", BEACON_CASES, ids=str)
each_driver = pytest.mark.parametrize("name", DRIVERS)


def run(case: Case, *pieces: bytes) -> list[Outcome]:
    return feed_all(make(case.driver, case.options), pieces)


def assert_honest(info: DriverInfo, outcomes: list[Outcome]) -> None:
    """Only declared quantities and known dimensions, finite values, known kinds of faults."""
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert outcome.quantity in info.quantities
            assert {key for key, _ in outcome.dims} <= set(DIMS)
            assert list(outcome.dims) == sorted(outcome.dims)
            assert isinstance(outcome.value, float)
            assert abs(outcome.value) < float("inf")
            assert outcome.age_s >= 0
    assert set(faults(outcomes)) <= set(FAULT_KINDS)


# -- what a driver declares ---------------------------------------------------------------------


@each_driver
def test_its_declaration_is_complete(name: str) -> None:
    driver = make(name)
    info: DriverInfo = driver.info
    assert info.name == name
    assert info.title
    assert "\n" not in info.title
    assert info.document
    assert info.interval_s > 0
    assert info.quantities
    assert len(set(info.quantities)) == len(info.quantities)
    assert not set(info.quantities) - registry().keys()
    assert isinstance(driver, Stream) != isinstance(driver, Beacon)
    assert bool(info.lines) == isinstance(driver, Stream)


@each_driver
def test_its_options_refuse_unknown_keys_and_explain_the_known_ones(name: str) -> None:
    options = make(name).Options
    assert options.model_config.get("extra") == "forbid"
    assert options.model_config.get("frozen") is True
    assert all(option.description for option in options.model_fields.values())


@each_driver
def test_its_folder_has_everything(name: str) -> None:
    folder = FOLDER / name
    for needed in ("__init__.py", "README.md", "sample.toml", "simulated.py"):
        assert (folder / needed).is_file(), needed
    assert list((folder / "testcases").glob("*.json"))


@each_driver
def test_its_readme_names_every_option_and_quantity(name: str) -> None:
    readme = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    driver = make(name)
    for word in (*driver.Options.model_fields, *driver.info.quantities, driver.info.document):
        assert word in readme, word


@each_driver
def test_its_sample_is_a_sensor_section(name: str) -> None:
    sample = tomllib.loads((FOLDER / name / "sample.toml").read_text(encoding="utf-8"))
    assert sample.keys() == {"sensor"}
    for section in sample["sensor"]:
        sensor = SensorSection.model_validate(section)
        assert sensor.driver == name
        make(name, dict(sensor.options))
        assert bool(sensor.address) == isinstance(make(name), Beacon)


@each_driver
def test_its_test_cases_reach_every_quantity(name: str) -> None:
    reached = {
        reading[0]
        for case in (*STREAM_CASES, *BEACON_CASES)
        if case.driver == name
        for reading in case.readings
    }
    missing = set(make(name).info.quantities) - reached
    assert not missing


@each_driver
def test_its_test_cases_say_what_they_are_about(name: str) -> None:
    for path in (FOLDER / name / "testcases").iterdir():
        assert path.suffix == ".json"
        assert json.loads(path.read_text(encoding="utf-8"))["about"].strip()


# -- streams ------------------------------------------------------------------------------------


@stream_case
def test_whole(case: Case) -> None:
    outcomes = run(case, case.data)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert restarts(outcomes) == case.restarts
    assert_honest(make(case.driver).info, outcomes)


@pytest.mark.parametrize("size", CHUNK_SIZES)
@stream_case
def test_any_chunking_says_the_same(case: Case, size: int) -> None:
    assert run(case, *chunks(case.data, size)) == run(case, case.data)


@stream_case
def test_random_chunking_says_the_same(case: Case) -> None:
    source = random.Random(str(case))
    cuts = sorted(source.sample(range(len(case.data)), 10))
    pieces = [case.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(case.data)], strict=True)]
    assert run(case, *pieces) == run(case, case.data)


@stream_case
def test_an_empty_piece_says_nothing(case: Case) -> None:
    driver = make(case.driver, case.options)
    assert list(driver.feed(b"")) == []
    assert feed_all(driver, (case.data, b"")) == run(case, case.data)


@stream_case
def test_glued_together(case: Case) -> None:
    apart = run(case, case.data, case.data, case.data)
    assert run(case, case.data * 3) == apart
    assert len(readings(apart)) >= len(case.readings)


@pytest.mark.parametrize("seed", NOISE_SEEDS)
@stream_case
def test_noise_before_invents_nothing_and_costs_at_most_a_line(case: Case, seed: int) -> None:
    noise = random.Random(seed).randbytes(NOISE_BYTES)
    undisturbed = readings(run(case, case.data, case.data))
    got = readings(run(case, noise + case.data + case.data))
    if case.protocol == "frames":
        assert got == undisturbed
    else:
        second_half = len(undisturbed) - len(readings(run(case, case.data)))
        assert len(got) >= second_half
        assert not Counter(got) - Counter(undisturbed)
        assert got[len(got) - second_half :] == undisturbed[len(undisturbed) - second_half :]


@stream_case
def test_one_lost_byte_invents_nothing(case: Case) -> None:
    info = make(case.driver).info
    expected = Counter(case.readings)
    for lost in range(len(case.data)):
        outcomes = run(case, case.data[:lost] + case.data[lost + 1 :])
        assert_honest(info, outcomes)
        got = Counter(readings(outcomes))
        if case.protocol == "frames":
            assert not got - expected, f"byte {lost} lost"
        else:
            # Text without a checksum: a lost digit makes another number, but of one line only.
            assert (got - expected).total() <= 1, f"byte {lost} lost"


@stream_case
def test_truncated(case: Case) -> None:
    whole = run(case, case.data)
    for end in range(0, len(case.data), 1 + len(case.data) // TRUNCATIONS):
        outcomes = run(case, case.data[:end])
        assert outcomes == whole[: len(outcomes)], f"cut at byte {end}"


@stream_case
def test_the_buffer_stays_small(case: Case) -> None:
    driver = make(case.driver, case.options)
    for start in range(0, len(case.data), 50):
        for piece in chunks(case.data[start:], 500):
            feed_all(driver, [piece])
            assert driver.buffered_bytes <= MAX_BUFFERED_BYTES


# -- beacons ------------------------------------------------------------------------------------


def decode(driver: Any, *adverts: Advert) -> list[Outcome]:
    return [outcome for advert in adverts for outcome in driver.decode(advert)]


@beacon_case
def test_adverts(case: Case) -> None:
    outcomes = decode(make(case.driver, case.options), *case.adverts)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert_honest(make(case.driver).info, outcomes)


@beacon_case
def test_an_advert_that_is_not_claimed_says_nothing(case: Case) -> None:
    driver = make(case.driver, case.options)
    for advert in case.adverts:
        if not driver.claims(advert):
            assert decode(driver, advert) == []


@beacon_case
def test_a_truncated_advert_holds_no_reading(case: Case) -> None:
    for advert in case.adverts:
        if not readings(decode(make(case.driver, case.options), advert)):
            continue
        for company, data in advert.manufacturer_data.items():
            for end in range(len(data)):
                shorter = Advert(advert.address, -60, manufacturer_data={company: data[:end]})
                outcomes = decode(make(case.driver, case.options), shorter)
                assert readings(outcomes) == []


@beacon_case
def test_no_address_leaves_the_decoder(case: Case) -> None:
    outcomes = decode(make(case.driver, case.options), *case.adverts)
    samples = [o.sample for o in outcomes if isinstance(o, Fault)]
    shown = repr(outcomes).encode() + b"".join(samples)
    for advert in case.adverts:
        for data in advert.manufacturer_data.values():
            inside = data[-6:]
            if len(set(inside)) > 1:
                assert inside not in shown
                assert inside.hex().encode() not in shown.lower()


# -- simulators ---------------------------------------------------------------------------------


def simulated_stream(name: str, seed: int) -> Any:
    return load(table("citylab_gateway.simulators")[name])(seed)


def simulated_bytes(name: str, seed: int) -> list[bytes]:
    """Return what a simulated device sends, after the driver has set it up."""
    device = simulated_stream(name, seed)
    sent = [device.receive(command) for command in make(name).on_open()]
    return sent + [device.emit() for _ in range(SIMULATED_STEPS)]


STREAMS = [name for name in DRIVERS if isinstance(make(name), Stream)]
BEACONS = [name for name in DRIVERS if isinstance(make(name), Beacon)]


def test_every_driver_has_a_simulator() -> None:
    assert table("citylab_gateway.simulators").keys() == set(DRIVERS)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", STREAMS)
def test_simulated_bytes_decode_without_fault(name: str, seed: int) -> None:
    outcomes = feed_all(make(name), simulated_bytes(name, seed))
    assert faults(outcomes) == []
    assert len(readings(outcomes)) > SIMULATED_STEPS / 10
    assert len({value for _, value, _ in readings(outcomes)}) > 10
    assert_honest(make(name).info, outcomes)


@pytest.mark.parametrize("name", STREAMS)
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    assert simulated_bytes(name, 7) == simulated_bytes(name, 7)
    assert simulated_bytes(name, 7) != simulated_bytes(name, 8)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", BEACONS)
def test_simulated_adverts_decode_without_fault(name: str, seed: int) -> None:
    device = load(table("citylab_gateway.simulators")[name])(seed, "C0:FF:EE:00:00:02")
    adverts = [device.emit() for _ in range(SIMULATED_STEPS)]
    driver = make(name)
    assert all(driver.claims(advert) for advert in adverts)
    outcomes = decode(driver, *adverts)
    assert faults(outcomes) == []
    assert len(readings(outcomes)) >= SIMULATED_STEPS
    again = load(table("citylab_gateway.simulators")[name])(seed, "C0:FF:EE:00:00:02")
    assert [again.emit() for _ in range(SIMULATED_STEPS)] == adverts
