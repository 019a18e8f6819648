"""The HPMA115, which reports by itself or is asked."""

from typing import Any

import pytest

from drivers.hpma115 import Hpma115, Hpma115Options
from drivers.hpma115.simulated import SimulatedHpma115
from drivers.hpma115_polled import PolledHpma115
from drivers.hpma115_polled.simulated import SimulatedPolledHpma115
from gateway.driver import NoOptions, Polled, Stream
from tests.drivers.driver_cases import faults, feed_all, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import assert_survives_anything, play, simulate

CASES = polled_cases("hpma115_polled")
NAMES = {"pm1": "air.pm1", "pm2_5": "air.pm25", "pm4": "air.pm4", "pm10": "air.pm10"}


def reporting(**options: Any) -> Hpma115:
    return Hpma115(Hpma115Options(**options))


def polled() -> PolledHpma115:
    return PolledHpma115(NoOptions())


def test_the_commands_are_those_of_the_data_sheet() -> None:
    assert isinstance(reporting(), Stream)
    assert isinstance(polled(), Polled)
    assert [command.hex() for command in reporting().on_open()] == ["68014057"]
    stop, read = polled().requests()
    assert (stop.data.hex(), stop.length, read.data.hex()) == ("68012077", 0, "68010493")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: PolledCase) -> None:
    outcomes = play(polled(), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_an_answer_behind_a_report_and_an_acknowledgement_is_waited_for() -> None:
    *_, request = polled().requests()
    assert callable(request.length)
    report = SimulatedHpma115(1).emit()
    answer = bytes.fromhex("4005040030003156")
    assert request.length(report) is None
    assert request.length(report + b"\xa5\xa5" + answer[:3]) == 42
    assert request.length(b"\x96\x96") == 2


@pytest.mark.parametrize("seed", range(3))
def test_damaged_answers(seed: int) -> None:
    highest = dict.fromkeys(NAMES.values(), 1000.0)
    assert_survives_anything(polled, CASES, highest, seed)


@pytest.mark.parametrize(("model", "values"), [("standard", 2), ("compact", 4)])
def test_the_simulator_reports_as_its_model_does(model: str, values: int) -> None:
    device, driver = SimulatedHpma115(1, model), reporting(model=model)
    (command,) = driver.on_open()
    answers = [device.receive(command[i : i + 1]) for i in range(4)]
    outcomes = feed_all(driver, [*answers, *(device.emit() for _ in range(50))])
    assert b"".join(answers) == b"\xa5\xa5"
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 50 * values


def test_a_polled_sensor_that_lost_its_power_is_silenced_again() -> None:
    device, driver = SimulatedPolledHpma115(1), polled()
    first = simulate(driver, device, 20)
    assert faults(first) == []
    assert len(readings(first)) == 20 * 4
    assert device.emit() == b""
    device.power_cycle()
    driver.on_reply(list(driver.requests())[-1], b"")
    assert faults(simulate(driver, device, 2)) == []
    assert device.emit() == b""


def test_a_sensor_at_rest_refuses() -> None:
    device, driver = SimulatedPolledHpma115(1), polled()
    assert device.receive(bytes.fromhex("68010295")) == b"\xa5\xa5"
    assert faults(simulate(driver, device, 1)) == ["device_error"]
