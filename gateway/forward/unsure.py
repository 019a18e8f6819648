"""Readings that went out with a doubtful time, as ranges that stay few whatever happens."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

__all__ = [
    "MAX_RANGES",
    "Unsure",
    "UnsureRanges",
    "parse_ranges",
    "ranges_document",
    "with_reserve",
]

MAX_RANGES = 256
"""At this number neighbouring ranges become one, whose correction is less exact."""
SPREAD_NS = 50_000_000
"""Readings whose offsets differ by more are told apart: a clock that is not right may be set."""
RESERVED_READINGS = 100_000
"""What is kept runs ahead of what was sent by so many, so that hardly a message has to wait."""


@dataclass(frozen=True, slots=True)
class Unsure:
    """Readings ``first`` .. ``last`` of one boot, and the offsets that their times were sent with.

    None beyond ``reserved`` was sent; it is above ``last`` only for what an earlier process sent,
    which may not have come to say how far it got.
    """

    epoch: int
    boot: int
    boot_id: bytes
    first: int
    last: int
    reserved: int
    low_ns: int
    high_ns: int

    @property
    def middle_ns(self) -> int:
        """The offset that is least wrong for all of them."""
        return (self.low_ns + self.high_ns) // 2

    @property
    def spread_ns(self) -> int:
        """How far the offsets lie apart."""
        return self.high_ns - self.low_ns

    @property
    def source(self) -> tuple[int, int, bytes]:
        """What two ranges must share to become one."""
        return self.epoch, self.boot, self.boot_id

    def joined(self, other: "Unsure") -> "Unsure":
        """Return the range that covers both."""
        return replace(
            self,
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            reserved=max(self.reserved, other.reserved),
            low_ns=min(self.low_ns, other.low_ns),
            high_ns=max(self.high_ns, other.high_ns),
        )

    def without(self, other: "Unsure") -> Iterator["Unsure"]:
        """Yield what is left of this range when the numbers of the other are taken out."""
        if (
            self.source != other.source
            or self.reserved < other.first
            or other.reserved < self.first
        ):
            yield self
            return
        if self.first < other.first:
            end = other.first - 1
            yield replace(self, last=min(self.last, end), reserved=end)
        if other.reserved < self.reserved:
            begin = other.reserved + 1
            yield replace(self, first=begin, last=max(self.last, begin))

    def covers(self, other: "Unsure") -> bool:
        """Tell whether all that the other says is said by this range, too."""
        return (
            self.source == other.source
            and self.first <= other.first
            and other.reserved <= self.reserved
            and self.low_ns <= other.low_ns
            and other.high_ns <= self.high_ns
        )


class UnsureRanges:
    """Disjoint ranges, sorted; what was sent again counts with the offset of the last time."""

    def __init__(self) -> None:
        self._ranges: list[Unsure] = []
        self.forgotten = 0
        """Ranges of other runs that no longer had a place."""

    def __iter__(self) -> Iterator[Unsure]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def add(self, new: Unsure) -> None:
        """Add a range. It joins its neighbours if nothing is lost by it, or if room is needed."""
        self.remove(new)
        self._ranges.append(new)
        self._ranges.sort(key=lambda one: (one.epoch, one.boot, one.first))
        at = self._ranges.index(new)
        for left in (at, at - 1):
            pair = self._ranges[max(left, 0) : left + 2]
            if len(pair) == 2 and _belong_together(*pair):
                self._ranges[left : left + 2] = [pair[0].joined(pair[1])]
        while len(self._ranges) > MAX_RANGES:
            self._make_room()

    def remove(self, gone: Unsure) -> None:
        """Take these numbers out."""
        self._ranges = [piece for one in self._ranges for piece in one.without(gone)]

    def _make_room(self) -> None:
        joined = [
            (left.joined(right).spread_ns, right.first - left.reserved, at)
            for at, (left, right) in enumerate(zip(self._ranges, self._ranges[1:], strict=False))
            if left.source == right.source
        ]
        if not joined:
            del self._ranges[0]
            self.forgotten += 1
            return
        _, _, at = min(joined)
        self._ranges[at : at + 2] = [self._ranges[at].joined(self._ranges[at + 1])]


def _belong_together(left: Unsure, right: Unsure) -> bool:
    return (
        left.source == right.source
        and left.reserved + 1 == right.first
        and left.joined(right).spread_ns <= SPREAD_NS
    )


def with_reserve(ranges: Sequence[Unsure], growing: set[tuple[int, int, bytes]]) -> list[Unsure]:
    """Return what is to be kept: those that still grow are kept as what they may have become."""
    kept = []
    for at, one in enumerate(ranges):
        if one.source not in growing:
            kept.append(one)
            continue
        reserved = one.reserved + RESERVED_READINGS
        if at + 1 < len(ranges) and ranges[at + 1].source == one.source:
            reserved = min(reserved, ranges[at + 1].first - 1)
        low_ns = min(one.low_ns, one.high_ns - SPREAD_NS)
        high_ns = max(one.high_ns, one.low_ns + SPREAD_NS)
        kept.append(replace(one, reserved=reserved, low_ns=low_ns, high_ns=high_ns))
    return kept


def ranges_document(ranges: Sequence[Unsure]) -> list[dict[str, Any]]:
    """Return the ranges as JSON-serialisable data."""
    return [
        {
            "epoch": one.epoch,
            "boot": one.boot,
            "boot_id": one.boot_id.hex(),
            "first": one.first,
            "last": one.reserved,
            "low_ns": one.low_ns,
            "high_ns": one.high_ns,
        }
        for one in ranges
    ]


def parse_ranges(content: Any, next_sequence: int) -> list[Unsure]:
    """Return the ranges of an earlier process; KeyError, TypeError or ValueError for nonsense."""
    return [
        Unsure(
            int(row["epoch"]),
            int(row["boot"]),
            bytes.fromhex(row["boot_id"]),
            int(row["first"]),
            max(int(row["first"]), min(int(row["last"]), next_sequence - 1)),
            int(row["last"]),
            int(row["low_ns"]),
            int(row["high_ns"]),
        )
        for row in content[:MAX_RANGES]
    ]
