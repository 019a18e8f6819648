"""The newest values of one sensor's quantities, for filters that need more than one."""

from typing import NamedTuple

from gateway.reading import Dims

__all__ = ["MAX_SIBLINGS", "Note", "Sibling", "Siblings"]

MAX_SIBLINGS = 512
"""Series of one sensor that are remembered: as many as the intake lets a sensor have."""


class Sibling(NamedTuple):
    """The newest reading of one quantity."""

    time_ns: int
    value: float
    flags: int


class Siblings:
    """The newest reading by quantity and dimensions; shared by the chains of one sensor."""

    __slots__ = ("_newest",)

    def __init__(self) -> None:
        self._newest: dict[tuple[str, Dims], Sibling] = {}

    def note(self, quantity: str, dims: Dims, reading: Sibling) -> None:
        """Remember a reading unless it is older than the one that is known."""
        key = quantity, dims
        known = self._newest.get(key)
        if known is None and len(self._newest) >= MAX_SIBLINGS:
            return
        if known is None or reading.time_ns >= known.time_ns:
            self._newest[key] = reading

    def find(self, quantity: str, dims: Dims) -> Sibling | None:
        """Return the newest reading with these dimensions, else the one without any."""
        found = self._newest.get((quantity, dims))
        return found if found is not None or not dims else self._newest.get((quantity, ()))


class Note:
    """The step of a chain that lets the other chains of the sensor see its readings."""

    __slots__ = ("_dims", "_quantity", "_siblings")

    def __init__(self, siblings: Siblings, quantity: str, dims: Dims) -> None:
        self._siblings = siblings
        self._quantity = quantity
        self._dims = dims

    def apply(self, time_ns: int, value: float, flags: int) -> tuple[int, float, int]:
        """Return the reading as it is."""
        self._siblings.note(self._quantity, self._dims, Sibling(time_ns, value, flags))
        return time_ns, value, flags
