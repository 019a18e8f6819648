"""What others do with the same advertisements: libraries used directly, and bleak's own scanner."""

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus

from drivers.ble_ha.heard import STEP_S, Heard
from drivers.ble_ha.parsers import library
from gateway.driver import Advert
from tests.benchmarks.advert_street import Signal

__all__ = ["bleak_alone", "has_package", "library_alone", "theengs_alone"]

Play = Callable[[], object]


def has_package(package: str) -> bool:
    """Tell whether a package of the family is installed."""
    return bool(package) and importlib.util.find_spec(package.replace("-", "_")) is not None


def library_alone(
    package: str,
    options: Mapping[str, str],
    adverts: Sequence[Advert],
    before: Sequence[Advert],
) -> Play:
    """Return what gives advertisements to the parser of a package, one parser a device.

    What Home Assistant's scanner would make of each is made beforehand, and costs nothing here.
    """
    key = {name: bytes.fromhex(text) for name, text in options.items()}
    make = library(package).make
    parsers = {advert.address: make(**key) for advert in adverts}
    given = [
        (parsers[advert.address].update, Heard(advert, number * STEP_S))
        for number, advert in enumerate((*before, *adverts))
    ]
    for update, heard in given[: len(before)]:
        update(heard)
    del given[: len(before)]

    def play() -> object:
        for update, heard in given:
            last = update(heard)
        return last.entity_values

    return play


def theengs_alone(adverts: Sequence[Advert]) -> Play | None:
    """Return what gives them to TheengsDecoder, None if it is not installed or does not know them.

    The JSON texts that it wants are made beforehand, and cost nothing here.
    """
    if importlib.util.find_spec("TheengsDecoder") is None:
        return None
    decode: Any = importlib.import_module("TheengsDecoder").decodeBLE
    texts = [json.dumps(_theengs(advert)) for advert in adverts]
    if not decode(texts[0]):
        return None

    def play() -> object:
        for text in texts:
            last = decode(text)
        return last

    return play


def _theengs(advert: Advert) -> dict[str, Any]:
    found: dict[str, Any] = {"id": advert.address, "name": advert.name, "rssi": advert.rssi}
    for company, data in advert.manufacturer_data.items():
        found["manufacturerdata"] = (company.to_bytes(2, "little") + data).hex()
    for uuid, data in advert.service_data.items():
        found["servicedatauuid"] = uuid[4:8]
        found["servicedata"] = data.hex()
    return found


def bleak_alone(signals: Sequence[Signal]) -> Play:
    """Return what lets bleak's own scanner dress these up for a callback."""

    def play() -> object:
        scanner = BleakScannerBlueZDBus(lambda _device, _data: None, None, "active", bluez={})
        scanner.seen_devices = {}
        for path, props in signals:
            scanner._handle_advertising_data(path, props)  # type: ignore[arg-type]
        return scanner.seen_devices

    return play
