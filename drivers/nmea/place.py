"""The place of something that stands still: of many exact positions, one coarse one a window."""

from statistics import median

from gateway.reading import Measured

__all__ = ["MAX_FIXES", "PlaceWindow", "ReceiverTime"]

DAY_S = 86_400.0
UNTIMED_S = 1.0
"""What a sentence without a time counts for: without a fix, most receivers send one a second."""
MAX_FIXES = 512
"""So many are kept of a window, evenly spread; more do not make a median better."""


class ReceiverTime:
    """Counts the seconds that pass, by the time of day that sentences tell."""

    def __init__(self) -> None:
        self._last: float | None = None

    def pass_to(self, second: float) -> float:
        """Return the seconds since the sentence before; 0 for the first, and for a step back."""
        if second == self._last:
            return 0.0
        passed_s = 0.0 if self._last is None else (second - self._last) % DAY_S
        self._last = second
        return passed_s if passed_s < DAY_S / 2 else 0.0


class PlaceWindow:
    """Gathers fixes and gives their median, rounded; what is exact stays in here.

    Each coordinate has its own median, so that what echoes between houses do to a few fixes does
    not count. Longitudes are counted from the first fix: 179.9999 and -179.9999 are neighbours.
    """

    def __init__(self, window_s: float, decimals: int) -> None:
        self._window_s = window_s
        self._decimals = decimals
        self._passed_s = 0.0
        self._fixes: list[tuple[tuple[float, float], float | None]] = []
        """Latitude and longitude, altitude."""
        self._stride = 1
        """Of so many fixes one is kept."""
        self._seen = 0

    def pass_by(self, seconds: float) -> list[Measured]:
        """Let time pass; return the position where it ends a window that has one."""
        self._passed_s += seconds
        if self._passed_s < self._window_s:
            return []
        told = self._told() if self._fixes else []
        self._passed_s = 0.0
        self._fixes, self._stride, self._seen = [], 1, 0
        return told

    def add(self, place: tuple[float, float], altitude_m: float | None) -> None:
        """Take one fix."""
        if self._seen % self._stride == 0:
            self._fixes.append((place, altitude_m))
            if len(self._fixes) == MAX_FIXES:
                del self._fixes[1::2]
                self._stride *= 2
        self._seen += 1

    def _told(self) -> list[Measured]:
        _, first = self._fixes[0][0]
        latitude = median(latitude for (latitude, _), _ in self._fixes)
        east = median(_half_turn(longitude - first) for (_, longitude), _ in self._fixes)
        told = [
            Measured("site.latitude", _rounded(latitude, self._decimals)),
            Measured("site.longitude", _rounded(_half_turn(first + east), self._decimals)),
        ]
        altitudes = [altitude_m for _, altitude_m in self._fixes if altitude_m is not None]
        if altitudes:
            told.append(Measured("site.altitude", _rounded(median(altitudes), 0)))
        return told


def _half_turn(degrees: float) -> float:
    """Return the same angle from -180 to 180."""
    return (degrees + 180) % 360 - 180


def _rounded(value: float, decimals: int) -> float:
    return round(value, decimals) + 0.0  # + 0.0, because round(-0.00001, 4) is -0.0
