"""Which advertisements are a RuuviTag's, and which of them say something new."""

import struct

from gateway.driver import Advert
from tests.drivers.driver_cases import make, readings

ADDRESS = "C0:FF:EE:00:00:01"


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
        bytes.fromhex(ADDRESS.replace(":", "")),
    )


def advert(data: bytes, company: int = 0x0499) -> Advert:
    return Advert(ADDRESS, -70, manufacturer_data={company: data})


def test_claims_go_by_company_and_format() -> None:
    driver = make("ruuvi")
    assert driver.claims(advert(payload(20.0, 1)))
    assert driver.claims(advert(b"\x05"))
    assert not driver.claims(advert(b"\x06" + payload(20.0, 1)[1:]))
    assert not driver.claims(advert(payload(20.0, 1), company=0x004C))
    assert not driver.claims(advert(b""))
    assert not driver.claims(Advert(ADDRESS, -70))


def test_a_measurement_is_known_by_its_sequence_and_not_by_its_values() -> None:
    driver = make("ruuvi")
    heard = [payload(20.0, 1), payload(20.0, 1), payload(20.0, 2), payload(20.0, 1)]
    counts = [len(readings(driver.decode(advert(data)))) for data in heard]
    assert counts == [4, 0, 4, 4]
    fresh = make("ruuvi")
    assert len(readings(fresh.decode(advert(payload(20.0, 1))))) == 4


def test_the_first_sequence_number_is_not_taken_for_a_repeated_one() -> None:
    for sequence in (0, 1, 0xFFFE):
        assert len(readings(make("ruuvi").decode(advert(payload(20.0, sequence))))) == 4
