"""How the radar is set up, loses its settings and gets them again."""

import pytest

from drivers.ops243 import Ops243, Ops243Options
from drivers.ops243.simulated import SimulatedOps243
from gateway.driver import Restarted
from gateway.reading import Fault
from tests.drivers.driver_cases import faults, feed_all, make, readings, restarts


def test_the_settings_that_are_sent() -> None:
    assert list(Ops243(Ops243Options()).on_open()) == [
        b"OJ",
        b"UM",
        b"OU",
        b"S2",
        b"R|",
        b"R>0.00\r",
        b"ON",
    ]
    options = Ops243Options(
        report="speeds", sampling_ksps=10, min_speed_kmh=18, direction="inbound"
    )
    assert list(Ops243(options).on_open())[3:] == [b"SX", b"R+", b"R>5.00\r", b"On", b"R?"]
    options = Ops243Options(max_speed_kmh=144, min_magnitude=50, angle_deg=60)
    assert list(Ops243(options).on_open())[5:] == [
        b"R>0.00\r",
        b"R<20.00\r",
        b"M>50\r",
        b"ON",
        b"R?",
    ]


@pytest.mark.parametrize(
    ("ksps", "inside", "outside"),
    [(10, "31.1", "31.2"), (20, "62.2", "62.3"), (50, "155.4", "155.5"), (100, "310.8", "310.9")],
)
def test_the_sampling_rate_limits_the_speed(ksps: int, inside: str, outside: str) -> None:
    line = b'{"unit":"mps","DetectedObjectVelocity":"%s"}\r\n'
    outcomes = feed_all(
        make("ops243", {"sampling_ksps": ksps}), [line % inside.encode(), line % outside.encode()]
    )
    assert [value for _, value, _ in readings(outcomes)] == [round(float(inside) * 3.6, 3)]
    assert faults(outcomes) == ["range"]


def test_the_simulator_forgets_its_settings_and_says_so() -> None:
    device, driver = SimulatedOps243(3), Ops243(Ops243Options())
    feed_all(driver, [device.receive(command) for command in driver.on_open()])
    before = feed_all(driver, [device.emit() for _ in range(50)])
    assert readings(before)
    device.power_cycle()
    lost = feed_all(driver, [device.emit() for _ in range(50)])
    assert isinstance(lost[0], Restarted)
    assert 2 <= restarts(lost) <= 3  # plain text for a while is told as well
    assert readings(lost) == []
    assert set(faults(lost)) == {"unknown"}
    feed_all(driver, [device.receive(command) for command in driver.on_open()])
    after = feed_all(driver, [device.emit() for _ in range(50)])
    assert readings(after)
    assert faults(after) == []


def test_the_simulator_takes_commands_in_pieces() -> None:
    whole, pieces = SimulatedOps243(3), SimulatedOps243(3)
    commands = b"".join(Ops243(Ops243Options(min_speed_kmh=30)).on_open())
    answer = whole.receive(commands)
    assert answer == b"".join(pieces.receive(commands[i : i + 1]) for i in range(len(commands)))
    assert b"m-per-sec" in answer
    assert [whole.emit() for _ in range(50)] == [pieces.emit() for _ in range(50)]


def test_the_simulator_obeys_direction_and_lowest_speed() -> None:
    device = SimulatedOps243(4)
    driver = Ops243(Ops243Options(direction="outbound", min_speed_kmh=45))
    feed_all(driver, [device.receive(command) for command in driver.on_open()])
    got = readings(feed_all(driver, [device.emit() for _ in range(400)]))
    assert {dims for _, _, dims in got} == {(("direction", "outbound"),)}
    assert min(value for _, value, _ in got) >= 44.8  # the line has one decimal


def test_the_simulator_reports_raw_speeds_and_counts() -> None:
    device, driver = SimulatedOps243(5), Ops243(Ops243Options(report="speeds"))
    feed_all(driver, [device.receive(command) for command in driver.on_open()])
    outcomes = feed_all(driver, [device.emit() for _ in range(100)])
    assert len(readings(outcomes)) > 10
    assert faults(outcomes) == []
    count = device.receive(b"N?")
    assert count == b'{"DetectedObjectCount":%d}\r\n' % len(readings(outcomes))
    assert feed_all(driver, [count]) == []
    assert b"ResetReason" in device.receive(b"?R")


