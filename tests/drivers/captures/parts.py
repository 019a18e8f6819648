"""Feeds the frames of a capture file through a real decoder, and compares what comes out.

A ``Family`` is one capture file with one driver: how its frames reach the driver, what the file
expects in our words, and each difference with its reason. Captures are not infallible: their
values are another library's output, and their notes somebody's reading of a document.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from gateway.driver import Outcome, Request, Restarted
from gateway.reading import Fault, Measured
from tests.drivers.driver_cases import chunks, feed_all, make
from tests.shared_material import shared

__all__ = [
    "ABSENT",
    "CUTS",
    "NO_VALUE",
    "Cut",
    "Difference",
    "Family",
    "Frame",
    "Key",
    "Values",
    "Wanted",
    "ask",
    "behind",
    "collect",
    "damaged",
    "disagreement",
    "invented",
    "load",
    "one_each",
    "polled",
    "refused",
    "stream",
]

ABSENT = "the captures are not beside this checkout"

Key = tuple[str, str]
"""Quantity and the values of its dimensions: ``("power.active", "L1")``."""
Values = Mapping[Key, Sequence[float]]
Cut = Callable[[bytes], list[bytes]]


def _odd(data: bytes) -> list[bytes]:
    pieces, size = [], 1
    while data:
        pieces.append(data[:size])
        data, size = data[size:], size % 13 + 4
    return pieces


CUTS: Mapping[str, Cut] = {
    "whole": lambda data: [data],
    "byte by byte": lambda data: chunks(data, 1),
    "in odd pieces": _odd,
}


class Frame(NamedTuple):
    """One entry of a capture file."""

    number: int
    kind: str
    data: bytes
    expected: Mapping[str, Any]
    entry: Mapping[str, Any]
    before: tuple[Mapping[str, Any], ...] = ()
    """The entries that one decoder has heard before this one: counters, keys."""


NOTHING: Values = {}
NO_COUNTS: Mapping[str, int] = {}


class Wanted(NamedTuple):
    """What a frame should give."""

    values: Values = NOTHING
    faults: frozenset[str] | None = frozenset()
    """The kinds, however often each; ``restarted`` for a device that said so. None: any or none."""
    all_values: bool = True
    """False where the capture names only some of the values: others may be there."""
    counts: Mapping[str, int] = NO_COUNTS
    """How many readings of a quantity, where only that is known (then ``values`` are not used)."""


def one_each(values: Mapping[Key, float]) -> Values:
    """Return values that come once each."""
    return {key: [value] for key, value in values.items()}


def refused(*kinds: str) -> Wanted:
    """Return what a damaged or strange frame should give: faults and no value."""
    return Wanted(faults=frozenset(kinds))


NO_VALUE = Wanted()


class Difference(NamedTuple):
    """Where we give something else than the capture expects, and why that is right."""

    reason: str
    instead: Wanted = NO_VALUE


Run = Callable[["Family", Frame, bytes, Cut], list[Outcome]]


def always(frame: Frame) -> bool:
    """Say so of every frame."""
    return True


def alone(entry: Mapping[str, Any]) -> str:
    """Say of an entry that it has nothing to do with those before it."""
    return ""


def no_options(frame: Frame) -> dict[str, Any]:
    """Make the driver as it comes, whatever the frame."""
    return {}


@dataclass(frozen=True, kw_only=True)
class Family:
    """One capture file with the driver that reads it."""

    driver: str
    file: str
    run: Run
    """Makes the driver and lets it read (perhaps damaged) bytes of a frame, cut into pieces."""
    wanted: Callable[[Frame], Wanted]
    """What the capture expects, in our quantities and units."""
    options: Callable[[Frame], dict[str, Any]] = no_options
    after: bytes = b""
    """A good frame that is sent behind each one of the file."""
    differences: Mapping[str, Difference] = field(default_factory=dict)
    """By the kind of the frame, for a later one of a sequence with its place (``kind +1``), or by
    its number with a hash sign (``#3``)."""
    tolerance: float = 1e-9
    """Relative; below 1, absolute."""
    off_by: Callable[[Key, float], tuple[float, float]] = lambda key, value: (0.0, 0.0)
    """How far ours may be below and above a value that is expected, beside the tolerance."""
    data: Callable[[Mapping[str, Any]], bytes] = lambda entry: (
        bytes.fromhex(entry["hex"]) if "hex" in entry else str(entry["text"]).encode("latin-1")
    )
    counted: bool = True
    """False for a second look at a file with other options."""
    in_pieces: bool = True
    """False where a frame comes whole or not at all."""
    sequence: Callable[[Mapping[str, Any]], str] = alone
    """Entries with the same name are a sequence to one decoder, unless it is empty."""
    picked: Callable[[Mapping[str, Any]], bool] = lambda entry: True
    """Whether an entry of the file is of this driver."""
    checked: Callable[[Frame], bool] = always
    """Whether the protocol protects the frame, so that no damage may go unseen."""

    def __str__(self) -> str:
        return f"{self.driver}-{Path(self.file).stem}"

    def difference(self, frame: Frame) -> Difference | None:
        """Return what is known to differ for a frame."""
        kind = f"{frame.kind} +{len(frame.before)}" if frame.before else frame.kind
        return self.differences.get(f"#{frame.number}", self.differences.get(kind))


def load(family: Family) -> list[Frame] | None:
    """Return the frames of a family, None where the file is absent."""
    path = shared("captures", family.file)
    if path is None:
        return None
    if path.suffix == ".bin":
        return [Frame(0, "whole recording", path.read_bytes(), {}, {})]
    entries = json.loads(path.read_text(encoding="utf-8"))["frames"]
    heard: dict[str, tuple[Mapping[str, Any], ...]] = {}
    frames = []
    for number, entry in enumerate(entries):
        if not family.picked(entry):
            continue
        name = family.sequence(entry)
        before = heard.get(name, ()) if name else ()
        heard[name] = (*before, entry)
        kind, expected = entry["kind"], entry["expected"]
        frames.append(Frame(number, kind, family.data(entry), expected, entry, before))
    return frames


# -- how bytes reach a driver --------------------------------------------------------------------


def stream(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Feed a driver that listens."""
    return feed_all(make(family.driver, family.options(frame)), cut(data + family.after))


def polled(family: Family, frame: Frame, data: bytes, cut: Cut) -> list[Outcome]:
    """Answer the last question of a driver's first round."""
    device = make(family.driver, family.options(frame))
    *_, request = device.requests()
    return ask(device, request, data, cut)


def ask(device: Any, request: Request, data: bytes, cut: Cut) -> list[Outcome]:
    """Answer one question as the bus does: with no more than the driver takes for the answer."""
    got = b""
    for piece in cut(data):
        got += piece
        size = request.length(got) if callable(request.length) else request.length
        if size is not None and 0 < size <= len(got):
            got = got[:size]
            break
    return list(device.on_reply(request, got))


# -- what is compared ----------------------------------------------------------------------------


def collect(outcomes: Iterable[Outcome]) -> dict[Key, list[float]]:
    """Return the values of each series in the order in which they came."""
    found: dict[Key, list[float]] = {}
    for each in outcomes:
        if isinstance(each, Measured):
            key = each.quantity, "/".join(value for _, value in each.dims)
            found.setdefault(key, []).append(each.value)
    return found


@cache
def _behind(driver: str, options: str, after: bytes) -> Values:
    return collect(feed_all(make(driver, json.loads(options)), [after]))


def behind(family: Family, frame: Frame) -> Values:
    """Return what the good frame behind each one gives."""
    if not family.after:
        return {}
    return _behind(family.driver, json.dumps(family.options(frame)), family.after)


def disagreement(family: Family, frame: Frame, wanted: Wanted, outcomes: list[Outcome]) -> str:
    """Return in words where outcomes are not what is wanted, "" where they are."""
    got, tail = collect(outcomes), behind(family, frame)
    kinds = {
        each.kind if isinstance(each, Fault) else "restarted"
        for each in outcomes
        if isinstance(each, Fault | Restarted)
    }
    if wanted.faults is not None and kinds != wanted.faults:
        return f"faults {sorted(kinds)}, wanted {sorted(wanted.faults)}"
    if wanted.counts:
        ours = {name: _count(got, name) - _count(tail, name) for name in wanted.counts}
        return "" if ours == wanted.counts else f"{ours}, wanted {wanted.counts}"
    keys = wanted.values.keys() | tail.keys()
    if wanted.all_values and got.keys() != keys:
        return f"series {sorted(got.keys() ^ keys)} are missing or too many"
    for key in keys:
        expected = [*wanted.values.get(key, ()), *tail.get(key, ())]
        if not _alike(family, key, expected, got.get(key, ())):
            return f"{key}: {got.get(key)}, wanted {expected}"
    return ""


def _count(values: Values, quantity: str) -> int:
    """Return how often a quantity came, in the series that has most of it."""
    return max((len(found) for key, found in values.items() if key[0] == quantity), default=0)


def _alike(family: Family, key: Key, wanted: Sequence[float], got: Sequence[float]) -> bool:
    if len(wanted) != len(got):
        return False
    for theirs, ours in zip(wanted, got, strict=True):
        below, above = family.off_by(key, theirs)
        margin = family.tolerance * max(1.0, abs(theirs))
        if not -below - margin <= ours - theirs <= above + margin:
            return False
    return True


# -- damage --------------------------------------------------------------------------------------

MAX_PLACES = 24
"""Bytes of one frame that are damaged, each in two ways."""


def damaged(family: Family, frame: Frame) -> Iterator[bytes]:
    """Return a frame with one byte changed, and with one byte lost, at places from a seed."""
    source = random.Random(f"{family.driver} {family.file} {frame.number}")
    data = frame.data
    for place in source.sample(range(len(data)), min(MAX_PLACES, len(data))):
        changed = data[place] ^ source.randrange(1, 256)
        yield data[:place] + bytes((changed,)) + data[place + 1 :]
        yield data[:place] + data[place + 1 :]


def invented(good: Values, more: Values, bad: Values) -> str:
    """Return in words which value stands neither in the good frame's nor in those sent along."""
    for key, values in bad.items():
        left = [*good.get(key, ()), *more.get(key, ())]
        for value in values:
            if value not in left:
                return f"{key} {value}"
            left.remove(value)
    return ""
