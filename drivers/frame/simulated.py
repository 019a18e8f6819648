"""The make-believe board of sample.toml: the same bytes for the same seed."""

import random
import struct

from drivers.checks import check_bytes

__all__ = ["SimulatedFrame"]

MEANS = (12.0, 70.0, 1009.0)
"""Temperature, humidity and pressure around which the air wanders."""
STEPS = (0.1, 0.4, 0.1)


class SimulatedFrame:
    """Reports every two seconds, and listens to nothing."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 2.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._air = list(MEANS)
        self._check = check_bytes("crc16-modbus")

    def emit(self) -> bytes:
        """Return the next report."""
        for n, (mean, step) in enumerate(zip(MEANS, STEPS, strict=True)):
            self._air[n] += self._random.gauss(0.0, step) + 0.01 * (mean - self._air[n])
        temperature, humidity, pressure = self._air
        body = b"\xaa\x55" + struct.pack(
            "<hHIH",
            round(temperature * 100),
            round(min(max(humidity, 0.0), 100.0) * 100),
            round(pressure * 100),
            self._random.randrange(3600, 3700),
        )
        return body + self._check(body) + b"\x0d"

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - it has no receiver
        """Return nothing."""
        return b""
