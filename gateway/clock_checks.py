"""Compares our clock with the time that devices tell; see docs/decisions/0014-time-check.md.

Nothing here sets a clock or changes a reading. A told time is kept as a difference to boot time,
which never steps: when the wall clock is set, what is known of it is right at once.
"""

import logging
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Protocol

__all__ = ["LEAST_TOLD", "LIMIT_S", "MAX_AGE_S", "ClockChecks", "ToldTime"]

LIMIT_S = 5.0
"""Beyond this our clock is called wrong: a line is late by up to a second, and receivers that have
just woken up know the leap seconds of their firmware only."""
MAX_TOLD = 31
LEAST_TOLD = 5
"""Fewer told times say nothing."""
MAX_AGE_S = 600.0
"""A device that has told nothing for so long says nothing any more."""
NS_PER_S = 1_000_000_000
ROLLOVER_S = 1024 * 7 * 86_400
"""GPS counts weeks modulo 1024; a receiver that has lost count is wrong by a multiple of this."""
ROLLOVER_SLACK_S = 86_400.0

LOGGER = logging.getLogger("citylab_gateway.clock")


class ToldTime:
    """The time that one device told lately."""

    def __init__(self) -> None:
        self._offsets_ns: deque[int] = deque(maxlen=MAX_TOLD)
        self._last_ns = 0

    def add(self, utc_ns: int, received_ns: int) -> None:
        """Take a told time and the boot time at which it came in."""
        if received_ns - self._last_ns > MAX_AGE_S * NS_PER_S:
            self._offsets_ns.clear()
        self._offsets_ns.append(utc_ns - received_ns)
        self._last_ns = received_ns

    def ahead_s(self, now_ns: int, offset_ns: int) -> float | None:
        """Return by how much our clock is ahead of the told time; None while nobody knows.

        ``now_ns`` is boot time, ``offset_ns`` our wall time minus boot time.
        """
        too_old = now_ns - self._last_ns > MAX_AGE_S * NS_PER_S
        if too_old or len(self._offsets_ns) < LEAST_TOLD:
            return None
        return (offset_ns - median(self._offsets_ns)) / NS_PER_S


class Teller(Protocol):
    """What is read of a sensor (gateway.intake.SensorStats)."""

    @property
    def told_time(self) -> ToldTime | None:
        """Return the time that it told, None if it never did."""
        ...


class ClockChecks:
    """Says once when our clock is wrong by a sensor's time, and once when it is right again."""

    def __init__(self) -> None:
        self._wrong: set[str] = set()

    def look(self, sensors: Mapping[str, Teller], now_ns: int, offset_ns: int) -> None:
        """Compare; times as for ``ToldTime.ahead_s``. Call it about once a second."""
        for name, sensor in sensors.items():
            if sensor.told_time is None:
                continue
            ahead_s = sensor.told_time.ahead_s(now_ns, offset_ns)
            if ahead_s is None:
                continue
            if abs(ahead_s) <= LIMIT_S:
                if name in self._wrong:
                    LOGGER.warning("clock check: the wall clock agrees with %s again", name)
                    self._wrong.discard(name)
            elif name not in self._wrong:
                self._wrong.add(name)
                LOGGER.warning("clock check: %s", _told(name, ahead_s))
        self._wrong &= sensors.keys()


def _told(name: str, ahead_s: float) -> str:
    weeks = round(ahead_s / ROLLOVER_S)
    if weeks and abs(ahead_s - weeks * ROLLOVER_S) < ROLLOVER_SLACK_S:
        return (
            f"the date of {name} is wrong by 1024 weeks: its count of weeks has rolled over; "
            "update its firmware or replace it"
        )
    word = "ahead of" if ahead_s > 0 else "behind"
    return f"the wall clock is {abs(ahead_s):.1f} s {word} the time of {name}"
