"""How long to wait before trying again."""

import random

__all__ = ["Backoff"]


class Backoff:
    """Exponential back-off with full jitter, capped; reset it after a stable time.

    The wait is drawn between nothing and the present limit, so that two hundred boxes that lost
    the same broker do not come back in the same second.
    """

    def __init__(
        self, *, first_s: float = 1.0, max_s: float = 60.0, rng: random.Random | None = None
    ) -> None:
        self.first_s = first_s
        self.max_s = max_s
        self.attempts = 0
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing

    def next_s(self) -> float:
        """Return the next wait in seconds: between ``first_s / 2`` and the growing limit."""
        limit = min(self.max_s, self.first_s * 2.0**self.attempts)
        self.attempts = min(self.attempts + 1, 62)
        floor = min(self.first_s, self.max_s) / 2
        return floor + self._rng.random() * (limit - floor)

    def reset(self) -> None:
        """Begin again with the shortest wait."""
        self.attempts = 0
