"""The bounded hop between the callback that hears an advertisement and its decoding.

The callback runs in the middle of the D-Bus connection's reading. What it does there is little:
find out whether the signal was an advertisement at all, and queue it. Decoding comes after, in
batches that let everything else in the gateway have its turn.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Any

from gateway.clock import Clock
from gateway.driver import Advert
from gateway.transports.advert_entry import AdvertEntry
from gateway.transports.stats import ScannerStats

__all__ = ["BURST", "HOP_SIZE", "RATE_PER_S", "AdvertHop"]

HOP_SIZE = 4096
"""Advertisements that may wait; beyond it the oldest is dropped: what is new is worth more."""
BATCH = 64
"""So many are decoded before others have their turn."""
RATE_PER_S = 25
"""Advertisements of one device; a sensor sends at most ten, and a phone that imitates it more."""
BURST = 100
"""May come at once: what has gathered while the gateway was busy elsewhere."""
NS_PER_TOKEN = 1_000_000_000 // RATE_PER_S
FULL_NS = BURST * NS_PER_TOKEN

_Queued = tuple[int, str, Advert]
_Part = dict[Any, bytes] | None


class _Heard:
    """What is known of one configured device: how much it may send, and what came last.

    BlueZ tells which of a device's properties changed, bleak gives all of them. A part of the
    advertisement that this signal brought is an object that was not there before; all else is of
    earlier advertisements and would be decoded as if it were new.
    """

    __slots__ = ("_apart", "_empty_at_ns", "_last", "heard_ns")

    def __init__(self) -> None:
        self.heard_ns = 0
        self._empty_at_ns = -FULL_NS
        """Token bucket, written as the time at which it was or will have been empty."""
        self._last: dict[str, tuple[_Part, _Part, int]] = {}
        """By adapter: manufacturer data, service data and signal strength of the last signal."""
        self._apart = False
        """The device sends its two kinds of data in advertisements of their own."""

    def allows(self, now_ns: int) -> bool:
        """Take a token; False if there is none."""
        empty_at_ns = max(self._empty_at_ns, now_ns - FULL_NS) + NS_PER_TOKEN
        if empty_at_ns > now_ns:
            return False
        self._empty_at_ns = empty_at_ns
        return True

    def fresh(self, adapter: str, props: Mapping[str, Any]) -> Advert | None:
        """Return the advertisement in a signal; None if it was about something else."""
        rssi: int | None = props.get("RSSI")
        if rssi is None:  # BlueZ takes it away when the device is gone or the scan ends
            return None
        manufacturer: _Part = props.get("ManufacturerData")
        service: _Part = props.get("ServiceData")
        last = self._last.get(adapter)
        self._last[adapter] = (manufacturer, service, rssi)
        if last is not None:
            old_manufacturer, old_service, old_rssi = last
            if manufacturer is old_manufacturer and service is old_service:
                # Nothing new, as when a connection opens; or the same content was heard again,
                # as its signal strength tells, but of two kinds nobody can say which one.
                if rssi == old_rssi or self._apart:
                    return None
            else:
                new_manufacturer = _brought(manufacturer, old_manufacturer)
                new_service = _brought(service, old_service)
                if manufacturer and service and not (new_manufacturer and new_service):
                    self._apart = True
                manufacturer, service = new_manufacturer, new_service
        return Advert(
            address=props["Address"],
            rssi=rssi,
            name=props.get("Name") or "",
            manufacturer_data=manufacturer or {},
            service_data=service or {},
            service_uuids=tuple(props.get("UUIDs") or ()),
        )


def _brought(new: _Part, old: _Part) -> _Part:
    """Return what this signal brought of one kind of data."""
    if new is old:
        return None
    if new is None or old is None or len(new) == 1:
        return new
    # BlueZ adds up what a device sent under several companies or services.
    return {key: content for key, content in new.items() if old.get(key) != content} or new


class AdvertHop:
    """Queues advertisements of configured devices, bounded in number and in rate per device."""

    def __init__(self, entry: AdvertEntry, clock: Clock, stats: ScannerStats) -> None:
        self._entry = entry
        self._clock = clock
        self._stats = stats
        self._devices: dict[str, _Heard] = {}
        self._queue: deque[_Queued] = deque(maxlen=HOP_SIZE)
        self._wake = asyncio.Event()

    def take(self, adapter: str, props: Mapping[str, Any]) -> None:
        """Queue what a signal brought of a configured device; called in the callback."""
        address: str = props["Address"]
        device = self._devices.get(address) or self._meet(address)
        advert = device.fresh(adapter, props)
        if advert is None:
            return
        now_ns = device.heard_ns = self._clock.now_ns()
        if not device.allows(now_ns):
            limited = self._stats.adverts_limited
            sensor = self._entry.sensor(address)
            limited[sensor] = limited.get(sensor, 0) + 1
            return
        if len(self._queue) == HOP_SIZE:
            self._stats.adverts_overflowed += 1
        self._queue.append((now_ns, adapter, advert))
        self._wake.set()

    def all_heard_since(self, boottime_ns: int) -> bool:
        """Tell whether every configured device was heard after this CLOCK_BOOTTIME."""
        return all(
            address in self._devices and self._devices[address].heard_ns >= boottime_ns
            for address in self._entry.addresses
        )

    async def run(self) -> None:
        """Decode what is queued, until cancelled."""
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            self.drain()
            await asyncio.sleep(0)

    def drain(self) -> None:
        """Decode one batch."""
        queue, accept = self._queue, self._entry.accept
        began_ns = self._clock.now_ns()
        for _ in range(min(BATCH, len(queue))):
            received_ns, adapter, advert = queue.popleft()
            accept(advert, received_ns, adapter)
        self._stats.decode_ns += self._clock.now_ns() - began_ns

    def _meet(self, address: str) -> _Heard:
        for known in [each for each in self._devices if not self._entry.knows(each)]:
            del self._devices[known]  # of a sensor that is configured no more
        self._devices[address] = _Heard()
        return self._devices[address]
