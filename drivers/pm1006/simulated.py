"""A make-believe PM1006 inside an IKEA box: the same bytes for the same seed."""

import random

__all__ = ["SimulatedPm1006"]

ANSWERS_A_CYCLE = 7
"""The box runs the fan, asks so often, and rests."""
CYCLE = 14
READ_PM25 = bytes.fromhex("11020b01e1")
MEAN_UG_M3 = 9.0


class SimulatedPm1006:
    """Shows the answers that the box asks for, and answers the same question itself."""

    def __init__(self, seed: int) -> None:
        self.interval_s = 2.5
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._pm25 = MEAN_UG_M3
        self._tick = 0
        self._received = b""

    def emit(self) -> bytes:
        """Return the next answer of a cycle, or nothing while the box rests."""
        self._tick += 1
        return self._answer() if self._tick % CYCLE < ANSWERS_A_CYCLE else b""

    def receive(self, data: bytes) -> bytes:
        """Take questions, whole or in pieces; return the answers to them."""
        self._received += data
        *asked, rest = self._received.split(READ_PM25)
        self._received = rest[1 - len(READ_PM25) :]
        return b"".join(self._answer() for _ in asked)

    def _answer(self) -> bytes:
        step = self._random.gauss(0.0, 1.0) + 0.02 * (MEAN_UG_M3 - self._pm25)
        self._pm25 = min(max(self._pm25 + step, 0.0), 500.0)
        raw = self._random.randrange(900, 1100)
        words = (0, round(self._pm25), 0, raw, 0, round(self._pm25), 0, 0)
        body = b"\x16\x11\x0b" + b"".join(word.to_bytes(2, "big") for word in words)
        return body + bytes((-sum(body) & 0xFF,))
