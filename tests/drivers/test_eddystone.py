"""Which frames of a beacon are read, and that nothing of the others is."""

import struct

import pytest

from drivers.eddystone import SERVICE
from gateway.driver import Advert
from tests.drivers.driver_cases import faults, make, readings

ADDRESS = "C0:FF:EE:00:00:01"
IBEACON = bytes.fromhex("0215c0ffee0000014000800000000000000100640001c5")
ALTBEACON = bytes.fromhex("beacc0ffee00000140008000000000000001005a0005c400")
UID = bytes.fromhex("00ee00010203040506070809c0ffee0000010000")


def frame(data: bytes, rssi: int = -70) -> Advert:
    return Advert(ADDRESS, rssi, service_data={SERVICE: data})


def maker(data: bytes, company: int = 0x004C) -> Advert:
    return Advert(ADDRESS, -70, manufacturer_data={company: data})


def telemetry(sent: int, tenths: int, millivolts: int = 3000) -> bytes:
    return struct.pack(">BBHhII", 0x20, 0, millivolts, 6784, sent, tenths)


def test_claims_go_by_service_and_by_the_head_of_other_beacons() -> None:
    driver = make("eddystone")
    for ours in (frame(b""), frame(UID), maker(IBEACON), maker(ALTBEACON, 0xFFFF)):
        assert driver.claims(ours)
    for other in (maker(b"\x10\x05"), maker(IBEACON, 0x0499), maker(b""), Advert(ADDRESS, -70)):
        assert not driver.claims(other)


def test_the_same_telemetry_is_yielded_once() -> None:
    driver = make("eddystone")
    heard = [
        telemetry(42, 400),
        UID,
        telemetry(42, 400),
        telemetry(43, 400),
        telemetry(43, 410),
        telemetry(1, 5),
    ]
    assert [len(readings(driver.decode(frame(data)))) for data in heard] == [3, 0, 0, 3, 3, 3]


def test_uptime_is_in_whole_seconds() -> None:
    got = [value for name, value, _ in readings(make("eddystone").decode(frame(telemetry(1, 1239))))
           if name == "device.uptime"]  # fmt: skip
    assert got == [123.0]


@pytest.mark.parametrize("advert", [frame(UID), maker(IBEACON), maker(ALTBEACON, 0x0118)])
def test_what_identifies_a_beacon_says_at_most_that_it_was_heard(advert: Advert) -> None:
    assert list(make("eddystone").decode(advert)) == []
    driver = make("eddystone", {"rssi": True})
    for _ in range(2):
        assert readings(driver.decode(advert)) == [("device.rssi", -70.0, ())]


def test_a_frame_that_cannot_be_read_brings_no_signal_strength() -> None:
    driver = make("eddystone", {"rssi": True})
    for data in (b"", b"\x20", b"\x20\x01" + bytes(16), b"\x50"):
        outcomes = list(driver.decode(frame(data)))
        assert len(faults(outcomes)) == len(outcomes) == 1