def test_the_tail_of_a_plain_line_is_not_believed() -> None:
    """Opened in the middle of ``145.7``, the first line may look like a slower vehicle."""
    driver = make("ops243", {"report": "speeds"})
    outcomes = feed_all(driver, [b'"mps",5.7\r\n"mps",6.5\r\n'])
    assert [value for _, value, _ in readings(outcomes)] == [23.4]


def test_a_radar_that_forgot_without_a_word_is_set_up_again() -> None:
    """Its reset line was lost on the way; it writes plain text from then on."""
    device, driver = SimulatedOps243(3), Ops243(Ops243Options())
    feed_all(driver, [device.receive(command) for command in driver.on_open()])
    device.power_cycle()
    written = b"".join(device.emit() for _ in range(50))
    head, _, tail = written.partition(b"}\r\n")
    assert b"ResetReason" in head
    lines = tail.splitlines(keepends=True)
    outcomes = feed_all(driver, lines[:3])
    assert [type(outcome) for outcome in outcomes] == [Fault, Fault, Fault, Restarted]
    answers = feed_all(driver, [device.receive(command) for command in driver.on_open()])
    assert answers == []
    after = feed_all(driver, [device.emit() for _ in range(50)])
    assert readings(after)
    assert faults(after) == []
    assert restarts(after) == 0


def test_a_radar_that_never_writes_json_is_told_again_after_every_twelve_lines() -> None:
    driver = make("ops243")
    asked = []
    for number in range(1, 50):
        if restarts(feed_all(driver, [b"\n5.0\r\n"])):
            asked.append(number)
            driver.on_open()
    assert asked == [4, 16, 28, 40]  # the first line may be the tail of one
    feed_all(driver, [b'{"unit":"mps","DetectedObjectVelocity":"10.0"}\r\n'])
    assert [restarts(feed_all(driver, [b"5.0\r\n"])) for _ in range(3)] == [0, 0, 1]


def test_every_setting_that_is_answered_is_compared() -> None:
    device = SimulatedOps243(3)
    driver = Ops243(Ops243Options(min_speed_kmh=20, max_speed_kmh=90, angle_deg=20))
    answers = [device.receive(command) for command in driver.on_open()]
    assert sum(map(bool, answers)) == 3
    assert feed_all(driver, answers) == []
    for other in (b"UK", b"SX", b"R>1\rR?", b"R<9\rR?"):
        outcomes = feed_all(driver, [device.receive(other)])
        assert faults(outcomes) == ["device_error"]
        assert restarts(outcomes) == 1
        again = [device.receive(command) for command in driver.on_open()]
        assert feed_all(driver, again) == []


def test_a_radar_that_refuses_a_setting_is_told_again_a_few_times_only() -> None:
    driver = make("ops243")
    wrong, right = b'{"SamplingRate":10000}\r\n', b'{"SamplingRate":20000}\r\n'
    outcomes = [feed_all(driver, [wrong]) for _ in range(5)]
    assert [faults(each) for each in outcomes] == [["device_error"]] * 5
    assert [restarts(each) for each in outcomes] == [1, 1, 1, 0, 0]
    assert feed_all(driver, [right]) == []
    assert restarts(feed_all(driver, [wrong])) == 1


def test_an_overlong_line_is_dropped_and_the_next_one_is_read() -> None:
    driver = make("ops243")
    pieces = [b"x" * 700] * 5 + [b'\r\n{"unit":"mps","DetectedObjectVelocity":"10.0"}\r\n']
    outcomes = feed_all(driver, pieces)
    assert len(readings(outcomes)) == 1
    assert set(faults(outcomes)) == {"noise"}
    assert driver.buffered_bytes == 0


def test_a_lost_line_feed_glues_nothing() -> None:
    line = b'{"unit":"mps","DetectedObjectVelocity":"%d.0"}\r'
    outcomes = feed_all(make("ops243"), [line % 10 + line % 20 + b"\n"])
    assert [value for _, value, _ in readings(outcomes)] == [36.0, 72.0]
    assert faults(outcomes) == []


def test_no_unit_is_known_after_the_line_was_opened_again() -> None:
    """The radar may have been exchanged or switched off while its plug was out."""
    driver = make("ops243")
    speed = b'{"DetectedObjectVelocity":"10.0"}\r\n'
    assert len(readings(feed_all(driver, [b'{"Units":"km-per-hr"}\r\n', speed]))) == 1
    driver.on_open()
    assert faults(feed_all(driver, [speed])) == ["unknown"]
