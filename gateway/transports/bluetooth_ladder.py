"""The recovery ladder of the Bluetooth scan: what is tried, in which order, when nothing is heard.

    1  restart      start the scan again
    2  power_cycle  switch the adapter off and on, where permitted; else power_cycle_skipped
    3  report       say that a person is needed; go on trying

Any advertisement at all puts it back to the ground. An adapter that is not there, or switched off
by somebody, cannot be helped from here; it is reported when it stays away.
"""

from typing import Literal

from gateway.transports.stats import AdapterStats

__all__ = ["STEPS", "ScanLadder", "Step"]

Step = Literal["restart", "power_cycle", "report"]
STEPS: tuple[Step, ...] = ("restart", "power_cycle", "report")
SKIPPED = "power_cycle_skipped"
POWER_CYCLE_INTERVAL_S = 3600.0
"""An adapter that stays deaf is not switched off more often."""


class ScanLadder:
    """Counts the fruitless scans of one adapter and says what comes next; keeps its ``stats``.

    Times are those of the event loop. ``patience_s`` is how long an adapter may be absent.
    """

    def __init__(self, stats: AdapterStats, *, patience_s: float) -> None:
        self._stats = stats
        self._patience_s = patience_s
        self._fruitless = 0
        self._cycled_at: float | None = None
        self._absent_since: float | None = None

    def heard(self) -> None:
        """Take that something was heard."""
        self._fruitless = 0
        self._absent_since = None
        self._stats.recovery_step = 0

    def fruitless(self, now: float) -> Step | None:
        """Take a scan that heard nothing or did not start; return the step that comes now."""
        self._absent_since = None
        self._fruitless += 1
        if self._fruitless == STEPS.index("report") + 1:
            self._count("report", "report")
            return "report"
        if self._fruitless == 1:
            self._count("restart", "restart")
            return "restart"
        return "power_cycle" if self._may_power_cycle(now) else None

    def absent(self, now: float) -> Step | None:
        """Take that there is no adapter, or no BlueZ; return ``report`` when that lasts."""
        if self._absent_since is None:
            self._absent_since = now
        if now - self._absent_since < self._patience_s or self._reported:
            return None
        self._count("report", "report")
        return "report"

    def power_cycled(self, now: float, *, skipped: bool) -> None:
        """Take that the adapter was switched off and on, or that it was refused."""
        self._cycled_at = now
        self._count(SKIPPED if skipped else "power_cycle", "power_cycle")

    @property
    def _reported(self) -> bool:
        return self._stats.recovery_step == STEPS.index("report") + 1

    def _may_power_cycle(self, now: float) -> bool:
        return self._cycled_at is None or now - self._cycled_at >= POWER_CYCLE_INTERVAL_S

    def _count(self, what: str, step: Step) -> None:
        stats = self._stats
        stats.recoveries[what] = stats.recoveries.get(what, 0) + 1
        stats.recovery_step = max(stats.recovery_step, STEPS.index(step) + 1)
