"""The one door through which advertisements come in, from the radio or from a recording."""

from collections.abc import Mapping

from gateway.driver import Advert, Beacon
from gateway.transports.sink import Sink
from gateway.transports.stats import ScannerStats

__all__ = ["AdvertEntry", "Beacons"]

Beacons = Mapping[str, tuple[str, Beacon]]
"""Configured address, upper case with colons -> sensor name and the decoder of that device.

It is looked up for each advertisement, so its owner may add and remove devices while scanning.
"""
ECHO_NS = 2_000_000_000
"""The same content from another adapter within this time is the same advertisement."""


class AdvertEntry:
    """Gives advertisements of configured devices to their drivers.

    All other devices are somebody's private property (PRIV-01): ask ``knows`` first, and if it
    says no, forget the address; nothing about it may be kept, counted or logged.
    """

    def __init__(self, beacons: Beacons, sink: Sink, stats: ScannerStats) -> None:
        self._beacons = beacons
        self._sink = sink
        self._stats = stats
        self._heard: dict[str, tuple[str, Advert, int]] = {}
        """Address -> adapter, content and time of the last one; kept for several adapters only."""

    @property
    def addresses(self) -> frozenset[str]:
        """Return the configured addresses."""
        return frozenset(self._beacons)

    def knows(self, address: str) -> bool:
        """Tell whether a sensor is configured for this upper-case address."""
        return address in self._beacons

    def sensor(self, address: str) -> str:
        """Return the name of the sensor with this configured address."""
        return self._beacons[address][0]

    def accept(self, advert: Advert, received_ns: int, adapter: str = "") -> None:
        """Decode one advertisement and pass on what it says; ``received_ns`` is CLOCK_BOOTTIME."""
        configured = self._beacons.get(advert.address)
        if configured is None:  # removed while the advertisement waited
            self._heard.pop(advert.address, None)
            return
        stats = self._stats
        stats.adverts_received += 1
        stats.last_received_ns = received_ns
        if len(stats.adapters) > 1 and self._is_echo(advert, received_ns, adapter):
            stats.adverts_doubled += 1
            return
        sensor, beacon = configured
        if not beacon.claims(advert):
            return
        stats.adverts_claimed += 1
        outcomes = list(beacon.decode(advert))
        if outcomes:
            self._sink.accept(sensor, outcomes, received_ns)

    def _is_echo(self, advert: Advert, received_ns: int, adapter: str) -> bool:
        """Tell whether another adapter heard just this just now, and else remember it.

        It spares the work, and repeated values of drivers whose packets have no number; those of
        the others recognize a repeated packet themselves, in whatever order they get it.
        """
        last = self._heard.get(advert.address)
        if last is not None:
            where, heard, heard_ns = last
            if (
                where != adapter
                and received_ns - heard_ns < ECHO_NS
                and heard.manufacturer_data == advert.manufacturer_data
                and heard.service_data == advert.service_data
            ):
                return True
        self._heard[advert.address] = (adapter, advert, received_ns)
        return False
