"""Which states a power cut may leave: the law of the fake disk.

What a ``sync`` of a file covered is there. Of what was written since, any 512-byte sectors may be
there in any combination, whatever the order of writing, also half a block; one sector may hold
garbage, because the power went while it was being written. Of two unsynced writes to one sector the
later one wins if both arrive. Names (create, rename, remove) that no ``fsync`` of the directory
covered may be missing from any point on, as in a journal; a rename is there whole or not at all.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from tests.crash.memory import Change, Image, put

__all__ = ["Cut", "Tape", "plan"]

SECTOR = 512
BLOCK = 4096
RANDOM_KINDS = ("alone", "but_one", "sectors", "sectors", "torn", "garbage")
RANDOM_PER_CUT = 3
MOST_EXHAUSTIVE = 12
"""Before a sync each waiting block is lost alone and kept alone, if there are at most so many."""


class Cut(NamedTuple):
    """One state: so many changes were asked for, and this became of the unsynced ones."""

    after: int
    kind: str
    which: int = -1
    """Of the unsynced block, for "alone" and "but_one"; -1: any."""


@dataclass(slots=True)
class _Pending:
    """Blocks of unsynced writes, and names that no directory sync covered."""

    writes: list[Change]
    names: list[Change]


class Tape:
    """Walks along the changes of a run and keeps what is durable at each point.

    States must be asked for in the order of their ``after``; asking is cheap.
    """

    def __init__(self, base: Image, changes: list[Change]) -> None:
        self._changes = changes
        self._at = 0
        self._durable = base.copy()
        self._pending = _Pending([], [])

    def state(self, cut: Cut, rng: random.Random) -> Image:
        """Return what the device may hold."""
        self._wind_to(cut.after)
        image = self._durable.copy()
        names = self._pending.names
        kept = {"all": len(names), "none": 0}.get(cut.kind, rng.randint(0, len(names)))
        for change in names[:kept]:
            image.apply(change)
        _choose(image, self._pending.writes, cut, rng)
        return Image(image.names, {inode: image.files[inode] for inode in image.names.values()})

    def waiting(self, after: int) -> int:
        """Return how many blocks wait for a sync there."""
        self._wind_to(after)
        return len(self._pending.writes)

    def _wind_to(self, after: int) -> None:
        if after < self._at:
            raise ValueError("a tape only runs forward")
        for change in self._changes[self._at : after]:
            self._take(change)
        self._at = after

    def _take(self, change: Change) -> None:
        pending = self._pending
        if change.kind == "name":
            pending.names.append(change)
        elif change.kind == "dirsync":
            for one in pending.names:
                self._durable.apply(one)
            pending.names.clear()
        elif change.kind == "sync":
            for one in pending.writes:
                if one.inode == change.inode:
                    self._durable.apply(one)
            pending.writes = [one for one in pending.writes if one.inode != change.inode]
        elif change.kind == "truncate":
            pending.writes.append(change)
        else:
            pending.writes += [
                Change("write", change.inode, change.offset + at, change.data[at : at + BLOCK])
                for at in range(0, len(change.data), BLOCK)
            ]


def plan(base: Image, changes: list[Change], rng: random.Random) -> Iterator[Cut]:
    """Yield the states of one run to look at, in order: every prefix, and samples at each."""
    tape = Tape(base, changes)
    for after in range(len(changes) + 1):
        waiting = tape.waiting(after)
        yield Cut(after, "all")
        if not waiting:
            continue
        yield Cut(after, "none")
        syncs = after < len(changes) and changes[after].kind == "sync"
        if syncs and 1 < waiting <= MOST_EXHAUSTIVE:
            for index in range(waiting):
                yield Cut(after, "alone", index)
                yield Cut(after, "but_one", index)
        for _ in range(RANDOM_PER_CUT):
            yield Cut(after, rng.choice(RANDOM_KINDS))


def _choose(image: Image, writes: list[Change], cut: Cut, rng: random.Random) -> None:
    if cut.kind == "none" or not writes:
        return
    if cut.kind == "all":
        for change in writes:
            image.apply(change)
        return
    special = cut.which if cut.which >= 0 else rng.randrange(len(writes))
    likely = rng.choice((0.1, 0.5, 0.9))
    for index, change in enumerate(writes):
        if cut.kind == "alone":
            if index == special:
                image.apply(change)
        elif cut.kind == "but_one":
            if index != special:
                image.apply(change)
        elif cut.kind in ("torn", "garbage") and index == special:
            _tear(image, change, rng, garbage=cut.kind == "garbage")
        else:
            _sectors(image, change, likely, rng)


def _sectors(image: Image, change: Change, likely: float, rng: random.Random) -> None:
    if change.kind == "truncate":
        if rng.random() < likely:
            image.apply(change)
        return
    target = image.files.setdefault(change.inode, bytearray())
    for at in range(0, len(change.data), SECTOR):
        if rng.random() < likely:
            put(target, change.offset + at, change.data[at : at + SECTOR])


def _tear(image: Image, change: Change, rng: random.Random, *, garbage: bool) -> None:
    """Let a write arrive up to a sector, or from one on; or whole but for one of garbage."""
    if change.kind == "truncate" or not change.data:
        return
    target = image.files.setdefault(change.inode, bytearray())
    sectors = -(-len(change.data) // SECTOR)
    place = rng.randrange(sectors) * SECTOR
    if garbage:
        image.apply(change)
        size = min(SECTOR, len(change.data) - place)
        put(target, change.offset + place, rng.randbytes(size))
    elif rng.random() < 0.5:
        put(target, change.offset, change.data[:place])
    else:
        put(target, change.offset + place, change.data[place:])
