"""The SPS30: its test cases, damaged answers, and a whole life over a wire."""

import random
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from drivers.float32 import shortest
from drivers.sps30 import Sps30, Sps30Options
from drivers.sps30.shdlc import find_reply, frame, read_command, reply_size
from drivers.sps30.simulated import SimulatedSps30
from gateway.driver import Polled, Request
from gateway.reading import Fault
from gateway.transports import BusDevice, PtySimulator, SerialBusTransport
from tests.drivers.driver_cases import FOLDER, faults, readings
from tests.drivers.polled_cases import PolledCase, polled_cases
from tests.drivers.polled_rounds import play, simulate, whole_answer
from tests.transports.bus_parts import Start, starting
from tests.transports.parts import CLOCK, Recorder, until

CASES = polled_cases("sps30")
QUESTION = bytes.fromhex("7e000300fc7e")
GOOD = frame(bytes((0, 3, 0, 40)) + bytes.fromhex("3f800000" * 10))


def make(**options: Any) -> Sps30:
    return Sps30(Sps30Options(**options))


def read(data: bytes) -> list[Any]:
    driver = make()
    request = next(iter(driver.requests()))
    assert request.data == QUESTION
    return list(driver.on_reply(request, data))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: PolledCase) -> None:
    outcomes = play(make(**case.options), case)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_cases_reach_every_quantity_and_the_page_names_everything() -> None:
    assert {name for case in CASES for name, _, _ in case.readings} == set(Sps30.info.quantities)
    page = (FOLDER / "sps30" / "README.md").read_text(encoding="utf-8")
    for word in (*Sps30.info.quantities, *Sps30Options.model_fields, Sps30.info.document):
        assert word in page


# -- frames -------------------------------------------------------------------------------------


def test_the_frames_of_the_data_sheet() -> None:
    assert frame(b"\x00\x00\x02\x01\x03").hex() == "7e0000020103f97e"
    assert frame(b"\x00\x01\x00").hex() == "7e000100fe7e"
    assert frame(b"\x00\x03\x00") == QUESTION
    assert frame(b"\x00\x11\x00").hex() == "7e007d3100ee7e"  # the command itself is stuffed


@pytest.mark.parametrize("seed", range(10))
def test_stuffing_there_and_back(seed: int) -> None:
    source = random.Random(seed)
    data = bytes(source.choice(b"\x7e\x7d\x11\x13\x5d\x5e\x31\x33\x00") for _ in range(60))
    whole = frame(bytes((0, 3, 0, len(data))) + data)
    assert not set(whole[1:-1]) & {0x7E, 0x11, 0x13}
    reply = find_reply(b"\x00\x7e\x01" + whole + b"\x7e", 0, 3)
    assert reply is not None
    assert reply.data == data
    command = read_command(frame(bytes((0, 0x80, len(data))) + data))
    assert command is not None
    assert command[2] == data


def test_an_answer_is_whole_with_its_last_flag() -> None:
    assert {reply_size(GOOD[:end], 0, 3) for end in range(len(GOOD))} == {None}
    assert reply_size(GOOD, 0, 3) == len(GOOD)
    assert reply_size(frame(b"\x00\x00\x00\x00") + GOOD, 0, 3) == 7 + len(GOOD)
    assert reply_size(GOOD, 1, 3) is None


# -- damage -------------------------------------------------------------------------------------


def test_no_damage_makes_a_reading() -> None:
    source = random.Random(30)
    assert len(readings(read(GOOD))) == 4
    for at in range(len(GOOD)):
        flipped = GOOD[:at] + bytes((GOOD[at] ^ 1 << source.randrange(8),)) + GOOD[at + 1 :]
        for bad in (flipped, GOOD[:at], GOOD[:at] + GOOD[at + 1 :]):
            outcomes = read(bad)
            assert readings(outcomes) == []
            assert len(outcomes) == 1
            assert isinstance(outcomes[0], Fault)


@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_never_raise(seed: int) -> None:
    source = random.Random(seed)
    driver = make(cleaning_interval_d=1)
    for _ in range(200):
        for request in driver.requests():
            data = source.randbytes(source.randrange(120))
            if request.length != 0:
                data = whole_answer(request, data)
            assert readings(driver.on_reply(request, data)) == []


@pytest.mark.parametrize("digits", ["0.1", "5.2348", "16777216", "3.4028235e38", "1e-45", "-7.5"])
def test_floats_are_written_with_the_fewest_digits(digits: str) -> None:
    stored = struct.unpack(">f", struct.pack(">f", float(digits)))[0]
    again = shortest(stored)
    assert struct.pack(">f", again) == struct.pack(">f", stored)
    assert len(repr(again)) <= len(repr(stored))


# -- a whole life -------------------------------------------------------------------------------


def test_the_simulated_sensor_is_started_and_read() -> None:
    device = SimulatedSps30(1)
    driver = make()
    assert isinstance(driver, Polled)
    outcomes = simulate(driver, device, 30)
    assert device.measuring
    assert faults(outcomes) == []
    assert len(readings(outcomes)) == 4 * 29
    assert len({value for _, value, _ in readings(outcomes)}) > 40


def test_the_same_seed_gives_the_same_answers() -> None:
    def life(seed: int) -> list[Any]:
        return simulate(make(), SimulatedSps30(seed), 10)

    assert life(1) == life(1)
    assert life(1) != life(2)


def test_the_cleaning_interval_is_set_once_and_again_after_a_restart() -> None:
    device = SimulatedSps30(1)
    driver = make(cleaning_interval_d=2)
    simulate(driver, device, 3)
    assert device.cleaning_s == 2 * 86400
    device.cleaning_s = 604800
    simulate(driver, device, 3)
    assert device.cleaning_s == 604800  # it is not asked again and again
    device.restart()
    simulate(driver, device, 3)
    assert device.cleaning_s == 2 * 86400


@pytest.fixture
async def sink() -> Recorder:
    return Recorder()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    async with starting() as running:
        yield running


async def test_over_a_wire_it_is_started_and_survives_a_restart(
    tmp_path: Path, sink: Recorder, start: Start
) -> None:
    device = SimulatedSps30(5)
    device.interval_s = 0.02
    simulator = PtySimulator(device, tmp_path / "port")
    transport = SerialBusTransport(port=str(tmp_path / "port"), sink=sink, clock=CLOCK)
    sensor = BusDevice(
        sensor="air",
        port=str(tmp_path / "port"),
        driver=make(),
        lines=Sps30.info.lines,
        interval_s=0.02,
        silence_timeout_s=3600.0,
    )
    transport.add(sensor)
    start(simulator.run)
    await simulator.ready.wait()
    start(transport.run)
    await sink.until(lambda: len(sink.values()) >= 20)
    device.restart()
    await until(lambda: sensor.stats.device_restarts == 1)
    seen = len(sink.values())
    await sink.until(lambda: len(sink.values()) >= seen + 20)
    assert device.measuring
    assert sink.faults() == []


def test_a_question_that_is_not_ours_says_nothing() -> None:
    assert list(make().on_reply(Request(b"\xff", 0), b"")) == []
