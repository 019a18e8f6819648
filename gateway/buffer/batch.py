"""What a reader is given: a run of readings as columns, or a run that it will never get."""

from dataclasses import dataclass, field
from typing import Literal

from gateway.reading import Flag

__all__ = ["DROP_REASONS", "Batch", "DropReason", "Gap"]

DropReason = Literal[
    "overwritten",  # the ring came round, or memory was used up while the disk failed
    "policy",  # the link's own rules
    "rejected",  # the broker would not have it
    "corrupt",  # could not be read any more
    "expired",  # older than the retention of its privacy class
    "purged",  # removed on request
]
DROP_REASONS: tuple[DropReason, ...] = (
    "overwritten",
    "policy",
    "rejected",
    "corrupt",
    "expired",
    "purged",
)


@dataclass(slots=True)
class Batch:
    """Readings ``first`` .. ``last`` of one epoch and one boot, as columns of the same length."""

    epoch: int
    boot: int
    first: int
    """Sequence of the first reading; reading i has ``first + i``."""
    series: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    """CLOCK_BOOTTIME of that boot."""
    values: list[float] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    offset_ns: int = 0
    """Wall time is boot time plus this: the best that is known of that boot."""
    synced: bool = False
    """The clock of that boot was right."""
    estimated: bool = False
    """It was not, and that boot is over: it is placed between its neighbours."""

    @property
    def doubt(self) -> int:
        """What the times add to the flags of every reading."""
        if self.synced:
            return 0
        return int(Flag.ESTIMATED if self.estimated else Flag.CLOCK_UNSYNCED)

    @property
    def last(self) -> int:
        """Sequence of the last reading."""
        return self.first + len(self.series) - 1

    def keep(self, count: int) -> None:
        """Leave only the first ``count`` readings."""
        for column in (self.series, self.times_ns, self.values, self.flags):
            del column[count:]

    def __len__(self) -> int:
        return len(self.series)


@dataclass(frozen=True, slots=True)
class Gap:
    """Readings ``first`` .. ``last`` (inclusive) that this link will never get, and why.

    The two times are bounds in wall ns, None where nothing is known: nothing in the gap is older
    than ``first_time_ns`` (the last reading before it) or younger than ``last_time_ns`` (the first
    one after it). The link settles the range with ``dropped={reason: count}`` once the gap was
    reported.
    """

    first: int
    last: int
    reason: DropReason
    first_time_ns: int | None = None
    last_time_ns: int | None = None

    @property
    def count(self) -> int:
        """How many readings are missing."""
        return self.last - self.first + 1
