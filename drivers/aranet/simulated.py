"""A make-believe Aranet4: the same advertisements for the same seed and address."""

import random
import struct

from gateway.driver import Advert

__all__ = ["SimulatedAranet4"]

COMPANY_ID = 0x0702
INTERVAL_S = 60
HEARD_EACH_S = 15
STATE = 0x21
"""Nobody is connected, and the integrations are on."""
GREEN, YELLOW, RED = 1, 2, 3
YELLOW_PPM, RED_PPM = 1000, 1400


class SimulatedAranet4:
    """Measures each minute; of its many advertisements one is heard each 15 s."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = float(HEARD_EACH_S)
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._counter = self._random.randrange(256)
        self._age_s = INTERVAL_S
        self._co2 = self._random.uniform(430.0, 900.0)
        self._temperature = self._random.uniform(19.0, 24.0)
        self._pressure = self._random.uniform(995.0, 1025.0)
        self._humidity = self._random.uniform(30.0, 60.0)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._age_s += HEARD_EACH_S
        if self._age_s >= INTERVAL_S:
            self._age_s = 0
            self._counter = (self._counter + 1) % 256
            self._co2 = self._wander(self._co2, 410.0, 2500.0, 15.0)
            self._temperature = self._wander(self._temperature, 15.0, 30.0, 0.05)
            self._pressure = self._wander(self._pressure, 960.0, 1045.0, 0.05)
            self._humidity = self._wander(self._humidity, 20.0, 80.0, 0.3)
        colour = GREEN if self._co2 < YELLOW_PPM else YELLOW if self._co2 < RED_PPM else RED
        payload = struct.pack(
            "<BBBHBBBHHHBBBHHB",
            STATE,
            *(19, 4, 1, 12, 15, 1),
            round(self._co2),
            round(self._temperature * 20),
            round(self._pressure * 10),
            round(self._humidity),
            87,
            colour,
            INTERVAL_S,
            self._age_s,
            self._counter,
        )
        return Advert(
            address=self._address,
            rssi=round(-74 + self._random.gauss(0.0, 4.0)),
            name="Aranet4 1234A",
            manufacturer_data={COMPANY_ID: payload},
        )

    def _wander(self, value: float, low: float, high: float, step: float) -> float:
        return min(max(value + self._random.gauss(0.0, step), low), high)
