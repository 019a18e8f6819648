"""Which Bluetooth devices are heard, and what the installed drivers make of them.

A device that no driver understands is somebody's private property (PRIV-01) and shown as a number.
Its address is not kept, only a keyed hash of it, so that it is counted once (PRIV-02); of one that
a driver at least claims, it is kept in memory, to go on trying. All is gone when the scan ends.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from gateway.cli.scan.attempts import Attempt, RadioDriver, claims_of, made, make_radio
from gateway.driver import Advert, Driver

__all__ = ["UNKNOWN_DBM", "Configured", "Others", "Rhythm", "Sighting", "Sightings"]

MAX_DEVICES = 1024
"""Addresses that drivers claim and that are kept; of more than these only the number is."""
MAX_STRANGERS = 16384
SHOWN_STRANGERS = 3
KEY_BYTES = 16
HASH_BYTES = 8
SHORTENED = len("C4:7F:")
SAME_S = 0.02
"""What comes sooner than this after another is its second half (the answer to an active scan)."""
SMOOTHING = 0.2
MAX_RSSI_DBM = 20
"""What is above says that the strength is not known."""
UNKNOWN_DBM = -128
"""Instead of such a value."""


class Configured(NamedTuple):
    """A sensor that the configuration has already."""

    sensor: str
    driver: RadioDriver
    """With the options and keys of the configuration."""
    discreet: bool = False
    """Its values are of a household or a person, and shown nowhere."""


@dataclass(slots=True)
class Rhythm:
    """How often something was heard, and how regularly."""

    count: int = 0
    longest_s: float = 0.0
    _first_s: float = 0.0
    _last_s: float = 0.0

    def beat(self, now_s: float) -> None:
        """Count one more."""
        if not self.count:
            self._first_s = self._last_s = now_s
        elif now_s - self._last_s < SAME_S:
            return
        self.count += 1
        self.longest_s = max(self.longest_s, now_s - self._last_s)
        self._last_s = now_s

    @property
    def interval_s(self) -> float | None:
        """Return the mean time from one to the next; None if there was only one."""
        return (self._last_s - self._first_s) / (self.count - 1) if self.count > 1 else None


@dataclass(slots=True)
class Sighting:
    """One device, and all that is known of it."""

    address: str
    attempts: Sequence[Attempt]
    sensor: str = ""
    """Its name in the configuration, if it is there."""
    signal_dbm: float = UNKNOWN_DBM
    """Smoothed, so that a list does not jump about."""
    rhythm: Rhythm = field(default_factory=Rhythm)

    def hear(self, advert: Advert, now_s: float) -> None:
        """Take one advertisement of it."""
        self.rhythm.beat(now_s)
        rssi_dbm = _known(advert.rssi)
        if self.signal_dbm == UNKNOWN_DBM:
            self.signal_dbm = float(rssi_dbm)
        elif rssi_dbm != UNKNOWN_DBM:
            self.signal_dbm += SMOOTHING * (rssi_dbm - self.signal_dbm)
        for attempt in self.attempts:
            attempt.hear(advert)

    @property
    def fits(self) -> list[Attempt]:
        """Return the drivers that understand it, the one with most readings first."""
        fits = [each for each in self.attempts if each.understands]
        return sorted(fits, key=lambda each: (-each.readings, not each.key_problem))

    @property
    def claiming(self) -> list[str]:
        """Return the names of the drivers that claim it."""
        return [each.info.name for each in self.attempts if each.claimed]

    @property
    def is_sensor(self) -> bool:
        """Tell whether it may be shown: it is configured, or a driver understands it."""
        return bool(self.sensor or self.fits)


@dataclass(slots=True)
class _Stranger:
    shortened: str
    """Empty of a changing address: it is shown in no form."""
    rssi_dbm: int = UNKNOWN_DBM
    sighting: Sighting | None = None
    """Of a device that drivers claim, and that may yet turn out to be a sensor."""


@dataclass(slots=True)
class Others:
    """What may be told of all devices that are no sensors."""

    fixed: int = 0
    changing: int = 0
    """Phones, watches and the like: they change their address."""
    strongest_dbm: int | None = None
    claimed: Counter[str] = field(default_factory=Counter)
    """Driver -> devices of its family that say nothing it could read."""
    nearest: list[tuple[str, int]] = field(default_factory=list)
    """Shortened address and signal strength; for the eyes of whoever stands there, no file."""
    more: bool = False
    """There were too many to count."""


class Sightings:
    """Takes advertisements, and tells sensors from strangers."""

    def __init__(
        self, drivers: Iterable[type[Driver]], configured: Mapping[str, Configured]
    ) -> None:
        self.configured = configured
        """By address, upper case with colons."""
        self._classes = [cls for cls in drivers if make_radio(cls) is not None]
        self._families = [claims_of(driver) for driver in made(self._classes)]
        """Asked of each stranger's advertisement; who is of a family gets drivers of its own."""
        self._devices: dict[str, Sighting] = {}
        self._strangers: dict[bytes, _Stranger] = {}
        self._key = secrets.token_bytes(KEY_BYTES)
        self._more = False

    def hear(self, advert: Advert, now_s: float, *, fixed: bool) -> None:
        """Take one advertisement; ``fixed``: the device has this address for ever.

        Nothing is tried on an address that changes: tomorrow it is another one's, so whatever it
        sends, it is no sensor that could be configured.
        """
        address = advert.address
        sighting = self._devices.get(address)
        if sighting is None and (fixed or address in self.configured):
            sighting = self._meet(advert)
        if sighting is not None:
            sighting.hear(advert, now_s)
            if sighting.is_sensor:
                if sighting.rhythm.count > 1:  # it may have been a stranger before
                    self._strangers.pop(self._hash(address), None)
                return
        self._hear_stranger(advert, sighting, fixed=fixed)

    @property
    def sensors(self) -> list[Sighting]:
        """Return what is configured or understood and was heard, the strongest first."""
        found = [each for each in self._devices.values() if each.is_sensor]
        return sorted(found, key=lambda each: (-each.signal_dbm, each.address))

    @property
    def unheard(self) -> list[tuple[str, Configured]]:
        """Return configured sensors that were not heard, by address."""
        return [item for item in self.configured.items() if item[0] not in self._devices]

    @property
    def others(self) -> Others:
        """Return what may be told of everybody else."""
        strangers = self._strangers.values()
        others = Others(more=self._more)
        others.fixed = sum(bool(each.shortened) for each in strangers)
        others.changing = len(strangers) - others.fixed
        others.strongest_dbm = max(
            (each.rssi_dbm for each in strangers if each.rssi_dbm != UNKNOWN_DBM), default=None
        )
        for each in strangers:
            others.claimed.update(() if each.sighting is None else each.sighting.claiming)
        nearest = sorted(strangers, key=lambda each: -each.rssi_dbm)
        fixed = ((each.shortened, each.rssi_dbm) for each in nearest if each.shortened)
        others.nearest = list(islice(fixed, SHOWN_STRANGERS))
        return others

    def _meet(self, advert: Advert) -> Sighting | None:
        """Return the beginning of a sighting, None if no driver claims the advertisement."""
        known = self.configured.get(advert.address)
        if known is not None:
            attempts = [Attempt(known.driver, claims_of(known.driver), known.discreet)]
            sighting = Sighting(advert.address, attempts, known.sensor)
        elif len(self._devices) < MAX_DEVICES and any(claims(advert) for claims in self._families):
            attempts = [Attempt(each, claims_of(each)) for each in made(self._classes)]
            sighting = Sighting(advert.address, attempts)
        else:
            return None
        self._devices[advert.address] = sighting
        return sighting

    def _hear_stranger(self, advert: Advert, sighting: Sighting | None, *, fixed: bool) -> None:
        hashed = self._hash(advert.address)
        stranger = self._strangers.get(hashed)
        if stranger is None:
            if len(self._strangers) == MAX_STRANGERS:
                self._more = True
                return
            shortened = f"{advert.address[:SHORTENED]}.." if fixed else ""
            stranger = self._strangers[hashed] = _Stranger(shortened)
        stranger.rssi_dbm = max(stranger.rssi_dbm, _known(advert.rssi))
        stranger.sighting = sighting

    def _hash(self, address: str) -> bytes:
        return blake2b(address.encode(), digest_size=HASH_BYTES, key=self._key).digest()


def _known(rssi_dbm: int) -> int:
    """Return a signal strength, or the weakest of all where the adapter does not know it."""
    return rssi_dbm if rssi_dbm <= MAX_RSSI_DBM else UNKNOWN_DBM
