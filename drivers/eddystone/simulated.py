"""A make-believe Eddystone beacon: the same advertisements for the same seed and address."""

import random
import struct

from gateway.driver import Advert

__all__ = ["SimulatedEddystone"]

SERVICE = "0000feaa-0000-1000-8000-00805f9b34fb"
TENTHS = 10


class SimulatedEddystone:
    """Sends telemetry each 10 s; of the frames in between, which identify it, none is heard."""

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 10.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._tenths = self._random.randrange(10_000_000)
        self._sent = self._tenths
        self._temperature = self._random.uniform(4.0, 18.0)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._tenths += round(self.interval_s * TENTHS)
        self._sent += 10
        step = self._random.gauss(0.0, 0.1)
        self._temperature = min(max(self._temperature + step, -20.0), 40.0)
        millivolts = round(2950 + 4 * self._temperature + self._random.gauss(0.0, 2.0))
        temperature = round(self._temperature * 256)
        data = struct.pack(">BBHhII", 0x20, 0, millivolts, temperature, self._sent, self._tenths)
        return Advert(
            address=self._address,
            rssi=round(-71 + self._random.gauss(0.0, 4.0)),
            service_data={SERVICE: data},
        )
