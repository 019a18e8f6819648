"""The filters of one series, one after the other."""

from collections.abc import Callable, Sequence

from gateway.filters.contract import Filter, Passed

__all__ = ["Chain"]


class Chain:
    """Runs a reading through filters in order, until one drops it.

    ``apply(time_ns, value, flags)`` returns the (time_ns, value, flags) to store, or None where
    nothing comes out; then ``dropped_by`` names the filter. A chain of one filter is that filter:
    ``apply`` is its own bound method.
    """

    __slots__ = ("_steps", "apply", "dropped_by")

    apply: Callable[[int, float, int], Passed | None]

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._steps = tuple((each.name, each.apply) for each in filters)
        self.dropped_by = filters[0].name if filters else ""
        """The filter that dropped the last reading for which ``apply`` returned None."""
        self.apply = filters[0].apply if len(filters) == 1 else self._apply_all

    def _apply_all(self, time_ns: int, value: float, flags: int) -> Passed | None:
        passed = (time_ns, value, flags)
        for name, apply in self._steps:
            result = apply(*passed)
            if result is None:
                self.dropped_by = name
                return None
            passed = result
        return passed
