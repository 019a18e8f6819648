"""A make-believe LD2410: the same bytes for the same seed."""

import random

__all__ = ["SimulatedLd2410", "report"]

FRAMES_PER_EMIT = 20
FRAMES_PER_S = 10
STAY_CHANCE = 0.02
"""Of somebody coming or going, in each frame."""


def report(state: int, moving_cm: int, static_cm: int) -> bytes:
    """Return one basic report."""
    body = b"\x02\xaa" + bytes((state,)) + moving_cm.to_bytes(2, "little") + b"\x40"
    body += static_cm.to_bytes(2, "little") + b"\x32" + moving_cm.to_bytes(2, "little")
    body += b"\x55\x00"
    return b"\xf4\xf3\xf2\xf1" + len(body).to_bytes(2, "little") + body + b"\xf8\xf7\xf6\xf5"


class SimulatedLd2410:
    """Somebody comes, moves, stands and goes again; ten reports a second."""

    def __init__(self, seed: int) -> None:
        self.interval_s = FRAMES_PER_EMIT / FRAMES_PER_S
        self._random = random.Random(seed)  # noqa: S311 - a simulation, no secret
        self._there = False

    def emit(self) -> bytes:
        """Return the reports of the next two seconds."""
        return b"".join(self._next() for _ in range(FRAMES_PER_EMIT))

    def receive(self, data: bytes) -> bytes:
        """Take what the host writes, which is nothing, and stay silent."""
        return data[:0]

    def _next(self) -> bytes:
        if self._random.random() < STAY_CHANCE:
            self._there = not self._there
        if not self._there:
            return report(0, 0, 0)
        state = self._random.choice((1, 2, 3))
        return report(state, self._random.randrange(75, 400), self._random.randrange(75, 400))
