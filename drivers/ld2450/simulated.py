"""A make-believe LD2450: the same bytes for the same seed, and who really walked past it."""

import random
import struct
from collections.abc import Sequence
from math import hypot
from typing import NamedTuple

__all__ = ["SimulatedLd2450", "Walker", "frame_of", "seen"]

FRAMES_PER_S = 10
FRAMES_PER_EMIT = 20
"""Two seconds at a time."""
MAX_TARGETS = 3
FARTHEST_MM = 6000.0
NEAREST_MM = 300.0
RESOLUTION_MM = 360
POSITIVE = 0x8000
NOISE_MM = 15.0
ARRIVAL_CHANCE = 0.02
"""Of somebody new, in each frame."""


class Walker(NamedTuple):
    """Somebody who goes straight on: place in mm at a frame, and mm a second."""

    frame: int
    x: float
    y: float
    speed_x: float
    speed_y: float

    def at(self, frame: int, frames_per_s: float) -> tuple[float, float]:
        """Return where he is."""
        seconds = (frame - self.frame) / frames_per_s
        return self.x + self.speed_x * seconds, self.y + self.speed_y * seconds

    @property
    def kmh(self) -> float:
        """Return how fast he is."""
        return hypot(self.speed_x, self.speed_y) * 0.0036


def seen(x: float, y: float) -> bool:
    """Tell whether the radar sees somebody there: 6 m, 60 degrees to both sides."""
    return hypot(x, y) <= FARTHEST_MM and y >= NEAREST_MM and y >= 0.58 * abs(x)


def _signed(value: float) -> int:
    number = round(value)
    return number + POSITIVE if number >= 0 else -number


def frame_of(
    walkers: Sequence[Walker],
    frame: int,
    source: random.Random,
    *,
    frames_per_s: float = FRAMES_PER_S,
    noise_mm: float = NOISE_MM,
) -> bytes:
    """Return one frame: at most three who are seen, in any order, as the radar numbers them."""
    targets = []
    for walker in walkers:
        x, y = walker.at(frame, frames_per_s)
        if frame < walker.frame or not seen(x, y):
            continue
        radial = (walker.speed_x * x + walker.speed_y * y) / hypot(x, y)
        x += source.gauss(0.0, noise_mm)
        y += source.gauss(0.0, noise_mm)
        targets.append((_signed(x), _signed(y), _signed(radial / 10), RESOLUTION_MM))
    source.shuffle(targets)
    body = b"".join(struct.pack("<4H", *target) for target in targets[:MAX_TARGETS])
    return b"\xaa\xff\x03\x00" + body.ljust(8 * MAX_TARGETS, b"\x00") + b"\x55\xcc"


class SimulatedLd2450:
    """People walk past in both directions, at 3 to 7 km/h, at most three at a time."""

    def __init__(self, seed: int) -> None:
        self.interval_s = FRAMES_PER_EMIT / FRAMES_PER_S
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._frame = 0
        self._walkers: list[Walker] = []

    def emit(self) -> bytes:
        """Return the frames of the next two seconds."""
        return b"".join(self._next() for _ in range(FRAMES_PER_EMIT))

    def receive(self, data: bytes) -> bytes:
        """Take what the host writes, which is nothing, and stay silent."""
        return data[:0]

    def _next(self) -> bytes:
        self._frame += 1
        walkers = [w for w in self._walkers if seen(*w.at(self._frame, FRAMES_PER_S))]
        if len(walkers) < MAX_TARGETS and self._random.random() < ARRIVAL_CHANCE:
            walkers.append(self._arrive(len(walkers)))
        self._walkers = walkers
        return frame_of(walkers, self._frame, self._random)

    def _arrive(self, others: int) -> Walker:
        """Come from near or far, on a way of one's own."""
        speed = min(max(self._random.gauss(1350.0, 220.0), 800.0), 2000.0)
        x = (0.0, -900.0, 900.0)[others] + self._random.uniform(-200.0, 200.0)
        if self._random.random() < 0.5:
            return Walker(self._frame, x, 5300.0, self._random.uniform(-40.0, 40.0), -speed)
        return Walker(self._frame, x * 0.3, 700.0, self._random.uniform(-40.0, 40.0), speed)
