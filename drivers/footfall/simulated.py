"""Make-believe passers-by: a street with a few shops' beacons and people with telephones."""

import random
from collections.abc import Iterable

__all__ = ["SimulatedFootfall"]

SHOPS = 6
PEOPLE = 40
"""Who is there at any time."""
GOES = 0.05
"""Probability that somebody walks on and somebody else comes."""
STATIC = 0xC0


class SimulatedFootfall:
    """Advertisements of strangers, a second of a street at a time; same seed, same street.

    All addresses are made up: public ones of an unassigned vendor, random static ones else.
    """

    interval_s = 1.0

    def __init__(self, seed: int, address: str) -> None:
        del address  # passers-by have their own
        self._random = random.Random(seed)  # noqa: S311 - a simulation
        self._shops = [f"02:00:00:5E:00:{number:02X}" for number in range(SHOPS)]
        self._people = [self._somebody() for _ in range(PEOPLE)]

    def emit(self) -> Iterable[tuple[str, int, bool]]:
        """Return who is heard in the next second: address, RSSI in dBm, random address."""
        heard = [(shop, self._rssi(-70), False) for shop in self._shops]
        for number in range(PEOPLE):
            if self._random.random() < GOES:
                self._people[number] = self._somebody()
            heard.append((self._people[number], self._rssi(-80), True))
        return heard

    def _somebody(self) -> str:
        octets = self._random.randbytes(6)
        return ":".join(f"{octet:02X}" for octet in (octets[0] | STATIC, *octets[1:]))

    def _rssi(self, middle: int) -> int:
        return round(self._random.gauss(middle, 8))
