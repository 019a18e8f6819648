"""A device described in the configuration: the table works, and mistakes are explained."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from drivers.frame import Frame, FrameOptions
from drivers.frame.simulated import SimulatedFrame
from drivers.frame_polled import PolledFrame, PolledFrameOptions
from drivers.frame_polled.simulated import SimulatedPolledFrame
from gateway.config.load import load
from gateway.driver import Driver, Polled, Stream, info_with
from gateway.errors import ConfigErrors
from gateway.quantities import registry
from tests.drivers.driver_cases import FOLDER, chunks, faults, feed_all, parse_case, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import assert_survives_anything, play, simulate

CASES = ["board", "length_field"]
POLLED = polled_cases("frame_polled")
DRIVERS: dict[str, type[Driver]] = {"frame": Frame, "frame_polled": PolledFrame}


def sample(name: str) -> dict[str, Any]:
    (section,) = tomllib.loads((FOLDER / name / "sample.toml").read_text())["sensor"]
    return dict(section["options"])


def board() -> Frame:
    return Frame(FrameOptions(**sample("frame")))


def stream_case(name: str) -> Any:
    text = (FOLDER / "frame" / "testcases" / f"{name}.json").read_text()
    return parse_case("frame", name, json.loads(text))


# -- what a table makes of bytes ----------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("name", CASES)
def test_case(name: str, size: int) -> None:
    case = stream_case(name)
    driver = Frame(FrameOptions(**case.options))
    outcomes = feed_all(driver, chunks(case.data, size))
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert driver.buffered_bytes == 0


@pytest.mark.parametrize("name", CASES)
def test_one_lost_byte_invents_nothing(name: str) -> None:
    case = stream_case(name)
    for lost in range(len(case.data)):
        driver = Frame(FrameOptions(**case.options))
        got = readings(feed_all(driver, [case.data[:lost] + case.data[lost + 1 :]]))
        assert not [reading for reading in got if reading not in case.readings]
        assert len(got) >= len(case.readings) - 4


@pytest.mark.parametrize("case", POLLED, ids=str)
def test_polled_case(case: PolledCase) -> None:
    outcomes = play(PolledFrame(PolledFrameOptions(**case.options)), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


@pytest.mark.parametrize("seed", range(3))
def test_damaged_answers(seed: int) -> None:
    def make() -> PolledFrame:
        return PolledFrame(PolledFrameOptions(**POLLED[0].options))

    assert_survives_anything(make, POLLED, {"air.co2": 5000.0}, seed)


def test_the_class_may_yield_anything_and_a_device_what_its_table_says() -> None:
    assert set(Frame.info.quantities) == set(PolledFrame.info.quantities) == set(registry())
    assert info_with(Frame, sample("frame")).quantities == (
        "air.temperature", "air.humidity", "air.pressure", "device.voltage",
    )  # fmt: skip
    assert info_with(PolledFrame, sample("frame_polled")).quantities == ("air.co2",)
    assert info_with(Frame, {}) is Frame.info  # options that are refused say nothing
    assert isinstance(board(), Stream)
    assert isinstance(PolledFrame(PolledFrameOptions(**sample("frame_polled"))), Polled)
    assert list(board().on_open()) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_the_simulated_devices_are_those_of_the_samples(seed: int) -> None:
    device = SimulatedFrame(seed)
    outcomes = feed_all(board(), [device.emit() for _ in range(200)])
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 800
    assert device.receive(b"x") == b""
    polled = PolledFrame(PolledFrameOptions(**sample("frame_polled")))
    answers = simulate(polled, SimulatedPolledFrame(seed), 50)
    assert faults(answers) == []
    assert len({value for _, value, _ in readings(answers)}) > 10


# -- mistakes -----------------------------------------------------------------------------------

GOOD = """
[[sensor]]
name = "mine"
driver = "frame"
port = "/dev/ttyUSB0"
[sensor.options]
start = "AA C0"
length = 10
end = "AB"
byte_order = "little"
checksum = { kind = "sum8", first = 2 }
[[sensor.options.field]]
quantity = "air.pm25"
offset = 2
type = "u16"
divide = 10
[[sensor.options.field]]
quantity = "air.pm10"
offset = 4
type = "u16"
divide = 10
"""
NO_CHECK = ["checksum", "two bytes"]
BASE = '[gateway]\nid = "box"\ntenant = "lab"\n'


def problems(text: str, folder: Path) -> str:
    (folder / "gateway.toml").write_text(BASE + text)
    with pytest.raises(ConfigErrors) as refused:
        load(
            folder / "gateway.toml",
            drivers=DRIVERS.get,
            driver_names=lambda: sorted(DRIVERS),
            environ={},
        )
    return str(refused.value)


def test_a_table_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text(BASE)
    (tmp_path / "gateway.d").mkdir()
    (tmp_path / "gateway.d" / "mine.toml").write_text(GOOD)
    found = load(tmp_path / "gateway.toml", drivers=DRIVERS.get, environ={})
    (section,) = found.sensor
    driver = Frame(FrameOptions.model_validate(dict(section.options)))
    assert readings(driver.feed(bytes.fromhex("aac0390071005a171bab"))) == [
        ("air.pm25", 5.7, ()),
        ("air.pm10", 11.3, ()),
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ('"AA C0"', '"AA CX"', ["start", "hexadecimal"]),
        ('"AA C0"', f'"{"AA" * 17}"', ["start", "17 bytes", "16"]),
        ('start = "AA C0"', "", ["start", "missing"]),
        ("length = 10", "", ["either length or length_field"]),
        ("length = 10", "length = 5000", ["length", "1_024"]),
        ("length = 10", "lenght = 10", ["lenght", "unknown key", "length"]),
        ('"sum8"', '"crc16"', ["kind", "crc16-modbus"]),
        ("first = 2", "first = 8", ["checksum.first", "below 8"]),
        ("air.pm25", "air.pm2.5", ["field[#1].quantity", "registry", "air.pm25"]),
        ("offset = 2", "offset = 1", ["field air.pm25 (bytes 1 to 2)", "start bytes"]),
        ("offset = 4", "offset = 3", ["field air.pm10 (bytes 3 to 4)", "field air.pm25"]),
        ("offset = 4", "offset = 7", ["field air.pm10 (bytes 7 to 8)", "behind byte 7"]),
        ('type = "u16"', 'type = "u24"', ["type", "u32"]),
        ("divide = 10", "divide = 0", ["divide"]),
        ("divide = 10", "lowest = 5\nhighest = 4", ["highest", "below lowest = 5"]),
        ("divide = 10", 'dims = { side = "left" }', ["dims", "side", "channel"]),
        ('start = "AA C0"\nlength = 10\nend = "AB"', 'start = "AA"\nlength = 10', NO_CHECK),
        (
            "length = 10",
            "length_field = { offset = 9, type = 'u16', add = 4, shortest = 10, longest = 12 }",
            ["length_field", "outside"],
        ),
        (
            "length = 10",
            "length_field = { offset = 2, add = 4, shortest = 12, longest = 10 }",
            ["shortest", "above"],
        ),
    ],
)
def test_a_mistake_is_explained(right: str, wrong: str, words: list[str], tmp_path: Path) -> None:
    text = GOOD.replace(right, wrong, 1)
    if words is NO_CHECK:
        text = text.replace('checksum = { kind = "sum8", first = 2 }', "")
    found = problems(text, tmp_path)
    for word in words:
        assert word in found, found


def test_a_question_is_needed_to_ask(tmp_path: Path) -> None:
    polled = GOOD.replace('"frame"', '"frame_polled"')
    assert "request" in problems(polled, tmp_path)
    empty = polled.replace("[sensor.options]", '[sensor.options]\nrequest = ""')
    assert "request" in problems(empty, tmp_path)
    none = polled.replace("[sensor.options]", '[sensor.options]\nrequest = "68 1"')
    assert "hexadecimal" in problems(none, tmp_path)
