"""Any parser of the Bluetooth-Devices family, by the name of its package; an optional extra.

Written against bluetooth-sensor-state-data 1.9 and sensor-state-data 2.20. Nothing of them is
imported before a sensor needs it.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar

from pydantic import BaseModel

from drivers.ble_ha.border import Raised, guarded
from drivers.ble_ha.heard import STEP_S, Heard
from drivers.ble_ha.meanings import QUANTITIES, Meaning, Meanings
from drivers.ble_ha.options import BleHaOptions
from drivers.ble_ha.packages import NUMBERED, is_unsealed
from drivers.ble_ha.parsers import library
from drivers.ble_ha.whose import Whose
from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["BleHa", "BleHaOptions"]

PACKET_ID = "packet_id"
SIGNAL = "signal_strength"
"""The family's base class adds it to each update."""
REMEMBERED = 4
"""Numbered packets that are known again; each is sent several times, some two kinds in turn."""
AUTHENTIC_KEY = 16
NOT_SEALED = "not encrypted although there is a bindkey"
PATIENCE = 16
"""After so many advertisements without any value it is asked whether the device has to be
connected to."""

Content = tuple[Mapping[int, bytes], Mapping[str, bytes]]
Fresh = tuple[Any, Any]
"""A value, and the parser's description of it; None for yes or no."""


