"""What the ring costs the card, from what it has written so far."""

from dataclasses import dataclass

__all__ = ["MIN_WEAR_S", "Wear", "card_life_years"]

S_PER_DAY = 86_400.0
DAYS_PER_YEAR = 365.25
BYTES_PER_TB = 1e12
MIN_WEAR_S = 60.0
"""Before this time a rate per day says nothing."""


@dataclass(frozen=True, slots=True)
class Wear:
    """Bytes and readings that were written in ``elapsed_s`` seconds."""

    written_bytes: int
    written_readings: int
    elapsed_s: float

    @property
    def bytes_per_reading(self) -> float | None:
        """Bytes written for each reading written; None before the first."""
        return self.written_bytes / self.written_readings if self.written_readings else None

    @property
    def bytes_per_day(self) -> float | None:
        """Bytes a day at the rate since the start; None in the first minute."""
        if self.elapsed_s < MIN_WEAR_S:
            return None
        return self.written_bytes * S_PER_DAY / self.elapsed_s


def card_life_years(
    bytes_per_day: float, *, endurance_tb: float, amplification: float = 1.0
) -> float | None:
    """Return how many years a card lasts that may have ``endurance_tb`` (10^12 bytes) written.

    ``amplification``: bytes that the card writes inside for each byte that it is given; 1 is
    the best case, small writes may cost ten. None if nothing is written. ValueError if a figure
    is not positive.
    """
    if endurance_tb <= 0 or amplification <= 0 or bytes_per_day < 0:
        raise ValueError("endurance and amplification must be above 0, bytes per day not below")
    if not bytes_per_day:
        return None
    return endurance_tb * BYTES_PER_TB / (bytes_per_day * amplification) / DAYS_PER_YEAR
