"""Meters that are read on request: rounds of questions, answers cut anywhere, and damage."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.iec62056 import Iec62056, Iec62056Options
from drivers.iec62056.message import decode, identification_end, message_end
from drivers.iec62056.simulated import SimulatedIec62056
from gateway.driver import Outcome, Polled, Request
from gateway.reading import Fault
from tests.drivers.driver_cases import FOLDER, faults, readings
from tests.shared_material import shared

CASES = sorted((FOLDER / "iec62056" / "testcases").glob("*.json"))
SIGN_ON = b"/?!\r\n"
IDENTIFICATION = b"/TST5TEST\r\n"


def driver(speed: int | str = 300) -> Iec62056:
    return Iec62056(Iec62056Options.model_validate({"speed": speed}))


def message(*lines: str) -> bytes:
    body = "".join(f"{line}\r\n" for line in [*lines, "!"]).encode() + b"\x03"
    check = 0
    for byte in body:
        check ^= byte
    return b"\x02" + body + bytes((check,))


def play(device: Polled, talk: list[dict[str, str]]) -> list[Outcome]:
    """Play rounds until no answer is left; the questions must be those of the case."""
    outcomes: list[Outcome] = []
    answers: Iterator[dict[str, str]] = iter(talk)
    left = len(talk)
    while left:
        for request in device.requests():
            answer = next(answers)
            assert request.data.hex() == answer["request"]
            outcomes += device.on_reply(request, bytes.fromhex(answer["hex"]))
            left -= 1
    return outcomes


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_its_test_cases(path: Path) -> None:
    case: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    device = Iec62056(Iec62056Options.model_validate(case["options"]))
    assert isinstance(device, Polled)
    outcomes = play(device, case["input"])
    assert readings(outcomes) == [
        (quantity, value, tuple(dims.items())) for quantity, value, dims in case["readings"]
    ]
    assert faults(outcomes) == case["faults"]
    assert {quantity for quantity, _, _ in readings(outcomes)} <= set(device.info.quantities)


def test_the_test_cases_reach_every_quantity() -> None:
    cases = [json.loads(path.read_text(encoding="utf-8")) for path in CASES]
    reached = {reading[0] for case in cases for reading in case["readings"]}
    assert reached == set(driver().info.quantities)


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (identification_end, IDENTIFICATION),
        (identification_end, b"noise" + IDENTIFICATION),
        (identification_end, b"/TSTxTEST\r\n" + message("1.8.0(1*kWh)")),
        (message_end, message("1.8.0(1*kWh)", "2.8.0(1*kWh)")),
        (message_end, b"\x00\xff" + message("1.8.0(1*kWh)")),
    ],
)
def test_an_answer_is_whole_only_at_its_end(
    end: Callable[[bytes], int | None], answer: bytes
) -> None:
    assert [end(answer[:size]) for size in range(len(answer))] == [None] * len(answer)
    assert end(answer) == len(answer)


def test_an_answer_that_never_ends_is_given_up() -> None:
    assert identification_end(b"x" * 100) is not None
    assert message_end(b"\x02" + b"x" * 9000) is not None


def after(device: Iec62056, identification: bytes) -> Request | None:
    requests = iter(device.requests())
    first = next(requests)
    assert (first.data, first.reply_baud) == (SIGN_ON, None)
    assert list(device.on_reply(first, identification)) == []
    return next(requests, None)


@pytest.mark.parametrize(("speed", "digit"), [(300, b"0"), (2400, b"3"), (9600, b"5")])
def test_the_meter_is_asked_to_stay_at_the_speed_of_the_line(speed: int, digit: bytes) -> None:
    request = after(driver(speed), IDENTIFICATION)
    assert request is not None
    assert request.data == b"\x060" + digit + b"0\r\n"
    assert request.reply_baud is None


@pytest.mark.parametrize(
    ("letter", "baud"),
    [("0", 300), ("1", 600), ("2", 1200), ("3", 2400), ("4", 4800), ("5", 9600), ("6", 19200)],
)
def test_the_proposed_speed_is_accepted_and_followed(letter: str, baud: int) -> None:
    request = after(driver("proposed"), f"/TST{letter}TEST\r\n".encode())
    assert request is not None
    assert request.data == f"\x060{letter}0\r\n".encode()
    assert request.reply_baud == baud


@pytest.mark.parametrize("letter", ["7", "8", "9"])
def test_a_speed_that_is_not_defined_is_not_accepted(letter: str) -> None:
    request = after(driver("proposed"), f"/TST{letter}TEST\r\n".encode())
    assert request is not None
    assert request.data == b"\x06000\r\n"
    assert request.reply_baud is None


@pytest.mark.parametrize("speed", ["proposed", 300])
@pytest.mark.parametrize(
    ("letter", "baud"),
    [("A", 600), ("B", 1200), ("C", 2400), ("D", 4800), ("E", 9600), ("F", 19200)],
)
def test_a_meter_of_mode_b_is_followed_without_a_word(
    letter: str, baud: int, speed: int | str
) -> None:
    request = after(driver(speed), f"/TST{letter}TEST\r\n".encode())
    assert request is not None
    assert request.data == b""
    assert request.reply_baud == baud


def test_after_a_failed_sign_on_nothing_is_asked() -> None:
    device = driver()
    for answer in (b"", b"junk", b"/TSTGTEST\r\n"):
        requests = iter(device.requests())
        assert faults(device.on_reply(next(requests), answer))
        assert next(requests, None) is None


READOUT = message("F.F(00)", "1.8.0(001234.567*kWh)", "2.8.0(000012.345*kWh)", "32.7(231.0*V)")


def test_one_lost_byte_invents_nothing() -> None:
    expected = readings(decode(READOUT))
    assert len(expected) == 3
    for lost in range(len(READOUT)):
        got = readings(decode(READOUT[:lost] + READOUT[lost + 1 :]))
        assert got == [] or (lost == 0 and got == expected), lost


def test_a_wrong_parity_bit_is_not_taken_off() -> None:
    even = bytes(byte | 0x80 if byte.bit_count() & 1 else byte for byte in READOUT)
    assert readings(decode(even)) == readings(decode(READOUT))
    for place in range(1, len(even)):
        damaged = bytearray(even)
        damaged[place] ^= 0x80
        assert readings(decode(bytes(damaged))) == [], place


@pytest.mark.parametrize("line", ["6.8(1.5*m3)", "6.26(1.5*kWh)", "0.2.2(12345678)", "C.1.2(FF)"])
def test_what_is_not_yielded(line: str) -> None:
    assert decode(message(line)) == []


def test_damage_and_random_answers_raise_nothing_and_invent_nothing() -> None:
    source = random.Random(11)
    expected = set(readings(decode(READOUT)))
    for _ in range(5000):
        damaged = bytearray(READOUT)
        damaged[source.randrange(len(damaged))] ^= 1 << source.randrange(8)
        assert set(readings(decode(bytes(damaged)))) <= expected
        text = bytes(source.choices(b"0123456789.:*-()kWhMVAF/!\r\n\x02\x03&", k=60))
        device = driver()
        for request in device.requests():
            answer = source.choice([text, IDENTIFICATION, message(text.decode()), b""])
            for outcome in device.on_reply(request, answer):
                assert not isinstance(outcome, Fault) or outcome.sample == b""


def test_no_identifier_leaves_the_decoder() -> None:
    lines = ("0.0.0(SECRET42)", "C.1.0(SECRET42)", "1.8.0(SECRET42*kWh)", "9.21(SECRET42)")
    outcomes = play(
        driver(),
        [
            {"request": SIGN_ON.hex(), "hex": b"/TSTGSECRET42\r\n".hex()},
            {"request": SIGN_ON.hex(), "hex": b"SECRET42\r\n".hex()},
            {"request": SIGN_ON.hex(), "hex": b"/TST5SECRET42\r\n".hex()},
            {"request": b"\x06000\r\n".hex(), "hex": message(*lines).hex()},
        ],
    )
    assert faults(outcomes) == ["unknown", "noise", "unknown"]
    assert "SECRET" not in repr(outcomes)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 100])
def test_the_simulated_meter_answers_and_counts(seed: int, size: int) -> None:
    device, meter = driver("proposed"), SimulatedIec62056(seed)
    registers = []
    for _ in range(30):
        for request in device.requests():
            answer = b""
            for start in range(0, len(request.data), size):
                answer += meter.receive(request.data[start : start + size])
            assert callable(request.length)
            assert request.length(answer) == len(answer)
            outcomes = list(device.on_reply(request, answer))
            assert faults(outcomes) == []
            registers += [v for q, v, _ in readings(outcomes) if q == "energy.active_import"]
    assert len(registers) == 30
    assert registers == sorted(registers)
    assert registers[0] < registers[-1]


def test_the_simulated_meter_answers_nothing_else() -> None:
    meter = SimulatedIec62056(1)
    assert meter.receive(b"\x06000\r\n") == b""
    assert meter.receive(b"junk") == b""
    assert meter.emit() == b""
    assert meter.receive(SIGN_ON) != b""
    assert meter.receive(b"\x16000\r\n") == b""
    assert meter.receive(b"\x06030\r\n") == b"", "it did not propose 2400 baud"
    assert meter.receive(b"\x06000\r\n") != b""


RECORDED = {
    ("energy.active_import", ()): 1234.567,
    ("energy.active_export", ()): 12.345,
    ("electric.voltage", (("phase", "L1"),)): 231.0,
    ("electric.current", (("phase", "L1"),)): 1.2,
}


def test_the_readouts_of_the_captures() -> None:
    path = shared("captures", "iec62056_21_mode_c.json")
    if path is None:
        pytest.skip("the captures are not beside this checkout")
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    got = {f["kind"]: decode(bytes.fromhex(f["hex"])) for f in frames if "hex" in f}
    assert faults(got.pop("bad BCC")) == ["checksum"]
    assert len(got) == 2
    for outcomes in got.values():
        assert {(q, dims): value for q, value, dims in readings(outcomes)} == RECORDED
