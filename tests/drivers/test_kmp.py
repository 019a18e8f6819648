"""Kamstrup KMP: the words of its document, the captures, damage of every kind."""

import json
import random
from typing import Any

import pytest

from drivers.kmp import Kmp, KmpOptions
from drivers.kmp.link import answer_length, build, crc16, find_payload
from drivers.kmp.simulated import SimulatedKmp
from gateway.driver import Outcome, Polled
from gateway.quantities import registry
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.driver_cases import faults, readings
from tests.drivers.polled_cases import PolledCase, ask_all, polled_cases
from tests.shared_material import shared

CASES = polled_cases("kmp")
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def make() -> Kmp:
    return Kmp(KmpOptions())


def answer(data: bytes) -> list[Outcome]:
    driver = make()
    (request,) = driver.requests()
    return list(driver.on_reply(request, data))


@each_case
def test_case(case: PolledCase) -> None:
    outcomes = ask_all(Kmp(KmpOptions(**case.options)), case.talk)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_cases_reach_every_quantity() -> None:
    reached = {name for case in CASES for name, _, _ in case.readings}
    assert reached == set(Kmp.info.quantities)
    assert reached <= registry().keys()
    assert isinstance(make(), Polled)


@each_case
def test_the_length_of_an_answer_is_known_as_soon_as_it_is_whole(case: PolledCase) -> None:
    for _, data in case.talk:
        if data[:1] == b"\x40" and data[-1:] == b"\x0d":
            assert answer_length(data) == len(data)
            assert {answer_length(data[:end]) for end in range(len(data))} == {None}


def test_no_end_is_waited_for_without_limit() -> None:
    assert answer_length(b"\x40" + b"\x00" * 400) is None
    assert answer_length(b"\x40" + b"\x00" * 1100) == 1101


@each_case
def test_one_lost_or_changed_byte_invents_nothing(case: PolledCase) -> None:
    source = random.Random(str(case))
    for _, data in case.talk:
        whole = readings(answer(data))
        if case.faults == ["checksum"]:
            continue  # the change might mend it
        for index in range(len(data)):
            changed = bytearray(data)
            changed[index] ^= 1 << source.randrange(8)
            for damaged in (data[:index] + data[index + 1 :], bytes(changed), data[:index]):
                got = readings(answer(damaged))
                assert got in ([], whole)


def test_any_bytes_are_taken() -> None:
    source = random.Random(6)
    for _ in range(3000):
        body = source.randbytes(source.randrange(60))
        for data in (body, build(0x40, b"\x3f\x10" + body), b"\x40" + body + b"\x0d"):
            for outcome in answer(data):
                if isinstance(outcome, Measured):
                    assert outcome.quantity in Kmp.info.quantities
                    assert abs(outcome.value) <= 1e12
                else:
                    assert isinstance(outcome, Fault)
                    assert outcome.kind in FAULT_KINDS
                    assert outcome.sample == b""


def test_the_sum_is_that_of_the_document() -> None:
    assert crc16(bytes.fromhex("3f0201234567")) == 0xE956
    assert crc16(b"123456789") == 0x31C3


def test_the_five_bytes_are_stuffed_and_back() -> None:
    payload = bytes.fromhex("3f10 80400d061b 00")
    frame = build(0x40, payload)
    assert frame[0] == 0x40
    assert frame[-1] == 0x0D
    assert not set(frame[1:-1]) & {0x80, 0x40, 0x0D, 0x06}
    assert find_payload(frame) == (payload, [])


def test_the_simulated_meter_is_read() -> None:
    driver, device = make(), SimulatedKmp(7)
    energies = set()
    for _ in range(50):
        (request,) = driver.requests()
        said = b"".join(device.receive(bytes((byte,))) for byte in request.data)
        outcomes = list(driver.on_reply(request, said))
        assert faults(outcomes) == []
        assert len(outcomes) == 6
        energies.add(readings(outcomes)[0][1])
    assert len(energies) > 10
    assert device.emit() == b""


def test_the_same_seed_gives_the_same_bytes() -> None:
    (request,) = make().requests()

    def said(seed: int) -> list[bytes]:
        device = SimulatedKmp(seed)
        return [device.receive(request.data) for _ in range(5)]

    assert said(3) == said(3) != said(4)


EXPECTED = {
    "PyKMP broken CRC": ["checksum"],
    "truncated": ["short"],
}
QUESTIONS = "a question, not an answer: only our own words came back"
OTHERS = "an answer to a question that we never ask"
NOT_ASKED = "register 128 is none of ours: no reading"


def captures() -> list[Any]:
    path = shared("captures", "kamstrup_kmp.json")
    if path is None:
        absent = pytest.mark.skip(reason="the captures are not beside this checkout")
        return [pytest.param({}, marks=absent)]
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    return [
        pytest.param(frame, id=f"{n}-{f['kind']}") for n, f in enumerate(frames) for frame in [f]
    ]


@pytest.mark.parametrize("frame", captures())
def test_capture(frame: dict[str, Any]) -> None:
    data = bytes.fromhex(frame["hex"])
    outcomes = answer(data)
    expected = frame["expected"]
    assert readings(outcomes) == []
    if "error" in expected:
        assert faults(outcomes) == EXPECTED[frame["kind"]]
    elif "serial" in expected or "frames" in expected:
        assert faults(outcomes) == ["unknown"], OTHERS
        payload, _ = find_payload(data)
        assert payload is not None
        assert int.from_bytes(payload[2:], "big") == 19088743
    elif "register" in expected:
        assert outcomes == [], NOT_ASKED
        payload, _ = find_payload(data)
        assert payload is not None
        assert payload[2:] == bytes.fromhex("0080 16 04 11 012af024")
    else:
        assert faults(outcomes) == ["echo"], QUESTIONS
        swapped, _ = find_payload(b"\x40" + data[1:])
        if "data_link" in expected:
            assert swapped is None or swapped.hex() == expected["data_link"]
        else:
            assert swapped is not None
