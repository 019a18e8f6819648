"""Wired M-Bus: the standard's words, the captures, the search of a bus, damage of every kind."""

import json
import random
import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from drivers.mbus import Mbus, MbusOptions
from drivers.mbus.link import answer_length, long_frame, reset_link
from drivers.mbus.records import BadRecords, parse_records
from drivers.mbus.search import Search
from drivers.mbus.simulated import SimulatedMbus
from gateway.driver import Outcome, Polled, Request
from gateway.quantities import registry
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.driver_cases import faults, readings
from tests.drivers.polled_cases import PolledCase, ask_all, polled_cases
from tests.shared_material import shared

CASES = polled_cases("mbus")
DATA = Request(b"", None, tag="data")
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def make(**options: Any) -> Mbus:
    return Mbus(MbusOptions(**options))


def answer(data: bytes) -> list[Outcome]:
    return list(make().on_reply(DATA, data))


@each_case
def test_case(case: PolledCase) -> None:
    outcomes = ask_all(make(**case.options), case.talk)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_cases_reach_every_quantity() -> None:
    reached = {name for case in CASES for name, _, _ in case.readings}
    assert reached == set(Mbus.info.quantities)
    assert reached <= registry().keys()


@each_case
def test_a_second_round_says_the_same(case: PolledCase) -> None:
    driver = make(**case.options)
    assert ask_all(driver, case.talk) == ask_all(driver, case.talk)


@each_case
def test_the_length_of_an_answer_is_known_as_soon_as_it_is_whole(case: PolledCase) -> None:
    for _, data in case.talk:
        if data[:1] != b"\x68" or data[1] != len(data) - 6:
            continue
        assert answer_length(data) == len(data)
        assert all(answer_length(data[:end]) in (None, len(data)) for end in range(len(data)))


def test_no_end_is_waited_for_without_limit() -> None:
    assert answer_length(b"\x00" * 400) is None
    assert answer_length(b"\x00" * 600) == 600


@each_case
def test_one_lost_or_changed_byte_invents_nothing(case: PolledCase) -> None:
    source = random.Random(str(case))
    for _, data in case.talk:
        whole = set(readings(answer(data)))
        for index in range(len(data)):
            changed = bytearray(data)
            changed[index] ^= 1 << source.randrange(8)
            for damaged in (data[:index] + data[index + 1 :], bytes(changed), data[:index]):
                if sum(damaged[4:-2]) & 0xFF != sum(data[4:-2]) & 0xFF or len(damaged) < 9:
                    assert set(readings(answer(damaged))) <= whole
                check(answer(damaged))


def test_any_bytes_are_taken() -> None:
    source = random.Random(6)
    for _ in range(3000):
        body = source.randbytes(source.randrange(60))
        check(answer(long_frame(0x08, 1, 0x72, body)))
        header = bytes(7) + bytes((source.choice((2, 3, 4, 7, 0x0A, 0x1B)), 0, 0, 0, 0))
        check(answer(long_frame(0x08, 1, 0x72, header + body)))
        check(answer(body))


