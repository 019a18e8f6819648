"""Every rule of docs/ring-format.md that a file can be held to, checked in one walk.

Two linear passes: one finds the newest block, one reads all blocks in the order of their numbers.
Memory does not grow with the file.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from gateway.buffer.inspect import BootTimes, Names, Place, RingView
from gateway.buffer.layout import BLOCK_SIZE, EMPTY_SLOT, REMOVED_SERIES, Block, header_cursors
from gateway.cli.buffer.figures import columns

__all__ = ["PASSES", "Finding", "Verifier"]

PASSES = 2
NUMBER_AT = 8
"""Where the number of a block stands in its header."""
MAX_REMEMBERED = 1000
"""Unknown series ids and boots that are told once each; of later ones every block is told."""

What = Literal[
    "super", "side-file", "block", "order", "cursor", "series", "boot", "hole", "unfinished"
]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; a note is no damage, but somebody may wonder."""

    kind: Literal["damage", "note"]
    what: What
    text: str
    block: int | None = None
    offset: int | None = None
    """Where it begins in the file, in bytes."""
    blocks: int = 1
    """So many blocks in a row, by number, are like that."""


class Verifier:
    """Checks one ring; ``blocks`` and ``readings`` count what is good while findings come."""

    def __init__(
        self,
        view: RingView,
        names: Names,
        times: BootTimes,
        *,
        whole_directory: bool,
        tick: Callable[[int], None],
    ) -> None:
        self.blocks = 0
        self.readings = 0
        self._view = view
        self._names = names
        self._times = times
        self._whole_directory = whole_directory
        self._tick = tick
        self._links = [(i, link) for i, link in enumerate(view.content.links) if link != EMPTY_SLOT]
        self._told: set[tuple[str, int]] = set()

    def findings(self) -> Iterator[Finding]:
        """Yield what is found, in the order of the file's parts and then of block numbers."""
        view = self._view
        yield from self._supers()
        yield from self._side_files()
        head = view.scan_head(self._tick)
        if head is None:
            yield Finding("damage", "block", "there is not one valid block")
            return
        yield from _merged(self._data(head))
        yield from self._never_written(head)

    # -- the parts --------------------------------------------------------------------------

    def _supers(self) -> Iterator[Finding]:
        supers = self._view.supers
        for place, content in enumerate(supers):
            at = place * BLOCK_SIZE
            if content is None:
                text = f"super block {'AB'[place]} is destroyed; the other one is used"
                yield Finding("damage", "super", text, offset=at)
            elif content.generation % 2 != place:
                text = f"generation {content.generation} stands in the wrong place"
                yield Finding("damage", "super", text, offset=at)
        if self._view.content.purging:
            text = "a purge of everything is under way, or was cut off; the next start completes it"
            yield Finding("note", "super", text)
        first, second = supers
        if first is None or second is None:
            return
        if (first.salt, first.blocks) != (second.salt, second.blocks):
            yield Finding("damage", "super", "the two super blocks are of different rings")

    def _side_files(self) -> Iterator[Finding]:
        for name, state in (("series.json", self._names.state), ("boots.json", self._times.state)):
            if state == "backup":
                text = f"{name} is damaged; its predecessor is used"
                yield Finding("damage", "side-file", text)
            elif state == "lost":
                yield Finding("damage", "side-file", f"{name} and its predecessor are damaged")
            elif state == "missing":
                text = f"{name} is not there"
                kind: Literal["damage", "note"] = "damage" if self._whole_directory else "note"
                yield Finding(kind, "side-file", text)

    def _data(self, head: Block) -> Iterator[Finding]:
        view = self._view
        previous: Block | None = None
        for number, place in view.walk(view.low(head), head.number + 1):
            block = place.block
            self._tick(view.blocks + number - view.low(head))
            if block is not None and block.number == number:
                yield from self._content(block, place, previous)
                previous = block
                self.blocks += 1
                self.readings += block.count
            elif block is not None and block.number > head.number:
                previous = None  # a daemon has gone on and wrote over it meanwhile
            else:
                yield self._bad(number, place, head)

    def _bad(self, number: int, place: Place, head: Block) -> Finding:
        """Say what is wrong with a place that should hold block ``number``."""
        soon = number + self._view.blocks <= head.number + 1 + self._view.max_unsynced
        if place.problem:
            text = place.problem
        elif place.block is not None:
            text = f"never arrived: block {place.block.number} of an earlier lap is still there"
        elif place.blank:
            if soon:
                text = "cleared at a start, because a flush had not finished there"
                return Finding("note", "unfinished", text, number, place.offset)
            text = "only zeros where readings were"
        else:
            stands = int.from_bytes(place.data[NUMBER_AT : NUMBER_AT + 8], "little")
            if soon and stands == number + self._view.blocks:
                return self._unfinished(place)
            text = "the checksum does not fit"
        return Finding("damage", "block", text, number, place.offset)

    def _never_written(self, head: Block) -> Iterator[Finding]:
        """Check that there is nothing behind the newest block in the first lap."""
        view = self._view
        begin = head.number + 1
        for place in view.slots(begin, max(0, view.blocks - begin)):
            self._tick(view.blocks + place.slot)
            if place.block is not None or place.blank:
                continue  # a daemon may have gone on meanwhile
            if place.slot <= head.number + 1 + view.max_unsynced:
                yield self._unfinished(place)
            else:
                text = place.problem or "bytes that no ring wrote"
                yield Finding("damage", "block", text, place.slot, place.offset)

    def _unfinished(self, place: Place) -> Finding:
        text = "half written by a flush that did not finish; the next start clears it"
        return Finding("note", "unfinished", text, None, place.offset)

    # -- what a valid block says ------------------------------------------------------------

    def _content(self, block: Block, place: Place, previous: Block | None) -> Iterator[Finding]:
        at = place.offset
        if previous is not None:
            if block.first < previous.end or block.epoch < previous.epoch:
                text = (
                    f"begins with sequence {block.first} of epoch {block.epoch}, "
                    f"but block {previous.number} ends before {previous.end} of {previous.epoch}"
                )
                yield Finding("damage", "order", text, block.number, at)
            elif block.number == previous.number + 1 and block.first > previous.end:
                text = (
                    f"{block.first - previous.end} readings before it were never written: every "
                    "link had them already, or they fell out of memory while the disk was failing"
                )
                yield Finding("note", "hole", text, block.number, at)
        cursors = header_cursors(block)
        for index, link in self._links:
            if block.number >= link.from_block and cursors[index] > block.end:
                text = f"link {link.name} stands at {cursors[index]}, behind the end {block.end}"
                yield Finding("damage", "cursor", text, block.number, at)
        yield from self._references(block, at)

    def _references(self, block: Block, at: int) -> Iterator[Finding]:
        if not block.count:
            return
        if self._names.state in ("good", "backup"):
            for series_id in sorted(set(columns(block, self._times).series) - {REMOVED_SERIES}):
                if not self._names.known(series_id) and self._tell("series", series_id):
                    text = f"series {series_id} is not in series.json"
                    yield Finding("damage", "series", text, block.number, at)
        if self._times.state not in ("good", "backup") or self._times.known(block.boot):
            return
        if self._tell("boot", block.boot):
            text = f"boot {block.boot} is not in boots.json; the block's own offset counts"
            yield Finding("note", "boot", text, block.number, at)

    def _tell(self, what: str, number: int) -> bool:
        """Say whether this was not told before, as far as memory goes."""
        if (what, number) in self._told:
            return False
        if len(self._told) < MAX_REMEMBERED:
            self._told.add((what, number))
        return True


def _merged(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Make one finding of neighbouring blocks that have the same wrong with them."""
    last: Finding | None = None
    for finding in findings:
        if last is not None and _continues(last, finding):
            last = replace(last, blocks=last.blocks + 1)
            continue
        if last is not None:
            yield last
        last = finding
    if last is not None:
        yield last


def _continues(last: Finding, finding: Finding) -> bool:
    alike = (last.what, last.kind, last.text) == (finding.what, finding.kind, finding.text)
    both = last.block is not None and finding.block is not None
    return alike and both and finding.block == (last.block or 0) + last.blocks
