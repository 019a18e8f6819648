"""ATC1441 and pvvx: which advertisements are theirs, copies, keys, and damage."""

import random
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from drivers.atc import SERVICE
from gateway.driver import Advert
from gateway.reading import Fault
from tests.drivers.driver_cases import faults, make, readings

ADDRESS = "C0:FF:EE:00:00:01"
OWN = bytes.fromhex(ADDRESS.replace(":", ""))
KEY = "00112233445566778899aabbccddeeff"
MUTATIONS = 3000


def advert(data: bytes, address: str = ADDRESS) -> Advert:
    return Advert(address, -60, service_data={SERVICE: data})


def pvvx(counter: int, hundredths: int = 2000) -> bytes:
    return OWN[::-1] + struct.pack("<hHHBBB", hundredths, 5000, 3000, 90, counter, 4)


def sealed(counter: int, hundredths: int = 2000, key: str = KEY) -> bytes:
    nonce = OWN[::-1] + bytes((14, 0x16, 0x1A, 0x18, counter))
    content = struct.pack("<hHBB", hundredths, 5000, 90, 0)
    secret = AESCCM(bytes.fromhex(key), tag_length=4).encrypt(nonce, content, b"\x11")
    return bytes((counter,)) + secret


def test_claims_go_by_service() -> None:
    driver = make("atc")
    assert driver.claims(advert(pvvx(1)))
    assert driver.claims(advert(b""))
    assert not driver.claims(Advert(ADDRESS, -60, manufacturer_data={0x181A: pvvx(1)}))


@pytest.mark.parametrize("options", [{}, {"bindkey": KEY}])
def test_a_packet_is_known_by_its_bytes(options: dict[str, str]) -> None:
    make_packet = sealed if options else pvvx
    driver = make("atc", options)
    packets = [make_packet(number % 256) for number in range(300) for _ in range(3)]
    said = [len(readings(driver.decode(advert(packet)))) for packet in packets]
    assert said == [3 if options else 4, 0, 0] * 300


def test_a_fault_comes_with_each_packet_and_a_good_one_is_not_lost_behind_it() -> None:
    driver = make("atc", {"bindkey": KEY})
    wrong = sealed(1, key="f" * 32)
    assert faults(driver.decode(advert(wrong))) == ["key_wrong"]
    assert faults(driver.decode(advert(wrong))) == ["key_wrong"]
    assert len(readings(driver.decode(advert(sealed(1))))) == 3


def test_another_s_packet_is_not_taken_for_the_thermometer_s_own() -> None:
    outcomes = list(make("atc").decode(advert(pvvx(1), address="C0:FF:EE:00:00:02")))
    assert faults(outcomes) == ["unknown"]
    assert OWN.hex() not in repr(outcomes)
    other = make("atc", {"bindkey": KEY}).decode(advert(sealed(1), address="C0:FF:EE:00:00:02"))
    assert faults(other) == ["key_wrong"]


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(type(make("atc")).Options(bindkey=KEY))


@pytest.mark.parametrize("key", ["", KEY])
def test_damaged_packets_raise_nothing_and_invent_nothing(key: str) -> None:
    source = random.Random(9)
    driver = make("atc", {"bindkey": key} if key else {})
    said = 0
    for number in range(MUTATIONS):
        good = sealed(number % 256) if key else pvvx(number % 256)
        changed = bytearray(good)
        for _ in range(source.randrange(1, 4)):
            changed[source.randrange(len(changed))] = source.randrange(256)
        data = bytes(changed[: source.randrange(len(changed) + 1)])
        if data == good:
            continue
        outcomes = list(driver.decode(advert(data)))
        assert all(each.sample == b"" for each in outcomes if isinstance(each, Fault))
        for quantity, value, _ in readings(outcomes):
            said += 1
            assert -40 <= value <= 100, quantity
    assert (said == 0) == bool(key)  # what is not encrypted is not protected either
