"""A make-believe thermometer with pvvx firmware: the same packets for the same seed and address."""

import random
import struct

from gateway.driver import Advert

__all__ = ["SimulatedAtc"]

SERVICE = "0000181a-0000-1000-8000-00805f9b34fb"
NAME_DIGITS = 6


class SimulatedAtc:
    """Advertises a new packet in the custom format each 2.5 s, the firmware's default."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 2.5
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._own_address = bytes.fromhex(address.replace(":", ""))
        self._counter = self._random.randrange(256)
        self._temperature = self._random.uniform(15.0, 24.0)
        self._humidity = self._random.uniform(35.0, 60.0)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._counter = (self._counter + 1) % 256
        self._temperature = self._wander(self._temperature, 5.0, 30.0, 0.02)
        self._humidity = self._wander(self._humidity, 20.0, 80.0, 0.05)
        millivolts = round(2900 + 3 * self._temperature + self._random.gauss(0.0, 2.0))
        data = struct.pack(
            "<6shHHBBB",
            self._own_address[::-1],
            round(self._temperature * 100),
            round(self._humidity * 100),
            millivolts,
            round((millivolts - 2200) / 8.5),
            self._counter,
            5,
        )
        return Advert(
            address=self._address,
            rssi=round(-72 + self._random.gauss(0.0, 4.0)),
            name="ATC_" + self._address.replace(":", "")[-NAME_DIGITS:],
            service_data={SERVICE: data},
        )

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        return min(max(value + self._random.gauss(0.0, step), low), high)
