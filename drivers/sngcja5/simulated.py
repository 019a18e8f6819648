"""A make-believe SN-GCJA5: the same bytes for the same seed."""

import random

__all__ = ["SimulatedSngcja5"]

SPIN_UP_FRAMES = 3
"""Frames while the fan gets up to speed."""
FAN_CALIBRATES = 2
MEAN_UG_M3 = 9.0
COUNTS_PER_UG = (60, 40, 9, 0, 1.5, 0.4, 0.1)
"""Particles of each size; the fourth number is not used."""


class SimulatedSngcja5:
    """Reports once a second; particle values wander slowly and stay plausible for a street."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 1.0
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._fine = MEAN_UG_M3
        self._ticks = 0

    def emit(self) -> bytes:
        """Return the frame of this second."""
        self._ticks += 1
        if self._ticks <= SPIN_UP_FRAMES:
            return _frame([0, 0, 0], [0] * len(COUNTS_PER_UG), FAN_CALIBRATES)
        step = self._random.gauss(0.0, 0.5) + 0.02 * (MEAN_UG_M3 - self._fine)
        self._fine = min(max(self._fine + step, 0.5), 500.0)
        coarse = self._fine + abs(self._random.gauss(3.0, 1.0))
        masses = [round(0.6 * self._fine), round(self._fine), round(coarse)]
        return _frame(masses, [round(self._fine * each) for each in COUNTS_PER_UG], 0)

    def receive(self, data: bytes) -> bytes:  # noqa: ARG002 - it has no input
        """Answer nothing."""
        return b""


def _frame(masses: list[int], counts: list[int], status: int) -> bytes:
    body = b"".join(mass.to_bytes(4, "little") for mass in masses)
    body += b"".join(count.to_bytes(2, "little") for count in counts) + bytes((0, 0, status))
    check = 0
    for byte in body:
        check ^= byte
    return b"\x02" + body + bytes((check, 0x03))
