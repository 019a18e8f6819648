"""The one door through which advertisements come in, from the radio or from a recording."""

from collections.abc import Mapping

from gateway.clock import Clock
from gateway.driver import Advert, Beacon
from gateway.transports.sink import Sink
from gateway.transports.stats import ScannerStats

__all__ = ["AdvertEntry", "Beacons"]

Beacons = Mapping[str, tuple[str, Beacon]]
"""Configured address, upper case with colons -> sensor name and the decoder of that device.

It is looked up for each advertisement, so its owner may add and remove devices while scanning.
"""


class AdvertEntry:
    """Gives advertisements of configured devices to their drivers.

    All other devices are somebody's private property (PRIV-01): ask ``knows`` first, and if it
    says no, forget the address; nothing about it may be kept, counted or logged.
    """

    def __init__(self, beacons: Beacons, sink: Sink, clock: Clock, stats: ScannerStats) -> None:
        self._beacons = beacons
        self._sink = sink
        self._clock = clock
        self._stats = stats

    @property
    def addresses(self) -> frozenset[str]:
        """Return the configured addresses."""
        return frozenset(self._beacons)

    def knows(self, address: str) -> bool:
        """Tell whether a sensor is configured for this upper-case address."""
        return address in self._beacons

    def accept(self, advert: Advert) -> None:
        """Decode one advertisement of a configured device and pass on what it says."""
        received_ns = self._clock.now_ns()
        sensor, beacon = self._beacons[advert.address]
        stats = self._stats
        stats.adverts_received += 1
        stats.last_received_ns = received_ns
        if not beacon.claims(advert):
            return
        stats.adverts_claimed += 1
        outcomes = list(beacon.decode(advert))
        if outcomes:
            self._sink.accept(sensor, outcomes, received_ns)
