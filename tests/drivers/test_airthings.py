"""What the test cases of Airthings cannot say: what is asked, when, and a small part of CBOR."""

import math
import struct
from dataclasses import replace

import pytest

from drivers.airthings import SELF_CHECK_EVERY, Airthings, atom, wave
from drivers.airthings.cbor import CborError, decode, encode_text
from gateway.driver import Advert, NoOptions
from gateway.reading import Fault, Measured
from tests.drivers.connected_cases import ConnectedCase, Peer, connected_cases, uuid
from tests.drivers.driver_cases import faults, readings

ADVERT = Advert("C0:FF:EE:00:00:01", -60, manufacturer_data={0x0334: bytes(6)})
CASES = {case.name: case for case in connected_cases() if case.driver == "airthings"}


def driver() -> Airthings:
    return Airthings(NoOptions())


def test_it_is_due_at_once_and_then_not_within_a_minute() -> None:
    assert driver().due(ADVERT, None)
    assert not driver().due(ADVERT, 59.9)
    assert driver().due(ADVERT, 60.0)


async def test_the_model_is_asked_once_and_the_battery_once_an_hour() -> None:
    case = CASES["wave_plus"]
    ours = driver()
    asked: list[str] = []
    written: list[tuple[str, bytes]] = []
    for _ in range(SELF_CHECK_EVERY + 1):
        peer = Peer(case)
        await ours.read(peer)
        asked += peer.asked
        written += peer.written
    assert asked.count(uuid("2a24")) == 1
    assert asked.count(uuid("b42e2a68")) == SELF_CHECK_EVERY + 1
    assert written == [(uuid("b42e2d06"), b"\x6d")] * 2


async def test_a_connection_that_breaks_at_the_self_check_costs_no_value() -> None:
    class Breaking(Peer):
        async def write(self, characteristic: str, data: bytes) -> None:
            raise ConnectionError("gone")

    outcomes = list(await driver().read(Breaking(CASES["wave_mini"])))
    assert [each.quantity for each in outcomes if isinstance(each, Measured)] == [
        "air.temperature",
        "air.pressure",
        "air.humidity",
        "air.tvoc_mole_fraction",
    ]
    assert faults(outcomes) == ["device_error"]


async def test_a_model_that_has_not_what_it_should_have_is_a_lost_connection() -> None:
    case = replace(CASES["wave_plus"], characteristics={uuid("2a24"): b"2930"})
    with pytest.raises(ConnectionError):
        await driver().read(Peer(case))


async def test_each_request_has_its_own_number_and_only_its_answer_counts() -> None:
    ours = driver()
    case = CASES["wave_enhance"]
    first, second = Peer(case), Peer(case)
    assert readings(await ours.read(first)) == case.readings
    outcomes = list(await ours.read(second))  # the answer to the first one again
    assert [each for each in outcomes if isinstance(each, Measured)] == []
    assert faults(outcomes) == ["unknown"]
    assert first.written == [(uuid("b42eb73a"), atom.request(0))]
    assert second.written == [(uuid("b42eb73a"), atom.request(1))]


def test_a_request_is_what_the_maker_sends() -> None:
    assert atom.request(0xA1B2) == bytes.fromhex("0301a1b281a1006d") + b"29999/0/31012"


async def test_a_temperature_just_below_zero_is_one_where_humidity_shows_a_measurement() -> None:
    data = struct.pack("<4B8H", 1, 60, 0, 0, 0xFFFF, 0xFFFF, 0xFFFE, 0xFFFF, 0xFFFF, 0xFFFF, 0, 0)
    assert readings(wave.readings(uuid("b42e4dcc"), data)) == [
        ("air.humidity", 30.0, ()),
        ("air.temperature", -0.02, ()),
    ]


@pytest.mark.parametrize(
    ("data", "item"),
    [
        ("17", 23),
        ("1818", 24),
        ("1903e8", 1000),
        ("1b000000e8d4a51000", 10**12),
        ("29", -10),
        ("3903e7", -1000),
        ("43010203", b"\x01\x02\x03"),
        ("6161", "a"),
        ("80", []),
        ("820102", [1, 2]),
        ("a201020304", {1: 2, 3: 4}),
        ("f6", None),
        ("f5", None),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
    ],
)
def test_cbor(data: str, item: object) -> None:
    """The bytes are those of RFC 8949, appendix A."""
    assert decode(bytes.fromhex(data)) == item
    for size in range(len(data) // 2):
        with pytest.raises(CborError):
            decode(bytes.fromhex(data)[:size])


@pytest.mark.parametrize(
    "data",
    [
        *("c11a514b67b0", "5f42010243030405ff", "9fff", "f0", "f818", "1c", "0000", "8181818100"),
        *("a18001", "9a00ffffff", "bb7fffffffffffffff", "5bffffffffffffffff"),
    ],
)
def test_other_cbor_is_refused(data: str) -> None:
    with pytest.raises(CborError):
        decode(bytes.fromhex(data))


def test_a_text_in_cbor() -> None:
    assert decode(encode_text("29999/0/31012")) == "29999/0/31012"
    with pytest.raises(ValueError, match="24"):
        encode_text("x" * 24)


def test_a_number_that_is_none_is_out_of_range() -> None:
    (outcome,) = atom.readings(answer_with(struct.pack(">Bd", 0xFB, math.nan)), 0)
    assert isinstance(outcome, Fault)
    assert outcome.kind == "range"


def answer_with(pressure: bytes) -> bytes:
    values = b"\xa1\x63PRS" + pressure
    whole = b"\x81\xa2\x00" + encode_text("29999/0/31012") + b"\x02"
    return b"\x03\x45\x00\x00" + whole + bytes((0x58, len(values))) + values


def test_there_is_a_case_for_each_model() -> None:
    models = {case.characteristics[uuid("2a24")].decode() for case in CASES.values()}
    assert models >= {*wave.WAVES, "3210", "3220", "3250"}
    assert isinstance(CASES["wave_plus"], ConnectedCase)