def check(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert outcome.quantity in Mbus.info.quantities
            assert abs(outcome.value) <= 1e12
        else:
            assert isinstance(outcome, Fault)
            assert outcome.kind in FAULT_KINDS


def test_it_is_a_polled_driver_and_hides_the_number_of_the_meter() -> None:
    assert isinstance(make(), Polled)
    damaged = bytearray(long_frame(8, 5, 0x72, bytes.fromhex("2091831400000804010000000c")))
    assert b"\x20\x91" not in b"".join(
        each.sample for each in answer(bytes(damaged)) if isinstance(each, Fault)
    )


def test_telegrams_are_limited() -> None:
    endless = long_frame(8, 5, 0x72, bytes(12) + b"\x1f")
    driver = make(address=5, telegrams=3)
    asked = []
    for request in driver.requests():
        asked.append(request.data[1])
        list(driver.on_reply(request, endless))
    assert asked == [0x40, 0x7B, 0x5B, 0x7B]


@pytest.mark.parametrize(
    "options",
    [
        {"address": 5, "secondary": "14839120"},
        {"secondary": "1483912"},
        {"secondary": "1483912A"},
        {"address": 255},
        {"telegrams": 0},
        {"adress": 5},
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MbusOptions(**options)


def test_a_number_written_without_quotes_keeps_its_zeros() -> None:
    assert MbusOptions.model_validate({"secondary": 182007}).secondary == "00182007"


@pytest.mark.parametrize(
    "records", ["0c", "0c14", "8c", "8c808080808080808080808000", "04fd", "0dc9"]
)
def test_records_that_do_not_fit_are_refused(records: str) -> None:
    with pytest.raises(BadRecords):
        parse_records(bytes.fromhex(records))


def test_numbers_of_any_length_and_sign() -> None:
    data = "0d13 c2 3412 0d13 d2 3412 0d13 e3 ffffff 0e13 563412000000 0713 ffffffffffffffff"
    records, more = parse_records(bytes.fromhex(data))
    assert [record.value for record in records] == [1234, -1234, -1, 123456, -1]
    assert not more


def test_storage_tariff_and_subunit_are_put_together() -> None:
    (record,), _ = parse_records(bytes.fromhex("cc915006 01000000"))
    assert (record.storage, record.tariff, record.subunit) == (3, 5, 2)


# -- the search of a bus ------------------------------------------------------------------------


def search(devices: list[SimulatedMbus]) -> list[dict[str, object]]:
    """Answer as a bus does: several answers at once are a mess, but for equal ones."""
    steps = Search()
    answer_ = b""
    asked = 0
    while (request := steps.next_request(answer_)) is not None:
        asked += 1
        answers = [found for device in devices if (found := device.receive(request.data))]
        if len(set(answers)) <= 1:
            answer_ = answers[0] if answers else b""
        else:
            answer_ = bytes(a & b for a, b in zip(*answers[:2], strict=False))
    assert asked < 1000
    return [dict(found) for found in steps.found]


def test_a_silent_bus_is_given_up_at_once() -> None:
    steps = Search()
    first = steps.next_request()
    assert first is not None
    assert first.data == reset_link(254)
    assert steps.next_request(b"") is None
    assert steps.found == []


def test_all_addresses_are_found() -> None:
    devices = [SimulatedMbus(seed, address) for seed, address in ((1, 1), (2, 17), (3, 250))]
    assert search(devices) == [{"address": 1}, {"address": 17}, {"address": 250}]


def test_meters_without_an_address_are_found_by_their_numbers() -> None:
    devices = [SimulatedMbus(seed, 0) for seed in (1, 2, 3, 4)]
    found = search([*devices, SimulatedMbus(9, 33)])
    assert found[0] == {"address": 33}
    assert {str(each["secondary"]) for each in found[1:]} == {each.number for each in devices}
    for options in found:
        MbusOptions.model_validate(options)


# -- simulated ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["address", "anybody", "number"])
def test_the_simulated_meter_is_read(by: str) -> None:
    device = SimulatedMbus(7)
    options: dict[str, dict[str, Any]] = {
        "address": {"address": 5},
        "anybody": {},
        "number": {"secondary": device.number},
    }
    driver = make(**options[by])
    energies = set()
    for _ in range(50):
        outcomes: list[Outcome] = []
        for request in driver.requests():
            outcomes += driver.on_reply(request, device.receive(request.data))
        assert faults(outcomes) == []
        names = [name for name, _, _ in readings(outcomes)]
        assert len(names) == len(set(names)) == 6
        energies.add(readings(outcomes)[0][1])
    assert len(energies) > 10
    assert device.emit() == b""


def test_the_same_seed_gives_the_same_bytes() -> None:
    talk = [request.data for request in make().requests()]

    def said(seed: int) -> list[bytes]:
        device = SimulatedMbus(seed)
        return [device.receive(data) for data in talk * 3]

    assert said(3) == said(3) != said(4)


def test_the_simulated_meter_takes_frames_in_pieces_and_between_noise() -> None:
    device = SimulatedMbus(7)
    assert [device.receive(bytes((byte,))) for byte in b"\xff\x16" + reset_link(5)][-1] == b"\xe5"
    assert device.receive(reset_link(6)) == b""


# -- captures -----------------------------------------------------------------------------------

SILENT = {
    "captured LGB_G350.hex": "it shows only a stored value (storage 1), of an unknown time",
}
ERRORS = {
    "libmbus error-frames/application_busy.hex": "device_error",
    "libmbus error-frames/buffer_too_long.hex": "device_error",
    "libmbus error-frames/error.hex": "device_error",
    "libmbus error-frames/premature_end_of_record.hex": "device_error",
    "libmbus unsupported-frames/invalid_length.hex": "noise",
    "libmbus unsupported-frames/invalid_length2.hex": "unknown",
    "bit flip": "checksum",
}
"""The fault of a damaged capture; ``short`` where nothing else stands here."""
OUT_OF_RANGE = {"captured svm_f22_telegram1.hex": 2}
"""Flow and return at 243 degrees Celsius: no sensor is connected."""


def captures() -> list[Any]:
    path = shared("captures", "mbus_wired.json")
    if path is None:
        absent = pytest.mark.skip(reason="the captures are not beside this checkout")
        return [pytest.param({}, marks=absent)]
    frames = json.loads(path.read_text(encoding="utf-8"))["frames"]
    return [pytest.param(frame, id=frame["kind"]) for frame in frames]


def their_values(records: list[dict[str, str]]) -> set[float]:
    """Return all numbers of libmbus that have a unit of ours, converted; rounded to 6 digits."""
    found = set()
    for record in records:
        unit = record.get("Unit", "")
        try:
            number = Fraction(record["Value"])
        except ValueError:
            continue
        words = unit.replace(")", "").rpartition("(")[2].split()
        scale = Fraction(1)
        for word in words:
            scale *= Fraction(word) if re.fullmatch(r"1e-?\d+|10+", word) else 1
            scale *= Fraction(1, 1000) if word == "m" else 1
            scale *= Fraction(1, 10**6) if word == "my" else 1
            scale *= 1000 if word in ("kW", "kWh", "MJ") else 1
        if words and words[-1] in ("Wh", "kWh"):
            scale /= 1000
        found.add(float(f"{float(number * scale):.6g}"))
    return found


@pytest.mark.parametrize("frame", captures())
def test_capture(frame: dict[str, Any]) -> None:
    outcomes = answer(bytes.fromhex(frame["hex"]))
    check(outcomes)
    expected = frame["expected"]
    if "error" in expected:
        assert readings(outcomes) == []
        assert faults(outcomes) == [ERRORS.get(frame["kind"], "short")]
        return
    errors = faults(outcomes)
    assert errors.count("range") == OUT_OF_RANGE.get(frame["kind"], 0)
    assert set(errors) <= {"device_error", "range"}
    assert bool(readings(outcomes)) != (frame["kind"] in SILENT)
    if len(expected.get("records", ())) in (0, 12):
        return  # libmbus is asked about the first twelve records only
    theirs = their_values(expected["records"])
    for name, value, _ in readings(outcomes):
        assert float(f"{value:.6g}") in theirs, (name, value, sorted(theirs))


def test_the_first_capture_value_by_value() -> None:
    first, *_ = captures()
    if not first.values[0]:
        pytest.skip("the captures are not beside this checkout")
    outcomes = answer(bytes.fromhex(first.values[0]["hex"]))
    assert readings(outcomes) == [
        ("heat.energy", 37351.0, ()),
        ("heat.volume", 561.08, ()),
        ("heat.flow_temperature", 101.69, ()),
        ("heat.return_temperature", 46.16, ()),
        ("heat.power", 34700.0, ()),
        ("water.flow", 0.543, ()),
        ("heat.energy", 0.0, (("tariff", "1"),)),
        ("heat.energy", 0.0, (("tariff", "2"),)),
    ]
