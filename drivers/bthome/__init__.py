"""BTHome v2, plain and encrypted, and v1: the open format of Shelly BLU, pvvx, b-parasite, ESPHome.

Written from bthome.io, "BTHome v2 format", "Encryption" and "BTHome v1". Numbers are little-endian.
"""

from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.bthome.cipher import Opener, Sealed
from drivers.bthome.objects import MEANINGS, OBJECTS
from drivers.bthome.options import BTHomeOptions, Meanings
from drivers.bthome.packet import Found, packet, packet_v1
from gateway.driver import Advert, DriverInfo, Outcome, Restarted
from gateway.reading import Dims, Fault, Measured

__all__ = ["SERVICE", "SERVICE_V1", "SERVICE_V1_ENCRYPTED", "BTHome", "BTHomeOptions"]

SERVICE = "0000fcd2-0000-1000-8000-00805f9b34fb"
SERVICE_V1 = "0000181c-0000-1000-8000-00805f9b34fb"
SERVICE_V1_ENCRYPTED = "0000181e-0000-1000-8000-00805f9b34fb"

ENCRYPTED = 0x01
WITH_ADDRESS = 0x02
"""The device's own address stands before the objects; in early versions of v2 only."""
VERSION_SHIFT = 5
VERSION = 2
ADDRESS_BYTES = 6
NONCE_SERVICE = b"\xd2\xfc"
NONCE_SERVICE_V1 = b"\x1e\x18"
ASSOCIATED_V1 = b"\x11"
REMEMBERED = 4
"""Packets with an id that are known again; each is sent several times, some two kinds in turn."""


class BTHome:
    """Yields what the registry has a quantity for; events, texts and states are skipped.

    One packet is sent several times: one with a packet id is yielded once, and so is an encrypted
    one. One instance serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="bthome",
        title="BTHome v2 and v1 (Shelly BLU, pvvx firmware, b-parasite, ESPHome and others)",
        domain="air",
        quantities=(
            *dict.fromkeys(quantity for choices in MEANINGS.values() for quantity in choices),
            "device.rssi",
        ),
        # From each 2.5 s (pvvx) to each minute (Shelly BLU H&T).
        interval_s=60.0,
        secrets=("bindkey",),
        document="BTHome v2 format, bthome.io",
    )
    Options: ClassVar[type[BaseModel]] = BTHomeOptions

    def __init__(self, options: BTHomeOptions) -> None:
        self._with_rssi = options.rssi
        self._opener = Opener(options.bindkey)
        # Whole packets: two kinds of them may share an id, and some devices never change it.
        self._packets: deque[bytes] = deque(maxlen=REMEMBERED)
        self._meanings = Meanings(options)
        self._counts: dict[tuple[str, int], float | None] = {}
        self._address = ("", b"")

    def claims(self, advert: Advert) -> bool:
        """Tell whether there is service data of BTHome, whatever its version and length."""
        data = advert.service_data
        return SERVICE in data or SERVICE_V1 in data or SERVICE_V1_ENCRYPTED in data

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its packet is known."""
        payload = self._payload(advert)
        if payload is None or payload in self._packets:
            return ()
        if isinstance(payload, Fault):
            return (payload,)
        take_apart = packet if SERVICE in advert.service_data else packet_v1
        found, faults, has_id = take_apart(payload)
        if has_id:
            self._packets.append(payload)
        outcomes = self._outcomes(found)
        if self._with_rssi and any(isinstance(outcome, Measured) for outcome in outcomes):
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return [*outcomes, *faults]

    def _payload(self, advert: Advert) -> bytes | Fault | None:
        """Return the objects in clear; None if there are none or they were taken before."""
        data = advert.service_data
        if SERVICE in data:
            return self._payload_v2(advert.address, data[SERVICE])
        sealed = data.get(SERVICE_V1_ENCRYPTED)
        if sealed is not None:
            own = self._own_address(advert.address)
            return self._opener.open(Sealed(own, NONCE_SERVICE_V1, sealed, ASSOCIATED_V1))
        return self._plain(data[SERVICE_V1]) if SERVICE_V1 in data else None

    def _payload_v2(self, address: str, data: bytes) -> bytes | Fault | None:
        if not data:
            return Fault("short", "no device information")
        flags = data[0]
        if flags >> VERSION_SHIFT != VERSION:
            return Fault("unknown", f"version {flags >> VERSION_SHIFT}")
        start = 1
        if flags & WITH_ADDRESS:
            start += ADDRESS_BYTES
            if len(data) < start:
                return Fault("short", "less than an address")
        if not flags & ENCRYPTED:
            return self._plain(data[start:])
        inside = data[start - 1 : 0 : -1]  # backwards
        own = inside or self._own_address(address)
        return self._opener.open(Sealed(own, NONCE_SERVICE + data[:1], data[start:], None))

    def _own_address(self, address: str) -> bytes:
        if address != self._address[0]:
            self._address = (address, bytes.fromhex(address.replace(":", "")))
        return self._address[1]

    def _plain(self, payload: bytes) -> bytes | Fault:
        """Return the payload; where a key is configured anybody may have sent it."""
        if self._opener.has_key:
            return Fault("unknown", "not encrypted although there is a bindkey")
        return payload

    def _outcomes(self, found: list[Found]) -> list[Outcome]:
        """Return what the objects mean; where a quantity comes twice they are numbered."""
        meanings = self._meanings
        meant = [
            (item, meaning)
            for item in found
            if (meaning := meanings[item.object_id][item.number]) is not None
        ]
        quantities = [meaning.quantity for _, meaning in meant]
        several = len(set(quantities)) < len(quantities)
        outcomes: list[Outcome] = []
        for place, (item, meaning) in enumerate(meant):
            quantity, times, per, lowest, highest, counts_up = meaning
            dims: Dims = ()
            if several and quantities.count(quantity) > 1:
                dims = (("channel", str(1 + quantities[:place].count(quantity))),)
            raw = self._increase(item, outcomes) if counts_up else item.raw
            if raw is None:
                continue
            value = raw * times / per
            if lowest <= value <= highest:
                outcomes.append(Measured(quantity, value, dims))
            else:
                outcomes.append(Fault("range", f"{quantity} beyond what can be"))
        return outcomes

    def _increase(self, item: Found, outcomes: list[Outcome]) -> float | None:
        """Return what was counted since the last packet; the first one only sets the mark."""
        name = OBJECTS[item.object_id].name
        key = (name, item.number)
        last = self._counts.get(key)
        self._counts[key] = item.raw
        if last is None or item.raw is None or not item.span:
            return None
        increase = (item.raw - last) % item.span
        if increase > item.span // 2:
            # It went down: it began anew, and nobody knows what was counted meanwhile.
            outcomes.append(Restarted(f"{name} went back"))
            return None
        return increase
