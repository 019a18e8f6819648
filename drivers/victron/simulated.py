"""A make-believe SmartSolar charger: the same advertisements for the same seed and address."""

import random
import struct
from collections.abc import Mapping
from typing import ClassVar

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from gateway.driver import Advert

__all__ = ["SimulatedVictron"]

COMPANY_ID = 0x02E1
MODEL = 0xA053
SOLAR_CHARGER = 0x01
BULK = 3
UNUSED_BITS = 0xFE
"""Nothing at the load output, and ones in the bits behind it."""
COUNTERS = 1 << 16


class SimulatedVictron:
    """Sends a new message each second, encrypted with a key that everybody may know."""

    OPTIONS: ClassVar[Mapping[str, str]] = {"key": "00112233445566778899aabbccddeeff"}
    """What a driver must be told to read it."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._key = bytes.fromhex(self.OPTIONS["key"])
        self._counter = self._random.randrange(COUNTERS)
        self._battery_v = self._random.uniform(12.6, 14.2)
        self._sun_w = self._random.uniform(20.0, 120.0)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._counter = (self._counter + 1) % COUNTERS
        self._battery_v = self._wander(self._battery_v, 11.8, 14.4, 0.01)
        self._sun_w = self._wander(self._sun_w, 0.0, 180.0, 1.0)
        current_a = 0.95 * self._sun_w / self._battery_v
        plain = struct.pack(
            "<BBhhHHBB",
            BULK,
            0,
            round(self._battery_v * 100),
            round(current_a * 10),
            31,
            round(self._sun_w),
            0,
            UNUSED_BITS,
        )
        nonce = self._counter.to_bytes(16, "little")
        sealed = Cipher(AES(self._key), CTR(nonce)).encryptor().update(plain)
        head = struct.pack("<BBHBHB", 0x10, 2, MODEL, SOLAR_CHARGER, self._counter, self._key[0])
        return Advert(
            address=self._address,
            rssi=round(-66 + self._random.gauss(0.0, 4.0)),
            name="SmartSolar HQ0000ABCDE",
            manufacturer_data={COMPANY_ID: head + sealed},
        )

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        return min(max(value + self._random.gauss(0.0, step), low), high)
