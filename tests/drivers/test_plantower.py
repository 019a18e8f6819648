"""The Plantower family: what only a look at the whole shows."""

from typing import Any

from drivers.plantower import Plantower, PlantowerOptions
from drivers.plantower.simulated import SPIN_UP_FRAMES, SimulatedPlantower
from gateway.driver import Stream
from tests.drivers.driver_cases import faults, feed_all, readings


def make(**options: Any) -> Plantower:
    return Plantower(PlantowerOptions(**options))


def test_it_writes_nothing() -> None:
    assert isinstance(make(), Stream)
    assert list(make().on_open()) == []


def test_the_simulator_spins_up_and_can_be_passive() -> None:
    device, driver = SimulatedPlantower(1), make()
    assert feed_all(driver, [device.emit() for _ in range(SPIN_UP_FRAMES)]) == []
    assert len(readings(feed_all(driver, [device.emit()]))) == 3
    passive = bytes.fromhex("424de100000170")
    answer = b"".join(device.receive(passive[i : i + 1]) for i in range(7))
    assert answer.hex() == "424d0004e1000174"
    assert device.emit() == b""
    read = device.receive(bytes.fromhex("424de200000171"))
    outcomes = feed_all(driver, [answer, read])
    assert len(readings(outcomes)) == 3
    assert faults(outcomes) == []
    assert device.receive(bytes.fromhex("424de100010171"))
    assert device.emit() != b""
    assert device.receive(bytes.fromhex("424de100010172")) == b""
