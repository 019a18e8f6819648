"""A make-believe Govee H5075: the same advertisements for the same seed and address."""

import random
from typing import ClassVar

from gateway.driver import Advert

__all__ = ["SimulatedBleHa"]

COMPANY_ID = 0xEC88
SERVICE = "0000ec88-0000-1000-8000-00805f9b34fb"
BELOW_ZERO = 0x800000
NAME_DIGITS = 4


class SimulatedBleHa:
    """Says each 2 s how warm and humid it is, as that thermometer does."""

    OPTIONS: ClassVar[dict[str, str]] = {"package": "govee-ble"}

    def __init__(self, seed: int, address: str) -> None:
        self.interval_s = 2.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._address = address
        self._temperature = self._random.uniform(-4.0, 22.0)
        self._humidity = self._random.uniform(45.0, 85.0)
        self._battery = self._random.randrange(30, 101)

    def emit(self) -> Advert:
        """Return the next advertisement."""
        self._temperature += self._random.gauss(0.0, 0.05) - 0.001 * (self._temperature - 8.0)
        self._humidity += self._random.gauss(0.0, 0.1) - 0.001 * (self._humidity - 70.0)
        tenths = round(abs(self._temperature) * 10)
        both = tenths * 1000 + min(max(round(self._humidity * 10), 0), 999)
        if self._temperature < 0:
            both |= BELOW_ZERO
        payload = bytes((0, *both.to_bytes(3, "big"), self._battery, 0))
        return Advert(
            address=self._address,
            rssi=round(-68 + self._random.gauss(0.0, 4.0)),
            name="GVH5075_" + self._address.replace(":", "")[-NAME_DIGITS:],
            manufacturer_data={COMPANY_ID: payload},
            service_uuids=(SERVICE,),
        )
