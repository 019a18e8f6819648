"""A make-believe solar charger with a VE.Direct port: the same bytes for the same seed."""

import math
import random

__all__ = ["SimulatedVeDirect"]

DAY_S = 86_400
START_S = 8 * 3600


class SimulatedVeDirect:
    """An MPPT charger on a summer's day, with clouds, that feeds a battery and a load."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._tick = 0
        self._clouds = 0.7
        self._yield_kwh = self._random.uniform(10.0, 500.0)

    def emit(self) -> bytes:
        """Return the block of this second."""
        self._tick += 1
        hour = (START_S + self._tick) % DAY_S / 3600
        self._clouds = min(1.0, max(0.1, self._clouds + self._random.gauss(0.0, 0.02)))
        sun = max(0.0, math.sin(math.pi * (hour - 5) / 16)) if 5 < hour < 21 else 0.0
        watts = 150.0 * sun * self._clouds
        self._yield_kwh += watts / 3.6e6
        millivolts = 12_800 + round(watts * 4) + self._random.randrange(-10, 10)
        load_ma = 400 + self._random.randrange(0, 50)
        lines = [
            "PID\t0xA042",
            "FW\t159",
            "SER#\tSIMULATED",
            f"V\t{millivolts}",
            f"I\t{round(watts * 1e6 / millivolts) - load_ma}",
            f"VPV\t{18_000 + round(watts * 20)}",
            f"PPV\t{round(watts)}",
            f"CS\t{3 if watts else 0}",
            "ERR\t0",
            "LOAD\tON",
            f"IL\t{load_ma}",
            f"H19\t{round(self._yield_kwh * 100)}",
        ]
        text = "".join(f"\r\n{line}" for line in [*lines, "Checksum\t"]).encode("ascii")
        return text + bytes((-sum(text) & 0xFF,))

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - HEX commands are not answered
        """Return nothing: without HEX commands the charger only sends."""
        return b""
