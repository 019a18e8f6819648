"""A make-believe BTHome device: the same packets for the same seed and address."""

import random
import struct

from gateway.driver import Advert

__all__ = ["SimulatedBTHome"]

SERVICE = "0000fcd2-0000-1000-8000-00805f9b34fb"
DEVICE_INFORMATION = 0x40
COPIES = 3
"""Each packet is sent so often, as devices do that may not be heard each time."""


class SimulatedBTHome:
    """A weather node that sends three copies of each packet, one a second."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._sent = 0
        self._packet_id = self._random.randrange(256)
        self._temperature = self._random.uniform(4.0, 18.0)
        self._humidity = self._random.uniform(45.0, 85.0)
        self._pressure = self._random.uniform(995.0, 1025.0)
        self._data = b""

    def emit(self) -> Advert:
        """Return the next advertisement."""
        if self._sent % COPIES == 0:
            self._packet_id = (self._packet_id + 1) % 256
            self._data = self._measure()
        self._sent += 1
        return Advert(
            address=self._address,
            rssi=round(-70 + self._random.gauss(0.0, 4.0)),
            name="DIY-sensor",
            service_data={SERVICE: self._data},
        )

    def _measure(self) -> bytes:
        self._temperature = self._wander(self._temperature, -25.0, 38.0, 0.02)
        self._humidity = self._wander(self._humidity, 15.0, 99.0, 0.05)
        self._pressure = self._wander(self._pressure, 960.0, 1045.0, 0.01)
        millivolts = round(2950 + 4 * self._temperature + self._random.gauss(0.0, 2.0))
        objects = (
            struct.pack("<BB", 0x00, self._packet_id),
            struct.pack("<BB", 0x01, 93),
            struct.pack("<Bh", 0x02, round(self._temperature * 100)),
            struct.pack("<BH", 0x03, round(self._humidity * 100)),
            b"\x04" + round(self._pressure * 100).to_bytes(3, "little"),
            struct.pack("<BH", 0x0C, millivolts),
        )
        return bytes((DEVICE_INFORMATION,)) + b"".join(objects)

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        return min(max(value + self._random.gauss(0.0, step), low), high)
