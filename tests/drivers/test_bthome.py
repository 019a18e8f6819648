"""BTHome: every object id, options, counters, and that damage invents nothing."""

import random
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from pydantic import ValidationError

from drivers.bthome import SERVICE, SERVICE_V1, SERVICE_V1_ENCRYPTED, BTHome, BTHomeOptions
from drivers.bthome.objects import MEANINGS, OBJECTS
from gateway.config.model import SensorSection
from gateway.config.secrets import driver_options
from gateway.driver import Advert, Outcome
from gateway.quantities import registry
from gateway.reading import Fault, Measured
from tests.drivers.driver_cases import faults, make, readings

ADDRESS = "C0:FF:EE:00:00:01"
KEY = "00112233445566778899aabbccddeeff"
MUTATIONS = 3000

PUBLISHED = [*range(0x30), *range(0x3A, 0x66), 0xF0, 0xF1, 0xF2]
"""All object ids of the page, and those that the reference implementation knows besides."""
SAYS_ITS_LENGTH = {0x3B, 0x53, 0x54}


def advert(payload: bytes, flags: int = 0x40, rssi: int = -60) -> Advert:
    return Advert(ADDRESS, rssi, service_data={SERVICE: bytes((flags,)) + payload})


def sealed(counter: int, payload: bytes, key: str = KEY, flags: int = 0x41) -> Advert:
    cipher = AESCCM(bytes.fromhex(key), tag_length=4)
    count = counter.to_bytes(4, "little")
    nonce = bytes.fromhex(ADDRESS.replace(":", "")) + b"\xd2\xfc" + bytes((flags,)) + count
    secret = cipher.encrypt(nonce, payload, None)
    return advert(secret[:-4] + count + secret[-4:], flags)


def temperature(value: float) -> bytes:
    return b"\x02" + round(value * 100).to_bytes(2, "little", signed=True)


def heard(driver: Any, adverts: Iterable[Advert]) -> list[float]:
    return [value for each in adverts for _, value, _ in readings(driver.decode(each))]


# -- objects ------------------------------------------------------------------------------------


def test_every_published_object_id_is_known() -> None:
    assert sorted({*OBJECTS, *SAYS_ITS_LENGTH}) == PUBLISHED


@pytest.mark.parametrize("object_id", sorted(set(range(256)) - set(PUBLISHED)))
def test_what_stands_behind_an_unknown_object_is_not_read(object_id: int) -> None:
    outcomes = make("bthome").decode(advert(b"\x01\x5d" + bytes((object_id,)) + temperature(20)))
    assert readings(outcomes) == [("device.battery", 93.0, ())]
    assert faults(outcomes) == ["unknown"]


@pytest.mark.parametrize("object_id", sorted(set(OBJECTS) - {0x00}))
def test_what_stands_behind_a_known_object_is_read(object_id: int) -> None:
    content = bytes(OBJECTS[object_id].length)
    packet = bytes((object_id,)) + content + b"\x2e\x32"
    assert readings(make("bthome").decode(advert(packet)))[-1][:2] == ("air.humidity", 50.0)


def test_the_highest_bits_count() -> None:
    """Signed and unsigned of every size: all bits set is -1, or the highest number."""
    chosen = {name: next(iter(choices)) for name, choices in MEANINGS.items() if name != "count"}
    chosen |= {"count": "people.present", "temperature": "device.temperature"}
    for object_id, known in OBJECTS.items():
        if not known.name:
            continue
        full = b"\xff" * known.length
        driver = make("bthome", {"meanings": chosen, "cumulative": False})
        outcomes = list(driver.decode(advert(bytes((object_id,)) + full)))
        raw = -1 if known.signed else 256**known.length - 1
        times, per = MEANINGS[known.name][chosen[known.name]]
        value = raw * known.times * times / (known.per * per)
        (outcome,) = outcomes
        if isinstance(outcome, Measured):
            assert outcome.value == pytest.approx(value, rel=1e-12)
        else:
            assert isinstance(outcome, Fault)
            assert outcome.kind == "range"
            assert value < 0 or value > 99


