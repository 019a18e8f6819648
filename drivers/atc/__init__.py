"""Xiaomi and Qingping thermometers with the firmware of ATC1441 or pvvx, in its own formats.

Written from atc1441/ATC_MiThermometer, "Advertising format of the custom firmware", and
pvvx/ATC_MiThermometer, "Bluetooth Advertising Formats", with the structures of its custom_beacon.h
for the encrypted ones. The firmware's format BTHome is read by the driver ``bthome``.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from pydantic import BaseModel, ConfigDict, Field

from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["SERVICE", "Atc", "AtcOptions"]

SERVICE = "0000181a-0000-1000-8000-00805f9b34fb"
SERVICE_HEADER = b"\x16\x1a\x18"
"""How the service data begins on air: its AD type and the short UUID; both are in the nonce."""
ASSOCIATED = b"\x11"
TAG_BYTES = 4
COUNTER_BYTES = 1
ATC1441 = struct.Struct(">6shBBHx")
"""Address, temperature, humidity, battery, its voltage, packet counter."""
PVVX = struct.Struct("<6shHHBx")
"""Address, temperature, humidity, battery's voltage, battery, packet counter; then its flags."""
PVVX_SEALED = struct.Struct("<hHBx")
ATC_SEALED = struct.Struct("<BBB")
BATTERY_MASK = 0x7F
"""The upper bit says that the trigger output is on."""
KEY_PATTERN = "^[0-9A-Fa-f]{32}$"
LIMITS: Mapping[str, tuple[float, float]] = {
    "air.temperature": (-40.0, 85.0),
    "air.humidity": (0.0, 100.0),
    "device.battery": (0.0, 100.0),
    "device.voltage": (1.6, 3.65),
}
"""Those of the thermometers' sensors and chips."""

Values = tuple[tuple[str, float], ...]


class AtcOptions(BaseModel):
    """What can be set for one thermometer; the key is a secret, in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bindkey: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Encryption key of the thermometer, 32 hexadecimal digits.",
    )
    rssi: bool = Field(
        default=False, description="Also yield the signal strength of each measurement."
    )


class _Plain(NamedTuple):
    """One format in clear: how its address stands in it, and what reads it."""

    reverse: bool
    values: Callable[[bytes], Values]


def _atc1441(data: bytes) -> Values:
    _, temperature, humidity, battery, millivolts = ATC1441.unpack(data)
    return _measured(temperature / 10, float(humidity), battery, millivolts)


def _pvvx(data: bytes) -> Values:
    _, temperature, humidity, millivolts, battery = PVVX.unpack_from(data)
    return _measured(temperature / 100, humidity / 100, battery, millivolts)


def _pvvx_sealed(data: bytes) -> Values:
    temperature, humidity, battery = PVVX_SEALED.unpack(data)
    return _measured(temperature / 100, humidity / 100, battery)


def _atc_sealed(data: bytes) -> Values:
    temperature, humidity, battery = ATC_SEALED.unpack(data)
    return _measured(temperature / 2 - 40, humidity / 2, battery & BATTERY_MASK)


def _measured(
    temperature: float, humidity: float, battery: int, millivolts: int | None = None
) -> Values:
    values: Values = (
        ("air.temperature", temperature),
        ("air.humidity", humidity),
        ("device.battery", float(battery)),
    )
    return values if millivolts is None else (*values, ("device.voltage", millivolts / 1000))


PLAIN: Mapping[int, _Plain] = {
    ATC1441.size: _Plain(reverse=False, values=_atc1441),
    PVVX.size: _Plain(reverse=True, values=_pvvx),
    PVVX.size + 1: _Plain(reverse=True, values=_pvvx),
}
"""By the length of the service data; pvvx goes without its flags where there is no trigger."""
SEALED: Mapping[int, Callable[[bytes], Values]] = {
    COUNTER_BYTES + ATC_SEALED.size + TAG_BYTES: _atc_sealed,
    COUNTER_BYTES + PVVX_SEALED.size + TAG_BYTES: _pvvx_sealed,
}


class Atc:
    """Yields temperature, humidity and battery of one thermometer.

    It repeats each packet; the same one again says nothing. One instance serves one thermometer.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="atc",
        title="Xiaomi and Qingping thermometers with ATC1441 or pvvx firmware (custom formats)",
        domain="air",
        quantities=(*LIMITS, "device.rssi"),
        # ATC1441 sends a new packet each minute, pvvx each 2.5 s or so.
        interval_s=60.0,
        secrets=("bindkey",),
        document="ATC_MiThermometer, Advertising format of the custom firmware",
    )
    Options: ClassVar[type[BaseModel]] = AtcOptions

    def __init__(self, options: AtcOptions) -> None:
        self._with_rssi = options.rssi
        key = options.bindkey
        self._cipher = AESCCM(bytes.fromhex(key), tag_length=TAG_BYTES) if key else None
        self._last = b""

    def claims(self, advert: Advert) -> bool:
        """Tell whether there is service data of environmental sensing, whatever its length."""
        return SERVICE in advert.service_data

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its packet is the last one again."""
        data = advert.service_data.get(SERVICE)
        if data is None or (data and data == self._last):
            return ()
        values = self._values(advert.address, data)
        if isinstance(values, Fault):
            return (values,)
        self._last = data
        outcomes: list[Outcome] = []
        for quantity, value in values:
            lowest, highest = LIMITS[quantity]
            if lowest <= value <= highest:
                outcomes.append(Measured(quantity, value))
            else:
                outcomes.append(Fault("range", f"{quantity} beyond the device's range"))
        if self._with_rssi:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _values(self, address: str, data: bytes) -> Values | Fault:
        own = bytes.fromhex(address.replace(":", ""))
        plain = PLAIN.get(len(data))
        if plain is not None:
            if not data.startswith(own[::-1] if plain.reverse else own):
                return Fault("unknown", "not the thermometer's own address inside")
            if self._cipher is not None:
                # Anybody may have sent it.
                return Fault("unknown", "not encrypted although there is a bindkey")
            return plain.values(data)
        sealed = SEALED.get(len(data))
        if sealed is None:
            return Fault("unknown", f"{len(data)} bytes of environmental sensing")
        opened = self._open(own, data)
        return opened if isinstance(opened, Fault) else sealed(opened)

    def _open(self, own: bytes, data: bytes) -> bytes | Fault:
        """Return what is encrypted; the nonce is the address and the head of the AD structure."""
        if self._cipher is None:
            return Fault("key_missing", "the thermometer encrypts: needs bindkey")
        size = len(SERVICE_HEADER) + len(data)
        nonce = own[::-1] + bytes((size,)) + SERVICE_HEADER + data[:COUNTER_BYTES]
        try:
            return self._cipher.decrypt(nonce, data[COUNTER_BYTES:], ASSOCIATED)
        except InvalidTag:
            return Fault("key_wrong", "bindkey does not fit this packet")
