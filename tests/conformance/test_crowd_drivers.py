"""What every driver that counts who passes is held to, by its test cases.

That nothing of anybody stays behind is looked at in memory and files in tests/privacy.
"""

import random

import pytest

from gateway.driver import Beacon, Connected, Crowd, Outcome, Polled, Stream
from gateway.reading import Fault
from tests.conformance.honesty import assert_honest, simulated
from tests.drivers.crowd_cases import CrowdCase, count, crowd_cases
from tests.drivers.driver_cases import CROWDS, faults, info_of, make, readings

CASES = crowd_cases()
SHORTEST_S, LONGEST_S = 60, 900
SIMULATED_WINDOWS = 3
ADDRESS = "*"

each_driver = pytest.mark.parametrize("name", CROWDS)
each_case = pytest.mark.parametrize("case", CASES, ids=str)


@each_driver
def test_it_is_nothing_else(name: str) -> None:
    driver = make(name)
    assert isinstance(driver, Crowd)
    assert not isinstance(driver, Stream | Beacon | Polled | Connected)


@each_driver
def test_what_it_yields_is_of_many_and_its_window_is_within_the_limits(name: str) -> None:
    assert info_of(name).privacy == "P2"
    assert SHORTEST_S <= make(name).window_s <= LONGEST_S


@each_case
def test_windows(case: CrowdCase) -> None:
    outcomes = count(make(case.driver, case.options), case.windows)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert_honest(info_of(case.driver, case.options), outcomes)


@each_case
def test_a_window_knows_nothing_of_those_before(case: CrowdCase) -> None:
    once = count(make(case.driver, case.options), case.windows)
    driver = make(case.driver, case.options)
    assert [*count(driver, case.windows), *count(driver, case.windows)] == [*once, *once]
    alone = [
        each
        for window in case.windows
        for each in count(make(case.driver, case.options), (window,))
    ]
    assert alone == once


@each_case
def test_neither_the_order_nor_how_often_matters(case: CrowdCase) -> None:
    source = random.Random(str(case))
    mixed = []
    for window in case.windows:
        adverts = [*window.adverts, *window.adverts[::2]]
        source.shuffle(adverts)
        mixed.append(window._replace(adverts=tuple(adverts)))
    said = count(make(case.driver, case.options), tuple(mixed))
    assert said == count(make(case.driver, case.options), case.windows)


@each_case
def test_no_address_leaves_it(case: CrowdCase) -> None:
    outcomes = count(make(case.driver, case.options), case.windows)
    shown = repr(outcomes).upper().encode()
    samples = b"".join(each.sample for each in outcomes if isinstance(each, Fault))
    for window in case.windows:
        for address in {each.address for each in window.adverts}:
            own = bytes.fromhex(address.replace(":", ""))
            assert address.encode() not in shown
            assert own.hex().upper().encode() not in shown
            assert own not in samples


# -- simulators ---------------------------------------------------------------------------------


def simulated_windows(name: str, seed: int) -> list[Outcome]:
    driver, street = make(name), simulated(name, seed, ADDRESS)
    outcomes: list[Outcome] = []
    for _ in range(SIMULATED_WINDOWS):
        for _ in range(round(driver.window_s / street.interval_s)):
            for address, rssi, is_random in street.emit():
                driver.hear(address, rssi, random=is_random)
        outcomes += driver.close(1.0)
    return outcomes


@each_driver
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_simulated_passers_by_are_counted(name: str, seed: int) -> None:
    outcomes = simulated_windows(name, seed)
    assert faults(outcomes) == []
    assert sum(value > 0 for _, value, _ in readings(outcomes)) >= SIMULATED_WINDOWS
    assert_honest(info_of(name), outcomes)


@each_driver
def test_the_same_seed_gives_the_same_street(name: str) -> None:
    assert simulated_windows(name, 7) == simulated_windows(name, 7)
    assert simulated_windows(name, 7) != simulated_windows(name, 8)
