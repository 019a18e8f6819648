"""The PM1006, listened to inside its box and asked on its own."""

import pytest

from drivers.pm1006 import Pm1006
from drivers.pm1006.simulated import ANSWERS_A_CYCLE, CYCLE, SimulatedPm1006
from drivers.pm1006_polled import PolledPm1006
from drivers.pm1006_polled.simulated import SimulatedPolledPm1006
from gateway.driver import NoOptions, Polled, Stream
from tests.drivers.driver_cases import faults, feed_all, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import assert_survives_anything, play, simulate

CASES = polled_cases("pm1006_polled")
GOOD = bytes.fromhex("16110b0000000c000003cb0000000c01000000e7")


def listening() -> Pm1006:
    return Pm1006(NoOptions())


def polled() -> PolledPm1006:
    return PolledPm1006(NoOptions())


def test_each_has_its_shape_and_the_listener_writes_nothing() -> None:
    assert isinstance(listening(), Stream)
    assert isinstance(polled(), Polled)
    assert list(listening().on_open()) == []
    (request,) = polled().requests()
    assert request.data.hex() == "11020b01e1"


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: PolledCase) -> None:
    outcomes = play(polled(), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


@pytest.mark.parametrize("seed", range(3))
def test_damaged_answers(seed: int) -> None:
    assert_survives_anything(polled, CASES, {"air.pm25": 1000.0}, seed)


def test_the_simulated_box_asks_in_cycles() -> None:
    device = SimulatedPm1006(1)
    outcomes = feed_all(listening(), [device.emit() for _ in range(4 * CYCLE)])
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 4 * ANSWERS_A_CYCLE


def test_the_simulator_answers_a_question_in_pieces() -> None:
    outcomes = simulate(polled(), SimulatedPolledPm1006(1), 100)
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 100
    assert len({value for _, value, _ in readings(outcomes)}) > 10
    device = SimulatedPm1006(1)
    answers = [device.receive(bytes((byte,))) for byte in bytes.fromhex("00110211020b01e1")]
    assert [len(answer) for answer in answers] == [0] * 7 + [20]
