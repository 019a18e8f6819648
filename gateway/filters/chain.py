"""The filters of one series, one after the other."""

from collections.abc import Callable, Sequence

from gateway.filters.contract import Expiring, Outbox, Output, Passed, Ticking
from gateway.filters.step import Step

__all__ = ["Chain"]


class Chain:
    """Runs a reading through filters in order, until one drops it.

    ``apply(time_ns, value, flags)`` returns the (time_ns, value, flags) to store in the series
    ``output``, or None where nothing comes out; then ``dropped_by`` names the filter, or is empty
    if that took the reading in (a window). Other series are in ``outputs``, and their readings in
    ``pending``, which whoever calls has to empty. A chain of one filter is that filter: ``apply``
    is its own bound method.
    """

    __slots__ = (
        "_expiring",
        "_names",
        "_steps",
        "_ticking",
        "apply",
        "dropped_by",
        "output",
        "outputs",
        "pending",
    )

    apply: Callable[[int, float, int], Passed | None]

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        output: Output | None = None,
        outbox: Outbox | None = None,
        everywhere: Sequence[Step] | None = None,
    ) -> None:
        """Take the steps; ``everywhere`` are these and those behind a window."""
        outbox = outbox if outbox is not None else Outbox()
        every = steps if everywhere is None else everywhere
        self.output = output
        self.outputs = outbox.outputs
        self.pending = outbox.pending
        self._steps = tuple(step.filter.apply for step in steps)
        self._names = tuple(step.drops_as for step in steps)
        self._ticking = tuple(step.filter for step in every if isinstance(step.filter, Ticking))
        self._expiring = tuple(step.filter for step in every if isinstance(step.filter, Expiring))
        self.dropped_by = self._names[0] if steps else ""
        """The filter that dropped the last reading for which ``apply`` returned None."""
        self.apply = self._steps[0] if len(steps) == 1 else self._apply_all

    @property
    def ticks(self) -> bool:
        """Something may happen without a reading."""
        return bool(self._ticking)

    @property
    def expired(self) -> int:
        """How many of its calibrations are too old."""
        return sum(each.expired for each in self._expiring)

    def tick(self, now_ns: int) -> None:
        """Let windows end and calibrations expire; boot time, about once a second."""
        for each in self._ticking:
            each.tick(now_ns)

    def close(self, now_ns: int | None) -> None:
        """Put out what windows hold, because the chain ends now (None: nobody knows when)."""
        for each in self._ticking:
            each.close(now_ns)

    def _apply_all(self, time_ns: int, value: float, flags: int) -> Passed | None:
        passed = (time_ns, value, flags)
        number = 0
        for apply in self._steps:
            result = apply(*passed)
            if result is None:
                self.dropped_by = self._names[number]
                return None
            passed = result
            number += 1  # noqa: SIM113 - enumerate costs a tuple for each filter
        return passed
