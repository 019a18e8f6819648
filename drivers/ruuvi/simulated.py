"""A make-believe RuuviTag: the same advertisements for the same seed and address."""

import math
import random
import struct

from gateway.driver import Advert

__all__ = ["SimulatedRuuvi"]

COMPANY_ID = 0x0499
SEQUENCES = 0xFFFF
"""Numbers 0 to 65534; 65535 means that there is none."""
NAME_DIGITS = 4


class SimulatedRuuvi:
    """Advertises a new measurement each 1.285 s, as the tag's firmware does by default."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 1.285
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._own_address = bytes.fromhex(address.replace(":", ""))
        self._sequence = self._random.randrange(1000)
        self._temperature = self._random.uniform(4.0, 18.0)
        self._humidity = self._random.uniform(45.0, 85.0)
        self._pressure = self._random.uniform(995.0, 1025.0)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._sequence = (self._sequence + 1) % SEQUENCES
        self._temperature = self._wander(self._temperature, -25.0, 38.0, 0.02)
        self._humidity = self._wander(self._humidity, 15.0, 99.0, 0.05)
        self._pressure = self._wander(self._pressure, 960.0, 1045.0, 0.01)
        voltage_mv = round(2950 + 4 * self._temperature + self._random.gauss(0.0, 2.0))
        payload = struct.pack(
            ">BhHHhhhHBH6s",
            5,
            round(self._temperature * 200),
            round(self._humidity * 400),
            round(self._pressure * 100) - 50_000,
            round(self._random.gauss(0.0, 8.0)),
            round(self._random.gauss(0.0, 8.0)),
            round(1000 + self._random.gauss(0.0, 8.0)),
            (voltage_mv - 1600) << 5 | (4 + 40) // 2,
            0,
            self._sequence,
            self._own_address,
        )
        return Advert(
            address=self._address,
            rssi=round(-68 + self._random.gauss(0.0, 4.0)),
            name="Ruuvi " + self._address.replace(":", "")[-NAME_DIGITS:],
            manufacturer_data={COMPANY_ID: payload},
        )

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        value += self._random.gauss(0.0, step)
        value += math.copysign(step, (low + high) / 2 - value) * 0.01
        return min(max(value, low), high)
