"""How many readings a minute each sensor gives, from one look to the next."""

from collections import deque
from collections.abc import Mapping

from gateway.cli.top.snapshot import Snapshot

__all__ = ["Rates"]

WINDOW_S = 60.0
ENOUGH_S = 10.0
"""Over less than this the mean since the start says more."""
S_PER_MIN = 60.0
MAX_LOOKS = 1000


class Rates:
    """Takes one snapshot after the other; a restart of the daemon begins anew."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, Mapping[str, int]]] = deque(maxlen=MAX_LOOKS)

    def take(self, snapshot: Snapshot) -> None:
        """Remember the counts of one look; the daemon's own time counts, not ours."""
        if self._looks and snapshot.uptime_s < self._looks[-1][0]:
            self._looks.clear()
        counts = {sensor.name: sensor.readings for sensor in snapshot.sensors}
        self._looks.append((snapshot.uptime_s, counts))
        while len(self._looks) > 2 and snapshot.uptime_s - self._looks[1][0] >= WINDOW_S:
            self._looks.popleft()

    def per_minute(self, sensor: str) -> float | None:
        """Return the rate over the last minute, or since the start; None before there is one."""
        if not self._looks:
            return None
        until_s, counts = self._looks[-1]
        since_s, before = self._looks[0]
        readings = counts.get(sensor, 0)
        earlier = before.get(sensor)
        if until_s - since_s >= ENOUGH_S and earlier is not None and earlier <= readings:
            return (readings - earlier) / (until_s - since_s) * S_PER_MIN
        return readings / until_s * S_PER_MIN if until_s > 0 else None
