"""Which messages of a Victron device are read, and what keeps its key to itself."""

import struct

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from pydantic import ValidationError

from drivers.victron import Victron, VictronOptions
from drivers.victron.records import RECORDS
from gateway.driver import Advert
from gateway.reading import Fault
from tests.drivers.driver_cases import faults, make, readings

ADDRESS = "C0:FF:EE:00:00:01"
KEY = "3b1d5c0f8a6e472914d7b0c3e5f69a82"
PLAIN = bytes.fromhex("04006c050e000300130000fe")


def message(counter: int, plain: bytes = PLAIN, kind: int = 1, key: str = KEY) -> Advert:
    secret = bytes.fromhex(key)
    cipher = Cipher(AES(secret), CTR(counter.to_bytes(16, "little"))).encryptor()
    head = struct.pack("<BBHBHB", 0x10, 2, 0xA053, kind, counter, secret[0])
    return Advert(ADDRESS, -70, manufacturer_data={0x02E1: head + cipher.update(plain)})


def heard(*counters: int) -> list[bool]:
    """Tell which of one device's messages gave readings."""
    driver = make("victron", {"key": KEY})
    return [bool(readings(driver.decode(message(counter)))) for counter in counters]


def test_claims_go_by_company_and_kind_of_advertisement() -> None:
    driver = make("victron")
    assert driver.claims(message(1))
    assert driver.claims(Advert(ADDRESS, -70, manufacturer_data={0x02E1: b"\x10"}))
    for data in (b"", b"\x02" + PLAIN):
        assert not driver.claims(Advert(ADDRESS, -70, manufacturer_data={0x02E1: data}))
    assert not driver.claims(Advert(ADDRESS, -70, manufacturer_data={0x0499: b"\x10"}))
    assert not driver.claims(Advert(ADDRESS, -70))


def test_every_counter_is_opened_as_counter_mode_does() -> None:
    """All bytes of the counter are part of the nonce, and all of a block is opened."""
    plain = bytes(range(16))
    for counter in (0, 1, 0xFF, 0x100, 0xFFFE, 0xFFFF):
        advert = message(counter, plain)
        sealed = advert.manufacturer_data[0x02E1][8:]
        key = make("victron", {"key": KEY})._key
        assert key.open(counter, sealed) == int.from_bytes(plain, "little")
        assert key.open(counter, sealed) == int.from_bytes(plain, "little")


def test_a_record_may_be_longer_than_what_is_known_of_it() -> None:
    driver = make("victron", {"key": KEY})
    got = readings(driver.decode(message(1, PLAIN + b"\xff" * 4)))
    assert got == readings(make("victron", {"key": KEY}).decode(message(1)))
    assert faults(driver.decode(message(2, PLAIN + b"\xff" * 5))) == ["unknown"]


@pytest.mark.parametrize("kind", RECORDS)
def test_a_record_is_read_when_its_last_bit_is_there(kind: int) -> None:
    needed = -(-RECORDS[kind].bits // 8)
    for length in range(needed):
        driver = make("victron", {"key": KEY})
        assert faults(driver.decode(message(1, bytes(length), kind))) == ["short"]
    driver = make("victron", {"key": KEY})
    outcomes = list(driver.decode(message(1, bytes(needed), kind)))
    assert outcomes
    assert not {"short", "unknown"} & set(faults(outcomes))


@pytest.mark.parametrize("kind", RECORDS)
def test_no_field_lies_beyond_the_end_of_its_record(kind: int) -> None:
    record = RECORDS[kind]
    for field in record.fields:
        assert field.start + field.bits <= record.bits
        assert all(0 <= raw < 1 << field.bits for raw in field.missing)


def test_a_message_is_known_by_its_counter() -> None:
    assert heard(5, 5, 6, 5, 6, 7) == [True, False, True, False, False, True]
    assert heard(65535, 0, 1, 65535) == [True, True, True, False]
    assert heard(0) == [True]


def test_a_device_that_began_anew_is_believed_with_its_fourth_message() -> None:
    assert heard(900, 1, 2, 2, 3, 4, 5) == [True, False, False, False, False, True, True]


def test_old_messages_are_not_believed_while_the_device_goes_on() -> None:
    assert heard(900, 1, 2, 901, 3, 902, 4, 5, 6, 902, 7) == [
        True, False, False, True, False, True, False, False, False, False, False,
    ]  # fmt: skip
    assert heard(900, 4, 3, 2, 1, 2, 3) == [True, *[False] * 6]


def test_a_message_that_cannot_be_read_does_not_use_up_its_counter() -> None:
    driver = make("victron", {"key": KEY})
    assert faults(driver.decode(message(1, PLAIN[:-1]))) == ["short"]
    assert faults(driver.decode(message(1, key="3c" + KEY[2:]))) == ["key_wrong"]
    assert readings(driver.decode(message(1)))


def test_the_key_is_not_shown() -> None:
    options = VictronOptions(key=KEY)
    assert KEY not in repr(options)
    outcomes = [*Victron(VictronOptions()).decode(message(1)), *Victron(options).decode(
        message(2, key="3c" + KEY[2:]))]  # fmt: skip
    assert faults(outcomes) == ["key_missing", "key_wrong"]
    assert all(isinstance(each, Fault) and not each.sample for each in outcomes)


@pytest.mark.parametrize("key", ["", "12", KEY + "00", "g" * 32])
def test_a_key_of_another_form_is_refused(key: str) -> None:
    with pytest.raises(ValidationError):
        VictronOptions(key=key)
