"""How the advertisements of a capture reach a decoder: one by one, as their sequence is."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from gateway.driver import Advert, Outcome
from gateway.reading import Measured
from tests.drivers.captures.parts import (
    Cut,
    Difference,
    Family,
    Frame,
    Key,
    Wanted,
    one_each,
)
from tests.drivers.driver_cases import make
from tests.drivers.hci_adverts import advert_of

__all__ = [
    "ADDRESS",
    "advert",
    "by_kind",
    "decoded",
    "differs",
    "heard",
    "heard_once",
    "payload",
    "with_payload",
]

ADDRESS = "00:00:00:00:00:00"

Entry = Mapping[str, Any]


def advert(entry: Entry) -> Advert:
    """Return the advertisement of an entry, of its fields or of the raw event of a controller."""
    if "hex" in entry:
        return advert_of(entry["hex"])
    companies, services = entry.get("manufacturer_data", {}), entry.get("service_data", {})
    return Advert(
        entry.get("address", ADDRESS),
        entry.get("rssi", -60),
        entry.get("name") or "",
        {int(company): bytes.fromhex(data) for company, data in companies.items()},
        {uuid: bytes.fromhex(data) for uuid, data in services.items()},
        tuple(entry.get("service_uuids", ())),
    )


def _payloads(found: Advert) -> Iterable[tuple[int, int | str]]:
    for uuid, data in found.service_data.items():
        yield len(data), uuid
    for company, data in found.manufacturer_data.items():
        yield len(data), company


def payload(entry: Entry) -> bytes:
    """Return the longest payload of an entry: that which is damaged. It may be empty."""
    found = advert(entry)
    _, place = max(_payloads(found), key=lambda each: each[0], default=(0, ""))
    if isinstance(place, int):
        return found.manufacturer_data[place]
    return found.service_data.get(place, b"")


def with_payload(entry: Entry, data: bytes) -> Advert:
    """Return the advertisement of an entry with its longest payload replaced."""
    found = advert(entry)
    _, place = max(_payloads(found), key=lambda each: each[0], default=(0, ""))
    if isinstance(place, int):
        return replace(found, manufacturer_data={**found.manufacturer_data, place: data})
    if place in found.service_data:
        return replace(found, service_data={**found.service_data, place: data})
    return found


def by_kind(entry: Entry) -> str:
    """Return what is a sequence: the advertisements of one kind."""
    return str(entry["kind"])


def differs(reason: str, values: Mapping[Key, float] | None = None, *faults: str) -> Difference:
    """Return a difference: what we give instead, one of each, and the kinds of faults."""
    return Difference(reason, Wanted(one_each(values or {}), frozenset(faults)))


def decoded(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return what a decoder says of an advertisement, after those before it."""
    return _decoded(make(family.driver, family.options(frame)), frame, data)


def heard(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return the same of one that claims whatever it has a reading of."""
    driver = make(family.driver, family.options(frame))
    outcomes = _decoded(driver, frame, data)
    if any(isinstance(each, Measured) for each in outcomes):
        assert driver.claims(with_payload(frame.entry, data))
    return outcomes


def heard_once(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Return the same of one to which an advertisement that is heard again is no news."""
    driver = make(family.driver, family.options(frame))
    outcomes = _decoded(driver, frame, data)
    if data == frame.data:
        again = with_payload(frame.entry, data)
        assert not [each for each in driver.decode(again) if isinstance(each, Measured)]
        assert driver.claims(again) or not outcomes
    return outcomes


def _decoded(driver: Any, frame: Frame, data: bytes) -> list[Outcome]:
    for entry in frame.before:
        driver.decode(advert(entry))
    found = with_payload(frame.entry, data)
    if "rssi" in frame.expected and "hex" in frame.entry:
        assert found.rssi == frame.expected["rssi"]
    return list(driver.decode(found))
