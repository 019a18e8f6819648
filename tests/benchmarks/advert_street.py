"""The devices of a street for the benchmarks of advertisements: sensors, and phones that pass."""

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from gateway.driver import Advert, Beacon, driver_class, simulator_class

__all__ = ["KINDS", "Kind", "Signal", "adverts_of", "beacon", "phones", "signal_of", "tags"]

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
BTHOME_KEY = "231d39c1d7cc1ab1aee224cd096db932"
ENCRYPTED = 0x41
APPLE = 0x004C
PATIENCE = 10
"""Emissions until a device that sends each packet several times has another one."""

Signal = tuple[str, dict[str, Any]]
"""What bleak hands over: the path of the device, and its properties."""


class Kind(NamedTuple):
    """One kind of sensor, read by a driver of ours and perhaps by a library."""

    driver: str
    options: Mapping[str, str] = {}
    package: str = ""
    """Of the Bluetooth-Devices family; empty if none of the tests' packages reads it."""


KINDS: Mapping[str, Kind] = {
    "ruuvi": Kind("ruuvi", package="ruuvitag-ble"),
    "bthome": Kind("bthome", package="bthome-ble"),
    "bthome encrypted": Kind("bthome", {"bindkey": BTHOME_KEY}, package="bthome-ble"),
    "atc": Kind("atc"),
    "aranet": Kind("aranet"),
    "victron": Kind("victron", getattr(simulator_class("victron"), "OPTIONS", {})),
}


@cache
def _class_of(driver: str) -> Any:
    return driver_class(driver)


@cache
def _model_of(driver: str) -> Any:
    return simulator_class(driver)


def tags(number: int) -> list[str]:
    """Return the addresses of so many sensors."""
    return [f"C4:7F:51:00:00:{each:02X}" for each in range(number)]


def beacon(driver: str, options: Mapping[str, str]) -> Beacon:
    """Return a driver for one sensor; it has heard nothing yet."""
    cls = _class_of(driver)
    found: Beacon = cls(cls.Options.model_validate(dict(options)))
    return found


def adverts_of(kind: str, seed: int, address: str, number: int) -> list[Advert]:
    """Return so many packets of one device, each once and none like the one before."""
    model = _model_of(KINDS[kind].driver)(seed, address)
    found: list[Advert] = []
    while len(found) < number:
        for _ in range(PATIENCE):
            advert = model.emit()
            if not found or _content(advert) != _content(found[-1]):
                break
        found.append(advert)
    if kind == "bthome encrypted":
        return [_sealed(advert, counter) for counter, advert in enumerate(found, 1)]
    return found


def _content(advert: Advert) -> object:
    return advert.manufacturer_data, advert.service_data


def _sealed(advert: Advert, counter: int) -> Advert:
    """Return a packet of BTHome as a device with a key sends it."""
    head, number = bytes([ENCRYPTED]), counter.to_bytes(4, "little")
    nonce = bytes.fromhex(advert.address.replace(":", "")) + b"\xd2\xfc" + head + number
    plain = advert.service_data[BTHOME][1:]
    sealed = AESCCM(bytes.fromhex(BTHOME_KEY), tag_length=4).encrypt(nonce, plain, None)
    data = head + sealed[:-4] + number + sealed[-4:]
    return replace(advert, service_data={BTHOME: data})


def phones(number: int, each: int) -> Iterator[Advert]:
    """Yield what phones send: addresses and contents that nobody here knows."""
    rng = random.Random(3)
    for _ in range(each):
        for phone in range(number):
            address = f"5A:12:34:56:{phone >> 8:02X}:{phone & 255:02X}"
            yield Advert(address, rssi=-70, manufacturer_data={APPLE: rng.randbytes(16)})


def signal_of(advert: Advert) -> Signal:
    """Return what bleak hands over of an advertisement."""
    path = f"/org/bluez/hci0/dev_{advert.address.replace(':', '_')}"
    return path, {
        "Address": advert.address,
        "AddressType": "random",
        "Adapter": "/org/bluez/hci0",
        "Alias": advert.name,
        "Name": advert.name,
        "RSSI": advert.rssi,
        "UUIDs": list(advert.service_uuids),
        "ManufacturerData": dict(advert.manufacturer_data),
        "ServiceData": dict(advert.service_data),
    }
