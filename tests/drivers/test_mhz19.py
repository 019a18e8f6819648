"""The MH-Z19: its questions, its test cases, damaged answers, the simulator."""

from typing import Any

import pytest

from drivers.mhz19 import Mhz19, Mhz19Options
from drivers.mhz19.simulated import SimulatedMhz19
from gateway.driver import Polled
from tests.drivers.driver_cases import faults, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import assert_survives_anything, play, simulate

CASES = polled_cases("mhz19")


def make(**options: Any) -> Mhz19:
    return Mhz19(Mhz19Options(**options))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: PolledCase) -> None:
    outcomes = play(make(**case.options), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_it_is_polled_and_the_question_is_that_of_the_manual() -> None:
    driver = make()
    assert isinstance(driver, Polled)
    (request,) = driver.requests()
    assert request.data.hex() == "ff0186000000000079"


@pytest.mark.parametrize(
    ("setting", "command"), [(True, "ff0179a000000000e6"), (False, "ff0179000000000086")]
)
def test_self_calibration_is_only_set_if_it_is_asked_for(setting: object, command: str) -> None:
    first, question = make(self_calibration=setting).requests()
    assert first.data.hex() == command
    assert first.length == 0
    assert question.data.hex() == "ff0186000000000079"


def test_the_length_of_an_answer_is_told_behind_noise_and_other_answers() -> None:
    (request,) = make().requests()
    assert callable(request.length)
    good, other = bytes.fromhex("ff86027c42000000ba"), bytes.fromhex("ff79010000000000 86")
    assert request.length(good[:1]) is None
    assert request.length(good[:2]) == 9
    assert request.length(b"\x00\xff" + good) == 11
    assert request.length(other + good) == 18
    assert request.length(other) is None


@pytest.mark.parametrize("seed", range(3))
def test_damaged_answers(seed: int) -> None:
    assert_survives_anything(make, CASES, {"air.co2": 10_000.0}, seed)


def test_the_simulator_warms_up_measures_and_obeys() -> None:
    device, driver = SimulatedMhz19(1), make(self_calibration=False)
    outcomes = simulate(driver, device, 50)
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 48
    assert len({value for _, value, _ in readings(outcomes)}) > 10
    assert device.self_calibration is False
    assert simulate(make(), SimulatedMhz19(1), 50) == outcomes
    assert simulate(make(), SimulatedMhz19(2), 50) != outcomes
