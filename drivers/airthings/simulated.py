"""A make-believe Wave Plus: the same advertisements and values for the same seed and address."""

import random
import struct
from collections.abc import AsyncIterator

from gateway.driver import Advert

__all__ = ["SimulatedAirthings"]

COMPANY = 0x0334
MODEL = "00002a24-0000-1000-8000-00805f9b34fb"
VALUES = "b42e2a68-ade7-11e4-89d3-123b93f75cba"
COMMAND = "b42e2d06-ade7-11e4-89d3-123b93f75cba"
FIRST_SERIAL = 2_930_000_000
NOTIFICATION_BYTES = 20
"""What fits into one at the smallest MTU."""


class SimulatedAirthings:
    """Advertises each 2 s, and answers like the device to which one has connected."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 2.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._serial = FIRST_SERIAL + self._random.randrange(1000)
        self._temperature = self._random.uniform(18.0, 23.0)
        self._humidity = self._random.uniform(30.0, 55.0)
        self._pressure = self._random.uniform(985.0, 1030.0)
        self._co2 = self._random.uniform(420.0, 1200.0)
        self._voc = self._random.uniform(40.0, 400.0)
        self._answer = b""

    def emit(self) -> Advert:
        """Return the next advertisement."""
        return Advert(
            address=self._address,
            rssi=round(-74 + self._random.gauss(0.0, 4.0)),
            name="Airthings Wave+",
            manufacturer_data={COMPANY: struct.pack("<IH", self._serial, 0)},
        )

    async def read(self, characteristic: str) -> bytes:
        """Return a characteristic; ConnectionError if there is no such."""
        if characteristic == MODEL:
            return b"2930"
        if characteristic != VALUES:
            raise ConnectionError("no such characteristic")
        self._temperature = self._wander(self._temperature, 10.0, 30.0, 0.05)
        self._humidity = self._wander(self._humidity, 20.0, 70.0, 0.3)
        self._pressure = self._wander(self._pressure, 970.0, 1045.0, 0.2)
        self._co2 = self._wander(self._co2, 410.0, 2500.0, 15.0)
        self._voc = self._wander(self._voc, 20.0, 2000.0, 10.0)
        return struct.pack(
            "<4B2Hh5H",
            1,
            round(self._humidity * 2),
            20,
            0,
            round(30 + self._random.gauss(0.0, 2.0)),
            34,
            round(self._temperature * 100),
            round(self._pressure * 50),
            round(self._co2),
            round(self._voc),
            0,
            0,
        )

    async def write(self, characteristic: str, data: bytes) -> None:
        """Take a command; ConnectionError if it is none."""
        if characteristic != COMMAND or data != b"\x6d":
            raise ConnectionError("no such command")
        millivolts = round(2950 + self._random.gauss(0.0, 3.0))
        self._answer = b"\x6d\x00" + bytes(24) + struct.pack("<HH", millivolts, 9)

    async def notifications(self, characteristic: str) -> AsyncIterator[bytes]:
        """Yield the answer to the last command."""
        if characteristic != COMMAND:
            raise ConnectionError("no such characteristic")
        answer, self._answer = self._answer, b""
        for start in range(0, len(answer), NOTIFICATION_BYTES):
            yield answer[start : start + NOTIFICATION_BYTES]

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        return min(max(value + self._random.gauss(0.0, step), low), high)
