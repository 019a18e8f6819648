"""When an Aranet says something new, and how old it is."""

import struct

from gateway.driver import Advert
from gateway.reading import Flag, Measured
from tests.drivers.driver_cases import faults, make, readings

ADDRESS = "C0:FF:EE:00:00:01"
INTEGRATIONS = 0x21


def aranet4(counter: int, age_s: int = 0, co2: int = 812, state: int = INTEGRATIONS) -> Advert:
    data = struct.pack(
        "<BBBHBBBHHHBBBHHB",
        state,
        *(19, 4, 1, 12, 15, 1),
        *(co2, 431, 10132, 41, 88, 1, 300),
        age_s,
        counter,
    )
    return advert(data)


def radon(temperature: int, humidity: int) -> Advert:
    head = bytes((3, INTEGRATIONS, 6, 4, 1, 0, 0, 0))
    return advert(
        head + struct.pack("<HHHHBBBHHB", 7, temperature, 10185, humidity, 0, 9, 1, 9, 9, 9)
    )


def advert(data: bytes, company: int = 0x0702) -> Advert:
    return Advert(ADDRESS, -70, manufacturer_data={company: data})


def heard(*adverts: Advert) -> list[int]:
    driver = make("aranet")
    return [len(readings(driver.decode(each))) for each in adverts]


def test_claims_go_by_company() -> None:
    driver = make("aranet")
    assert driver.claims(advert(b""))
    assert not driver.claims(advert(b"\x21", company=0x0499))
    assert not driver.claims(Advert(ADDRESS, -70))


def test_a_measurement_is_as_old_as_the_device_says() -> None:
    outcomes = list(make("aranet").decode(aranet4(7, age_s=295)))
    assert {each.age_s for each in outcomes if isinstance(each, Measured)} == {295.0}


def test_a_measurement_is_known_by_its_counter_however_old_it_is() -> None:
    assert heard(aranet4(7, 4), aranet4(7, 9), aranet4(8, 0), aranet4(8, 60)) == [5, 0, 5, 0]
    assert heard(aranet4(0), aranet4(255)) == [5, 5]


def test_the_same_counter_with_other_values_is_another_measurement() -> None:
    """256 measurements later, or after the battery was changed."""
    assert heard(aranet4(7), aranet4(7, co2=813)) == [5, 5]


def test_somebody_who_connects_makes_no_new_measurement() -> None:
    assert heard(aranet4(7), aranet4(7, state=0x20), aranet4(7, state=0x28)) == [5, 0, 0]


def test_co2_is_flagged_while_it_is_calibrated() -> None:
    for state, flag in ((0x21, 0), (0x25, Flag.CALIBRATING), (0x29, Flag.CALIBRATING)):
        outcomes = list(make("aranet").decode(aranet4(7, state=state)))
        flags = {each.quantity: each.flags for each in outcomes if isinstance(each, Measured)}
        assert flags.pop("air.co2") == flag
        assert set(flags.values()) == {0}


def test_a_failed_calibration_is_told_each_time_that_it_happens() -> None:
    driver = make("aranet")
    states = (0x2D, 0x2D, 0x21, 0x2D)
    told = [faults(driver.decode(aranet4(7, state=state))) for state in states]
    assert told == [["device_error"], [], [], ["device_error"]]


def test_a_device_that_gets_new_firmware_says_nothing() -> None:
    assert heard(aranet4(7, state=INTEGRATIONS | 0x10), aranet4(7)) == [0, 5]


def test_a_radon_monitor_without_climate_sensors_has_zeros() -> None:
    assert len(readings(make("aranet").decode(radon(0, 0)))) == 3
    assert len(readings(make("aranet").decode(radon(0, 462)))) == 5
    assert len(readings(make("aranet").decode(radon(510, 0)))) == 5


def test_what_has_another_length_is_no_measurement() -> None:
    whole = aranet4(7).manufacturer_data[0x0702]
    for length in range(len(whole)):
        assert len(faults(make("aranet").decode(advert(whole[:length])))) == 1
    assert faults(make("aranet").decode(advert(whole + bytes(3)))) == ["unknown"]
