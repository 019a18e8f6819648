"""What every driver that connects to its device is held to, by its test cases."""

import random
from dataclasses import replace

import pytest

from gateway.driver import Advert, Beacon, Connected, Crowd, Polled, Stream
from tests.conformance.honesty import assert_honest, simulated
from tests.drivers.connected_cases import ConnectedCase, connected_cases, visit
from tests.drivers.driver_cases import CONNECTED, faults, info_of, make, readings

CASES = connected_cases()
MUTATIONS = 150
"""Per test case; the full hundred thousand were run by hand."""
MAX_INTERVALS = 300
ADDRESS = "C0:FF:EE:00:00:02"

each_driver = pytest.mark.parametrize("name", CONNECTED)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_driver
def test_it_is_nothing_else(name: str) -> None:
    driver = make(name)
    assert isinstance(driver, Connected)
    assert not isinstance(driver, Stream | Beacon | Polled | Crowd)


@each_case
async def test_a_case(case: ConnectedCase) -> None:
    driver = make(case.driver, case.options)
    outcomes = [each for _ in range(case.visits) for each in await visit(driver, case)]
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert_honest(info_of(case.driver, case.options), outcomes)


@each_case
async def test_two_devices_know_nothing_of_each_other(case: ConnectedCase) -> None:
    first, second = make(case.driver, case.options), make(case.driver, case.options)
    assert await visit(first, case) == await visit(second, case)


@each_case
async def test_whatever_a_device_says_is_no_exception(case: ConnectedCase) -> None:
    rng = random.Random(str(case))
    cls = type(make(case.driver))
    for _ in range(MUTATIONS):
        driver = cls(cls.Options.model_validate(case.options))
        assert_honest(info_of(case.driver, case.options), await visit(driver, mutated(case, rng)))


@each_case
async def test_a_shortened_answer_gives_no_reading_that_the_whole_one_did_not(
    case: ConnectedCase,
) -> None:
    cls = type(make(case.driver))
    options = cls.Options.model_validate(case.options)
    whole = readings(await visit(cls(options), case))
    for number, answer in enumerate(case.answers):
        for part, content in enumerate(answer.parts):
            for size in range(len(content)):
                parts = (*answer.parts[:part], content[:size], *answer.parts[part + 1 :])
                answers = list(case.answers)
                answers[number] = replace(answer, parts=parts)
                cut = replace(case, answers=tuple(answers))
                outcomes = await visit(cls(options), cut)
                assert set(readings(outcomes)) <= set(whole)


def mutated(case: ConnectedCase, rng: random.Random) -> ConnectedCase:
    """Return the case with one thing changed, shortened, or made longer that the device says."""

    def damage(data: bytes) -> bytes:
        kind = rng.randrange(4)
        at = rng.randrange(len(data) + 1)
        if kind == 0:
            return data[:at]
        if kind == 1:
            return data[:at] + rng.randbytes(rng.randrange(1, 40)) + data[at:]
        if kind == 2:
            return rng.randbytes(rng.randrange(64))
        return data[:at] + bytes(each ^ rng.randrange(256) for each in data[at:])

    characteristics, answers = dict(case.characteristics), list(case.answers)
    if answers and rng.random() < 0.6:
        number = rng.randrange(len(answers))
        parts = list(answers[number].parts)
        part = rng.randrange(len(parts))
        parts[part] = damage(parts[part])
        if rng.random() < 0.3:
            rng.shuffle(parts)
        answers[number] = replace(answers[number], parts=tuple(parts))
    else:
        key = rng.choice(list(characteristics))
        characteristics[key] = damage(characteristics[key])
    return replace(case, characteristics=characteristics, answers=tuple(answers))


# -- simulators ---------------------------------------------------------------------------------


@each_driver
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_its_simulated_device_is_due_and_read_without_fault(name: str, seed: int) -> None:
    driver = make(name)
    device = simulated(name, seed, ADDRESS)
    assert device.interval_s > 0
    for _ in range(MAX_INTERVALS):
        advert = device.emit()
        assert isinstance(advert, Advert)
        assert advert.address == ADDRESS
        assert driver.due(advert, None)
        assert driver.due(advert, driver.info.interval_s)
        assert not driver.due(advert, 0.0)
        outcomes = list(await driver.read(device))
        assert readings(outcomes)
        assert faults(outcomes) == []
        assert_honest(info_of(name), outcomes)


@each_driver
async def test_the_same_seed_gives_the_same_device(name: str) -> None:
    one, other = simulated(name, 7, ADDRESS), simulated(name, 7, ADDRESS)
    first, second = make(name), make(name)
    for _ in range(20):
        assert one.emit() == other.emit()
        assert list(await first.read(one)) == list(await second.read(other))


@each_driver
async def test_a_stranger_is_never_due(name: str) -> None:
    driver = make(name)
    for advert in (
        Advert(ADDRESS, -60),
        Advert(ADDRESS, -60, manufacturer_data={0x004C: b"\x10\x05"}),
        Advert(ADDRESS, -60, name="phone", service_data={"0000fcd2": b"\x40"}),
    ):
        assert not driver.due(advert, None)
        assert not driver.due(advert, 1e6)
