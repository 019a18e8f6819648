"""Beacons: the plain telemetry of Eddystone; of iBeacon and AltBeacon no more than being heard.

Written from google/eddystone, "Protocol Specification" and "Unencrypted TLM Frame Specification".
Numbers are big-endian.
"""

import struct
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["APPLE", "SERVICE", "Eddystone", "EddystoneOptions"]

SERVICE = "0000feaa-0000-1000-8000-00805f9b34fb"
APPLE = 0x004C
IBEACON = b"\x02\x15"
ALTBEACON = b"\xbe\xac"
"""How the manufacturer data begins; AltBeacon has any company id."""

TLM = 0x20
IDENTITIES = frozenset({0x00, 0x10, 0x30})
"""Frames that say who a beacon is: UID, URL and EID. Nothing of them is yielded."""
TENTHS = 10
PLAIN, ENCRYPTED = 0x00, 0x01
LAYOUT = struct.Struct(">xxHhII")
"""Battery in mV, temperature in 1/256 degrees, frames and tenths of a second since the start."""
NO_VOLTAGE = 0
NO_TEMPERATURE = -0x8000


class _Limits(NamedTuple):
    """What no beacon can be beyond."""

    lowest: float
    highest: float


VOLTAGE = _Limits(0.001, 30.0)
TEMPERATURE = _Limits(-60.0, 125.0)


class EddystoneOptions(BaseModel):
    """What can be set for one beacon."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rssi: bool = Field(
        default=False,
        description="Also yield the signal strength of each advertisement, whatever its kind: all "
        "that there is of an iBeacon.",
    )


class Eddystone:
    """Yields battery, temperature and uptime of one beacon; nothing that says who it is.

    One instance serves one beacon. The same telemetry heard again says nothing.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="eddystone",
        title="Beacons: telemetry of Eddystone (TLM), signal strength of iBeacon and AltBeacon",
        domain="site",
        quantities=("device.voltage", "device.temperature", "device.uptime", "device.rssi"),
        # A beacon may send telemetry as seldom as once a minute.
        interval_s=60.0,
        document="google/eddystone, Unencrypted TLM Frame Specification",
    )
    Options: ClassVar[type[BaseModel]] = EddystoneOptions

    def __init__(self, options: EddystoneOptions) -> None:
        self._with_rssi = options.rssi
        self._last: bytes | None = None

    def claims(self, advert: Advert) -> bool:
        """Tell whether this is a frame of Eddystone, iBeacon or AltBeacon, whatever its length."""
        if SERVICE in advert.service_data:
            return True
        heard = advert.manufacturer_data
        return heard.get(APPLE, b"").startswith(IBEACON) or any(
            data.startswith(ALTBEACON) for data in heard.values()
        )

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the telemetry of one advertisement; nothing if it is known."""
        if not self.claims(advert):
            return ()
        outcomes = self._frame(advert.service_data.get(SERVICE))
        faulty = any(isinstance(outcome, Fault) for outcome in outcomes)
        if self._with_rssi and not faulty:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _frame(self, data: bytes | None) -> list[Outcome]:
        if data is None or data == self._last:
            return []
        if len(data) < 1:
            return [Fault("short", "an empty frame")]
        if data[0] in IDENTITIES:
            return []
        if data[0] != TLM:
            return [Fault("unknown", f"frame type {data[0]:#04x}")]
        return self._telemetry(data)

    def _telemetry(self, data: bytes) -> list[Outcome]:
        version = data[1] if len(data) > 1 else PLAIN
        if version == ENCRYPTED:
            return [Fault("key_missing", "the beacon encrypts its telemetry: it cannot be read")]
        if version != PLAIN:
            return [Fault("unknown", f"telemetry version {version}")]
        if len(data) < LAYOUT.size:
            return [Fault("short", "less than telemetry")]
        if len(data) > LAYOUT.size:
            return [Fault("unknown", "more than telemetry")]
        self._last = data
        millivolts, temperature, _, tenths = LAYOUT.unpack(data)
        outcomes: list[Outcome] = []
        if millivolts != NO_VOLTAGE:
            outcomes.append(_limited("device.voltage", millivolts / 1000, VOLTAGE))
        if temperature != NO_TEMPERATURE:
            outcomes.append(_limited("device.temperature", temperature / 256, TEMPERATURE))
        outcomes.append(Measured("device.uptime", float(tenths // TENTHS)))
        return outcomes


def _limited(quantity: str, value: float, limits: _Limits) -> Outcome:
    if limits.lowest <= value <= limits.highest:
        return Measured(quantity, value)
    return Fault("range", f"{quantity} beyond what a beacon can be")
