"""A make-believe TF-Luna at a lane: the same bytes for the same seed, and what really passed."""

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Blocking", "SimulatedTfLuna", "frame"]

FRAMES_PER_EMIT = 200
"""Two seconds at a time."""
FACTORY_RATE = 100
WALL_CM = 620
STRENGTH = 900
COMMAND_START = 0x5A
MAX_PENDING_BYTES = 64


class Blocking(NamedTuple):
    """Something in the beam, from one frame up to another."""

    first: int
    behind: int
    distance_cm: int


def frame(distance_cm: int, strength: int, celsius: float) -> bytes:
    """Return one frame."""
    body = b"YY" + b"".join(
        number.to_bytes(2, "little")
        for number in (distance_cm, strength, round((celsius + 256) * 8))
    )
    return body + bytes((sum(body) & 0xFF,))


class SimulatedTfLuna:
    """Vehicles pass at 30 to 60 km/h in front of a wall, one every five seconds or so."""

    def __init__(self, seed: int, blockings: Sequence[Blocking] | None = None) -> None:
        self.interval_s = FRAMES_PER_EMIT / FACTORY_RATE
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._traffic = blockings is None
        self._coming = list(blockings or ())
        self._number = 0
        self._celsius = 24.0
        self._rate = FACTORY_RATE
        self._pending = b""

    def emit(self) -> bytes:
        """Return the frames of the next two seconds (at 100 a second)."""
        return b"".join(self.next_frame() for _ in range(round(self.interval_s * self._rate)))

    def next_frame(self) -> bytes:
        """Return one frame."""
        number = self._number
        self._number += 1
        self._celsius += 0.001 * (24.0 - self._celsius) + self._random.gauss(0.0, 0.02)
        while self._coming and self._coming[0].behind <= number:
            self._coming.pop(0)
        if self._traffic and not self._coming:
            self._coming.append(self._arrive(number))
        blocking = self._coming[0] if self._coming else None
        distance = WALL_CM if blocking is None or number < blocking.first else blocking.distance_cm
        return frame(
            distance + self._random.randrange(-3, 4),
            STRENGTH + self._random.randrange(-200, 200),
            self._celsius,
        )

    def receive(self, data: bytes) -> bytes:
        """Take commands, whole or in pieces; return the answers, which repeat them."""
        self._pending = (self._pending + data)[-MAX_PENDING_BYTES:]
        answers = b""
        while len(self._pending) > 1:
            length = self._pending[1]
            if self._pending[0] != COMMAND_START or length < 4:
                self._pending = self._pending[1:]
            elif len(self._pending) < length:
                break
            else:
                answers += self._obey(self._pending[:length])
                self._pending = self._pending[length:]
        return answers

    def _obey(self, command: bytes) -> bytes:
        if command[-1] != sum(command[:-1]) & 0xFF:
            return b""
        if command[2] == 0x03:
            self._rate = int.from_bytes(command[3:5], "little")
        return command

    def _arrive(self, number: int) -> Blocking:
        """Return the next vehicle: a car as a rule, a lorry now and then."""
        length_m = 12.0 if self._random.random() < 0.1 else self._random.uniform(3.5, 5.0)
        speed_m_s = self._random.uniform(8.0, 16.0)
        first = number + round(self._rate * (1.0 + self._random.expovariate(0.25)))
        frames = max(round(self._rate * length_m / speed_m_s), 4)
        return Blocking(first, first + frames, self._random.randrange(150, 300))
