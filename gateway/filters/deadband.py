"""``deadband``: send on change, with a heartbeat so that silence stays visible."""

from typing import ClassVar

from gateway.filters.contract import FilterOptions, Passed
from gateway.filters.deadband_options import DeadbandOptions

__all__ = ["Deadband", "DeadbandOptions"]


class Deadband:
    """Passes a reading that differs from the one it passed last.

    It passes when it is the first, when its flags differ, when its value differs by more than the
    band (the larger of ``absolute`` and ``percent`` of the value passed last), or when its event
    time is at least ``heartbeat`` after that of the reading passed last.
    """

    name: ClassVar[str] = "deadband"
    Options: ClassVar[type[FilterOptions]] = DeadbandOptions
    thins: ClassVar[bool] = True
    __slots__ = ("_absolute", "_due_ns", "_flags", "_heartbeat_ns", "_high", "_low", "_share")

    def __init__(self, options: DeadbandOptions) -> None:
        self._absolute = options.absolute or 0.0
        self._share = (options.percent or 0.0) / 100
        self._heartbeat_ns = round(options.heartbeat * 1e9)
        self._flags = -1
        """Of the reading passed last; -1, which no reading has, before the first."""
        self._low = self._high = 0.0
        self._due_ns = 0

    def apply(self, time_ns: int, value: float, flags: int) -> Passed | None:
        """Return the reading if it says something new or the heartbeat is due, else None."""
        number = value
        now_ns = time_ns
        if self._low <= number <= self._high and now_ns < self._due_ns and flags == self._flags:
            return None
        width = max(self._absolute, abs(number) * self._share)
        self._low = number - width
        self._high = number + width
        self._due_ns = now_ns + self._heartbeat_ns
        self._flags = flags
        return time_ns, value, flags