class BleHa:
    """Yields of what a package says what the advertisement brought and the registry knows.

    The family's parsers keep all values that they ever saw and hand out all of them each time. What
    an advertisement brought is what was not there before as an object. Events, names and texts are
    passed over. One instance serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ble_ha",
        title="Parsers of the Bluetooth-Devices family: Xiaomi, Govee, Inkbird and others",
        domain="air",
        quantities=(*QUANTITIES, "device.rssi"),
        # Most say each 2 to 10 s how things are, some send each 10 minutes.
        interval_s=60.0,
        secrets=("bindkey",),
        document="bluetooth-sensor-state-data and sensor-state-data",
    )
    Options: ClassVar[type[BaseModel]] = BleHaOptions

    def __init__(self, options: BleHaOptions) -> None:
        found = library(options.package)
        key = {"bindkey": bytes.fromhex(options.bindkey)} if options.bindkey else {}
        self._make = partial(found.make, **key)
        self._package = options.package
        self._has_key = bool(key)
        self._is_authentic = len(key.get("bindkey", b"")) == AUTHENTIC_KEY
        self._with_rssi = options.rssi
        self._parser: Any = self._make()
        self._whose = Whose(found.make)
        self._meanings = Meanings(options.package, options.meanings)
        self._known: dict[tuple[Any, ...], Meaning | None] = {}
        """By what the parser calls a value; there are as many as its devices have values."""
        self._seen: dict[int, Any] = {}
        """The values of the last update by their identity; keeping them keeps it theirs alone."""
        self._packets: deque[Content] = deque(maxlen=REMEMBERED)
        self._key_fits = False
        """The parser decrypted something and knew that it was right."""
        self._time = 0.0
        self._silent = 0
        """Advertisements before the first value."""

    def claims(self, advert: Advert) -> bool:
        """Tell whether the package knows this device, whatever its address."""
        return self._whose.ours(advert)

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return what one advertisement brought; nothing for a numbered packet that is known."""
        content = (advert.manufacturer_data, advert.service_data)
        if self._packets and content in self._packets:
            return ()
        if self._has_key and is_unsealed(self._package, advert, authentic=self._is_authentic):
            return (Fault("unknown", NOT_SEALED),)
        self._time += STEP_S
        heard = Heard(advert, self._time)
        update = guarded(self._parser.update, heard)
        if isinstance(update, Raised):
            self._forget_half_of_it(advert)
            return (Fault("unknown", f"{self._package} cannot read it: {update.error}"),)
        fresh = self._fresh(update)
        if not fresh:
            return self._why_nothing(heard)
        if self._is_numbered(advert, fresh):
            self._packets.append(content)
        if self._has_key and not getattr(self._parser, "decryption_failed", True):
            self._key_fits = True
        outcomes = [one for value, kind in fresh if (one := self._outcome(value, kind)) is not None]
        if self._with_rssi and any(isinstance(outcome, Measured) for outcome in outcomes):
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _fresh(self, update: Any) -> list[Fresh]:
        """Return the values that were not in the update before, but for the signal strength."""
        seen = self._seen
        values = list(update.entity_values.values())
        binary = list(update.binary_entity_values.values())
        self._seen = {id(value): value for value in (*values, *binary)}
        found: list[Fresh] = [
            (value, update.entity_descriptions.get(value.device_key))
            for value in values
            if id(value) not in seen and value.device_key.key != SIGNAL
        ]
        found += [(value, None) for value in binary if id(value) not in seen]
        return found

    def _forget_half_of_it(self, advert: Advert) -> None:
        """Take note of values that a parser took over before it raised: nobody vouches for them.

        An advertisement without content brings nothing and makes the parser show what it has.
        """
        nothing = Heard(Advert(advert.address, advert.rssi), self._time)
        update = guarded(self._parser.update, nothing)
        if isinstance(update, Raised):
            self._parser = self._make()
        else:
            self._fresh(update)

    def _is_numbered(self, advert: Advert, fresh: list[Fresh]) -> bool:
        """Tell whether a packet has a number, so that the same content is the same packet."""
        place = NUMBERED.get(self._package)
        return (
            place in advert.service_data
            or place in advert.manufacturer_data
            or _is_encrypted(self._parser)  # with a counter that must not come twice
            or any(value.device_key.key == PACKET_ID for value, _ in fresh)
        )

    def _outcome(self, value: Any, description: Any) -> Outcome | None:
        """Return what one value is to us, None if nothing; ``description`` is None for a binary."""
        key = value.device_key
        if description is None:
            kind = (key.key, key.device_id, None, None)
        else:
            unit = description.native_unit_of_measurement
            kind = (key.key, key.device_id, description.device_class, unit)
        if kind not in self._known:
            meanings = self._meanings
            self._known[kind] = (
                meanings.of_binary(*kind[:2]) if description is None else meanings.of_sensor(*kind)
            )
        meaning = self._known[kind]
        return None if meaning is None else _outcome(meaning, key.key, value.native_value)

    def _why_nothing(self, heard: Heard) -> Iterable[Outcome]:
        """Return why an advertisement brought nothing, if the parser shows it."""
        parser = self._parser
        if getattr(parser, "downgrade_detected", False):
            return (Fault("unknown", NOT_SEALED),)
        # A parser that decrypts keeps the last advertisement that had something in it.
        if _is_encrypted(parser) and getattr(parser, "last_service_info", None) is heard:
            if not self._has_key:
                return (Fault("key_missing", "encrypted, and there is no bindkey"),)
            # It starts out as failed, and old encryption never shows that it did not.
            verified = getattr(parser, "bindkey_verified", False)
            if getattr(parser, "decryption_failed", False) and (self._key_fits or not verified):
                return (Fault("key_wrong", "the bindkey does not fit"),)
        if any(value.device_key.key != SIGNAL for value in self._seen.values()):
            return ()
        self._silent += 1
        if self._silent % PATIENCE == 0 and _wants_connection(parser, heard):
            return (Fault("unknown", "no values in advertisements: it has to be connected to"),)
        return ()


def _is_encrypted(parser: Any) -> bool:
    scheme = getattr(parser, "encryption_scheme", None)
    return scheme is not None and getattr(scheme, "name", "NONE") != "NONE"


def _wants_connection(parser: Any, heard: Heard) -> bool:
    if getattr(parser, "uses_notify", False):
        return True
    poll_needed = getattr(parser, "poll_needed", None)
    return poll_needed is not None and guarded(poll_needed, heard, None) is True


def _outcome(meaning: Meaning, key: str, value: object) -> Outcome | None:
    """Return the reading in a value; None if it is missing or a word instead of a number."""
    if not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    quantity, dims, conversion, lowest, highest = meaning
    if conversion is None:
        return Fault("unknown", f"{quantity} is not measured in the unit of {key}")
    times, per, plus = conversion
    number = (float(value) + plus) * times / per
    if lowest <= number <= highest:
        return Measured(quantity, number, dims)
    return Fault("range", f"{quantity} beyond what can be")
