"""``rate``: a value that changes faster than the quantity can is flagged, or dropped."""

from typing import ClassVar

from gateway.filters.contract import FilterOptions, Passed
from gateway.filters.rate_options import RateOptions
from gateway.reading import Flag

__all__ = ["Rate", "RateOptions"]

TOO_FAST = int(Flag.RATE)


class Rate:
    """Sets ``Flag.RATE`` on a reading too far from the last good one for the time between them.

    Good is a reading that this filter did not flag. So a single outlier is flagged and the return
    from it is not; after a true jump readings are flagged until there was time enough for it.
    """

    name: ClassVar[str] = "rate"
    Options: ClassVar[type[FilterOptions]] = RateOptions
    thins: ClassVar[bool] = False
    __slots__ = ("_drops", "_last", "_last_ns", "_per_ns", "_started")

    def __init__(self, options: RateOptions) -> None:
        self._per_ns = options.max / (options.per * 1e9)
        self._drops = options.action == "drop"
        self._started = False
        self._last = 0.0
        self._last_ns = 0

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading, flagged if it came too fast; None if so and to be dropped."""
        number = value
        now_ns = time_ns
        if self._started and abs(number - self._last) > self._per_ns * abs(now_ns - self._last_ns):
            return None if self._drops else (time_ns, value, flags | TOO_FAST)
        self._started = True
        self._last = number
        self._last_ns = now_ns
        return time_ns, value, flags