def test_what_properties_may_be_is_in_the_registry_and_includes_what_they_usually_are() -> None:
    for known in OBJECTS.values():
        assert known.name in MEANINGS or not known.name
        assert not known.usual or known.usual in MEANINGS[known.name]
    assert {name for known in OBJECTS.values() if (name := known.name)} == set(MEANINGS)
    for choices in MEANINGS.values():
        assert choices.keys() <= registry().keys()


def test_many_of_a_kind_do_not_make_a_series_each() -> None:
    outcomes = make("bthome").decode(advert(temperature(20) * 80))
    assert len(readings(outcomes)) == 16
    assert len({dims for _, _, dims in readings(outcomes)}) == 16


# -- claims and options -------------------------------------------------------------------------


def test_claims_go_by_service() -> None:
    driver = make("bthome")
    for service in (SERVICE, SERVICE_V1, SERVICE_V1_ENCRYPTED):
        assert driver.claims(Advert(ADDRESS, -60, service_data={service: b""}))
    assert not driver.claims(Advert(ADDRESS, -60, manufacturer_data={0xFCD2: b"\x40\x01\x5d"}))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"meanings": {"sped": "wind.speed"}}, "'sped' is no property; there are battery"),
        ({"meanings": {"speed": "wind.sped"}}, "speed cannot be 'wind.sped', only wind.speed"),
        ({"meanings": {"speed": ["wind.speed", "rain.rate"]}}, "speed cannot be 'rain.rate'"),
        ({"meanings": {"": "wind.speed"}}, "'' is no property"),
        ({"bindkey": "00"}, "should match pattern"),
    ],
)
def test_wrong_options_are_explained(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        make("bthome", options)


def test_the_key_is_not_shown() -> None:
    driver = make("bthome", {"bindkey": KEY})
    assert KEY not in repr(type(driver).Options(bindkey=KEY))
    outcomes = [*driver.decode(sealed(1, b"\xfe")), *driver.decode(sealed(2, b"", key="0" * 32))]
    assert faults(outcomes) == ["unknown", "short"]
    assert KEY not in repr(outcomes)


def test_the_key_comes_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "bindkey"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    section = SensorSection.model_validate(
        {
            "name": "yard",
            "driver": "bthome",
            "address": ADDRESS,
            "options": {"bindkey_file": str(file), "meanings": {"count": ["people.count", ""]}},
        }
    )
    driver = BTHome(BTHomeOptions.model_validate(driver_options(section, BTHome).model_dump()))
    assert heard(driver, [sealed(1, temperature(20))]) == [20.0]


# -- copies and recordings ----------------------------------------------------------------------


def test_a_packet_id_may_come_round_again() -> None:
    packets = [advert(bytes((0, number % 256)) + temperature(20)) for number in range(600)]
    assert len(heard(make("bthome"), packets)) == 600


def test_one_packet_over_two_adapters_is_one() -> None:
    packets = [advert(bytes((0, number)) + temperature(20 + number)) for number in range(50)]
    late = [each for a, b in pairwise(packets) for each in (a, b, a, b)]
    assert heard(make("bthome"), late) == [20.0 + number for number in range(50)]


@pytest.mark.parametrize("first", [0, 1, 99, 2**32 - 1])
def test_any_counter_may_be_the_first(first: int) -> None:
    driver = make("bthome", {"bindkey": KEY})
    assert heard(driver, [sealed(first, temperature(20))]) == [20.0]


@pytest.mark.parametrize("begins", [0, 50, 60_000])
def test_a_device_that_begins_anew_is_believed_after_four_messages(begins: int) -> None:
    driver = make("bthome", {"bindkey": KEY})
    assert heard(driver, [sealed(70_000, temperature(20))]) == [20.0]
    anew = [sealed(begins + number, temperature(number)) for number in range(8) for _ in range(3)]
    assert heard(driver, anew) == [3.0, 4.0, 5.0, 6.0, 7.0]


def test_the_counter_may_come_round() -> None:
    driver = make("bthome", {"bindkey": KEY})
    counters = [2**32 - 2, 2**32 - 1, 0, 1, 2, 3, 4]
    assert heard(driver, [sealed(each, temperature(each % 10)) for each in counters]) == [
        4.0,
        5.0,
        3.0,
        4.0,
    ]


@pytest.mark.parametrize("recorded", [range(100), range(500, 600), [5] * 50, range(100, 0, -1)])
def test_recordings_between_the_device_s_own_messages_say_nothing(recorded: Iterable[int]) -> None:
    driver = make("bthome", {"bindkey": KEY})
    assert heard(driver, [sealed(1000, temperature(20))]) == [20.0]
    for number, each in enumerate(recorded):
        assert heard(driver, [sealed(each, temperature(5))]) == []
        if number % 3 == 2:
            assert heard(driver, [sealed(1001 + number, temperature(20))]) == [20.0]
            assert heard(driver, [sealed(1001 + number, temperature(20))]) == []


def test_recordings_in_any_order_but_the_rising_one_say_nothing() -> None:
    driver = make("bthome", {"bindkey": KEY})
    assert heard(driver, [sealed(1000, temperature(20))]) == [20.0]
    backwards = [sealed(each, temperature(5)) for each in range(900, 0, -1)]
    assert heard(driver, backwards) == []


def test_a_forged_counter_changes_nothing() -> None:
    """Only messages that the key opens count."""
    driver = make("bthome", {"bindkey": KEY})
    forged = [sealed(each, temperature(5), key="f" * 32) for each in (2**32 - 1, 1, 2, 3, 4, 5)]
    assert heard(driver, [sealed(1000, temperature(20))]) == [20.0]
    assert heard(driver, forged) == []
    assert heard(driver, [sealed(1001, temperature(21))]) == [21.0]


# -- damage -------------------------------------------------------------------------------------


def mutated(data: bytes, source: random.Random) -> bytes:
    """Return data with a few bytes changed, put in or taken out, or cut off."""
    changed = bytearray(data)
    for _ in range(source.randrange(1, 4)):
        place = source.randrange(len(changed) + 1)
        how = source.randrange(4)
        if how == 0:
            changed.insert(place, source.randrange(256))
        elif how == 1:
            del changed[place:]
        elif place < len(changed):
            changed[place] = source.randrange(256)
    return bytes(changed)


def assert_possible(outcomes: Iterable[Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Measured):
            assert -1e7 <= outcome.value <= 1e9
            assert outcome.quantity != "air.humidity" or 0 <= outcome.value <= 100
            assert outcome.quantity != "air.temperature" or -60 <= outcome.value <= 85
        elif isinstance(outcome, Fault):
            assert outcome.sample == b""


def test_damaged_packets_raise_nothing_and_say_nothing_impossible() -> None:
    source = random.Random(7)
    driver = make("bthome", {"meanings": {"count": "traffic.count", "speed": "wind.speed"}})
    whole = [bytes((i,)) + bytes(OBJECTS[i].length) for i in sorted(OBJECTS)]
    for _ in range(MUTATIONS):
        packet = b"\x40" + b"".join(source.sample(whole, source.randrange(1, 6)))
        service = source.choice((SERVICE, SERVICE, SERVICE_V1, SERVICE_V1_ENCRYPTED))
        data = mutated(packet, source)
        assert_possible(driver.decode(Advert(ADDRESS, -60, service_data={service: data})))


def test_damaged_encrypted_packets_say_nothing_at_all() -> None:
    source = random.Random(8)
    driver = make("bthome", {"bindkey": KEY})
    for number in range(MUTATIONS):
        good = sealed(number, temperature(20)).service_data[SERVICE]
        data = mutated(good, source)
        if data != good:
            outcomes = driver.decode(Advert(ADDRESS, -60, service_data={SERVICE: data}))
            assert readings(outcomes) == []
