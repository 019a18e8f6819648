"""Which advertisements are a Ruuvi device's, and which of them say something new."""

import struct

from gateway.driver import Advert
from gateway.reading import Flag, Measured
from tests.drivers.driver_cases import make, readings

ADDRESS = "C0:FF:EE:00:00:01"
OWN = bytes.fromhex(ADDRESS.replace(":", ""))
PATIENCE = 32


def payload(temperature: float, sequence: int) -> bytes:
    return struct.pack(
        ">BhHHhhhHBH6s",
        5,
        round(temperature * 200),
        20_000,
        51_325,
        0,
        0,
        1000,
        1400 << 5 | 22,
        0,
        sequence,
        OWN,
    )


def format_3(whole: int, hundredths: int, acceleration: int = 0) -> bytes:
    return struct.pack(">BBBBHhhhH", 3, 100, whole, hundredths, 51_325, acceleration, 0, 1000, 3000)


def format_6(number: int, flags: int = 0) -> bytes:
    head = struct.pack(
        ">BhHHHHBBBBBB", 6, 4000, 20_000, 51_325, 50, 500, 1, 1, 9, 255, number, flags
    )
    return head + OWN[3:]


def format_e1(number: int, flags: int = 0) -> bytes:
    head = struct.pack(">BhHHHHHHHBB", 0xE1, 4000, 20_000, 51_325, 40, 50, 60, 70, 500, 1, 1)
    numbers = (100).to_bytes(3, "big") + b"\xff" * 3 + number.to_bytes(3, "big")
    return head + numbers + bytes((flags,)) + b"\xff" * 5 + OWN


def advert(data: bytes, company: int = 0x0499) -> Advert:
    return Advert(ADDRESS, -70, manufacturer_data={company: data})


def heard(*payloads: bytes) -> list[int]:
    """Return how many readings one device's advertisements gave, each."""
    driver = make("ruuvi")
    return [len(readings(driver.decode(advert(data)))) for data in payloads]


def test_claims_go_by_company_and_format() -> None:
    driver = make("ruuvi")
    assert driver.claims(advert(payload(20.0, 1)))
    for known in (b"\x03", b"\x05", b"\x06", b"\xe1"):
        assert driver.claims(advert(known))
    assert not driver.claims(advert(b"\x08" + payload(20.0, 1)[1:]))
    assert not driver.claims(advert(payload(20.0, 1), company=0x004C))
    assert not driver.claims(advert(b""))
    assert not driver.claims(Advert(ADDRESS, -70))


def test_a_measurement_is_known_by_its_sequence_and_not_by_its_values() -> None:
    assert heard(payload(20.0, 1), payload(20.0, 1), payload(20.0, 2), payload(20.0, 1)) == [
        4, 0, 4, 4,
    ]  # fmt: skip
    assert heard(payload(20.0, 1)) == [4]


def test_the_first_sequence_number_is_not_taken_for_a_repeated_one() -> None:
    for sequence in (0, 1, 0xFFFE):
        assert heard(payload(20.0, sequence)) == [4]
    assert heard(format_6(0)) == [8]
    assert heard(format_e1(0)) == [11]


def test_format_3_has_no_number_and_so_its_whole_payload_is_it() -> None:
    first, moved = format_3(20, 5), format_3(20, 5, acceleration=1)
    assert heard(first, first, moved, first) == [4, 0, 4, 4]


def test_a_tag_that_changes_its_format_is_heard_at_once() -> None:
    assert heard(format_3(20, 5), payload(20.05, 3), format_3(20, 5)) == [4, 4, 4]


def test_format_6_is_passed_over_while_e1_is_heard() -> None:
    assert heard(format_e1(0x10001), format_6(1), format_6(2), format_e1(0x10002)) == [11, 0, 0, 11]


def test_format_6_is_believed_again_when_e1_stays_away() -> None:
    counts = heard(format_e1(0x10001), *(format_6(number) for number in range(2, PATIENCE + 4)))
    assert counts == [11, *[0] * PATIENCE, 8, 8]


def test_one_measurement_in_both_formats_is_yielded_once() -> None:
    assert heard(format_6(1), format_e1(0x10001), format_e1(0x10002)) == [8, 0, 11]


def test_values_are_flagged_while_the_device_calibrates_itself() -> None:
    for calibrating, complete in (
        (format_6(1, flags=1), format_6(1, flags=0xD0)),
        (format_e1(1, flags=1), format_e1(1, flags=0xC0)),
    ):
        for data, flags in ((calibrating, Flag.CALIBRATING), (complete, 0)):
            outcomes = list(make("ruuvi").decode(advert(data)))
            assert outcomes
            assert {each.flags for each in outcomes if isinstance(each, Measured)} == {flags}


def test_light_of_format_6_is_what_the_document_computes() -> None:
    for code, light in ((0, 0.0), (1, 0.04), (0x10, 1.01), (0xD9, 13_026.67), (0xFE, 65_535.0)):
        data = bytearray(format_6(1))
        data[13] = code
        got = {
            name: value for name, value, _ in readings(make("ruuvi").decode(advert(bytes(data))))
        }
        assert got["light.illuminance"] == light
