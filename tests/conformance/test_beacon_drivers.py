"""What every driver that reads advertisements is held to, by its test cases."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gateway.driver import Advert, Beacon, Outcome
from gateway.reading import Fault
from tests.conformance.honesty import assert_honest, simulated, simulated_options
from tests.drivers.driver_cases import (
    BEACONS,
    Case,
    all_cases,
    faults,
    info_of,
    make,
    readings,
    restarts,
)

CASES = all_cases(beacons=True)
SIMULATED_STEPS = 300
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def decode(driver: Any, *adverts: Advert) -> list[Outcome]:
    return [outcome for advert in adverts for outcome in driver.decode(advert)]


@each_case
def test_adverts(case: Case) -> None:
    driver = make(case.driver, case.options)
    assert isinstance(driver, Beacon)
    outcomes = decode(driver, *case.adverts)
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults
    assert restarts(outcomes) == case.restarts
    assert_honest(info_of(case.driver, case.options), outcomes)


@each_case
def test_an_advert_that_is_not_claimed_says_nothing(case: Case) -> None:
    driver = make(case.driver, case.options)
    for advert in case.adverts:
        if not driver.claims(advert):
            assert decode(driver, advert) == []


def shortened(advert: Advert) -> Iterator[Advert]:
    """Yield the advertisement with one of its payloads cut off, at every place."""
    for company, data in advert.manufacturer_data.items():
        for end in range(len(data)):
            yield replace(
                advert, manufacturer_data={**advert.manufacturer_data, company: data[:end]}
            )
    for uuid, data in advert.service_data.items():
        for end in range(len(data)):
            yield replace(advert, service_data={**advert.service_data, uuid: data[:end]})


@each_case
def test_a_truncated_advert_holds_no_reading(case: Case) -> None:
    for advert in case.adverts:
        whole = readings(decode(make(case.driver, case.options), advert))
        if not whole:
            continue
        for shorter in shortened(advert):
            got = readings(decode(make(case.driver, case.options), shorter))
            if case.protocol == "objects":
                # Only a number among its equals may be missing.
                assert [each[:2] for each in got] == [each[:2] for each in whole[: len(got)]]
            else:
                assert got == []


@each_case
def test_no_address_leaves_the_decoder(case: Case) -> None:
    outcomes = decode(make(case.driver, case.options), *case.adverts)
    samples = [o.sample for o in outcomes if isinstance(o, Fault)]
    shown = repr(outcomes).encode() + b"".join(samples)
    for secret in make(case.driver).info.secrets:
        assert str(case.options.get(secret, "no such key")).lower().encode() not in shown.lower()
    for advert in case.adverts:
        assert advert.address.lower().encode() not in shown.lower()
        assert not advert.name or advert.name.encode() not in shown
        own = bytes.fromhex(advert.address.replace(":", ""))
        ends = [data[-6:] for data in advert.manufacturer_data.values()]
        for inside in (own, own[::-1], *ends):
            if len(set(inside)) > 1:
                assert inside not in shown
                assert inside.hex().encode() not in shown.lower()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", BEACONS)
def test_simulated_adverts_decode_without_fault(name: str, seed: int) -> None:
    device = simulated(name, seed, "C0:FF:EE:00:00:02")
    adverts = [device.emit() for _ in range(SIMULATED_STEPS)]
    driver = make(name, simulated_options(name))
    assert all(driver.claims(advert) for advert in adverts)
    outcomes = decode(driver, *adverts)
    assert faults(outcomes) == []
    assert len(readings(outcomes)) >= SIMULATED_STEPS
    again = simulated(name, seed, "C0:FF:EE:00:00:02")
    assert [again.emit() for _ in range(SIMULATED_STEPS)] == adverts
