"""Which of the tasks that read sensors make no step any more, though nothing may hold them up."""

from collections.abc import Mapping

__all__ = ["STUCK_S", "Standstill"]

STUCK_S = 300.0
"""Five times the longest time that such a task waits rightly (gateway/transports/stats.py)."""
LONGEST_LOOK_S = 30.0
"""A pause between two looks counts as so long at most: a machine that was frozen is not stuck."""


class Standstill:
    """Compares the steps of tasks from look to look; a step is any wait that ended.

    An attempt to open a port that is not there is a step, and so is a time-out or a retry: a sensor
    that is unplugged, dead or silent never makes its task stuck.
    """

    def __init__(self) -> None:
        self._steps: dict[str, int] = {}
        self._idle_s: dict[str, float] = {}
        self._looked_s: float | None = None

    def look(self, steps: Mapping[str, int], now_s: float) -> None:
        """Take the steps that each task has made up to now; called every few seconds."""
        passed_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        self._idle_s = {
            name: self._idle_s[name] + min(passed_s, LONGEST_LOOK_S)
            if self._steps.get(name) == count
            else 0.0
            for name, count in steps.items()
        }
        self._steps = dict(steps)

    @property
    def stuck(self) -> tuple[str, ...]:
        """Return the names of the tasks that stand still."""
        return tuple(name for name, idle_s in self._idle_s.items() if idle_s >= STUCK_S)

    @property
    def all_stuck(self) -> bool:
        """Tell whether there are such tasks, and each of them stands still."""
        return bool(self._idle_s) and len(self.stuck) == len(self._idle_s)

    @property
    def tasks(self) -> int:
        """Return how many there are."""
        return len(self._idle_s)
