"""The commands of the SDS011 and the device that the simulator makes believe."""

from drivers.sds011 import Sds011, Sds011Options
from drivers.sds011.simulated import SPIN_UP_FRAMES, SimulatedSds011
from tests.drivers.driver_cases import faults, feed_all, readings


def test_nothing_is_written_unless_it_is_asked_for() -> None:
    assert list(Sds011(Sds011Options()).on_open()) == []


def test_the_commands_are_those_of_the_document() -> None:
    active, period = Sds011(Sds011Options(working_period_min=1)).on_open()
    assert active.hex() == "aab402010000000000000000000000ffff01ab"
    assert period.hex() == "aab408010100000000000000000000ffff08ab"


def test_the_simulator_spins_up_before_it_measures() -> None:
    device, driver = SimulatedSds011(1), Sds011(Sds011Options())
    for _ in range(SPIN_UP_FRAMES):
        assert feed_all(driver, [device.emit()]) == []
    assert len(readings(feed_all(driver, [device.emit()]))) == 2


def test_the_simulator_keeps_the_working_period_and_answers() -> None:
    device, driver = SimulatedSds011(1), Sds011(Sds011Options(working_period_min=2))
    commands = b"".join(driver.on_open())
    answers = b"".join(device.receive(commands[i : i + 1]) for i in range(len(commands)))
    assert answers.count(b"\xaa\xc5") == 2
    assert feed_all(driver, [answers]) == []
    outcomes = feed_all(driver, [device.emit() for _ in range(600)])
    assert len(readings(outcomes)) == 5 * 2
    assert faults(outcomes) == []


def test_the_simulator_ignores_damaged_commands() -> None:
    device = SimulatedSds011(1)
    (_, period) = Sds011(Sds011Options(working_period_min=2)).on_open()
    assert device.receive(period[:-2] + b"\x00\xab") == b""
    assert device.receive(b"noise") == b""
    assert device.receive(period) != b""
