"""boots.json: for every uptime of the machine, how its boot time becomes wall time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gateway.buffer.files import Damaged, load_json, save_json
from gateway.clock import Clock

__all__ = [
    "BOUND_UNKNOWN_MS",
    "Boot",
    "BootTime",
    "Boots",
    "NewestBlock",
    "load_boots",
    "parse_boots",
    "place_boots",
    "save_boots",
]

logger = logging.getLogger("citylab_gateway.buffer")

FILE_NAME = "boots.json"
MAX_BOOTS = 1024
"""Records that are kept; for older boots the offset in the block header is used."""
OFFSET_CHANGE_NS = 50_000_000
"""A smaller change of the offset is not worth a write."""
SYNCED_BOUND_MS = 16_000
"""systemd calls a clock synchronized while its estimated error is below 16 s."""
BOUND_UNKNOWN_MS = 0xFFFF_FFFF
FOREVER_NS = (1 << 63) - 1
NS_PER_MS = 1_000_000

BootState = Literal["unsynced", "synced"]


@dataclass(frozen=True, slots=True)
class Boot:
    """One uptime: wall time is its boot time plus ``offset_ns``, as far as is known."""

    number: int
    boot_id: bytes
    offset_ns: int
    state: BootState = "unsynced"
    bound_ms: int = BOUND_UNKNOWN_MS
    last_ns: int = 0
    """Boot time of the last thing that is known of it, once it has ended; 0: not known."""


class BootTime(NamedTuple):
    """Where a boot lies for good, as far as anybody will ever know."""

    offset_ns: int
    bound_ms: int | None
    """How far from the truth that may be; None: nobody knows."""
    estimated: bool
    """Its clock was never right: it is placed between its neighbours."""


class NewestBlock(NamedTuple):
    """What the newest block of the ring says of the boot that wrote it."""

    boot: int
    boot_id: bytes
    last_ns: int
    """Boot time of its last reading; 0 if it has none."""


class Boots:
    """The boots of this ring; the newest record is the boot that is running."""

    def __init__(self, known: Sequence[Boot], current: Boot, clock: Clock) -> None:
        self._clock = clock
        earlier = [boot for boot in known if boot.number != current.number]
        self._by_number = {boot.number: boot for boot in earlier[-(MAX_BOOTS - 1) :]}
        self._by_number[current.number] = current
        self._current = current
        self._started_ns = clock.now_ns()
        self._low_offset_ns: int | None = current.offset_ns if current.state == "synced" else None
        self._saved: Boot | None = next((boot for boot in known if boot == current), None)
        self._estimates: dict[int, Boot] | None = None

    @property
    def current(self) -> Boot:
        """The boot that is running."""
        return self._current

    @property
    def current_bound_s(self) -> float | None:
        """How far wall times of the running boot may be from the truth; None: nobody knows."""
        bound_ms = _known(self._current.bound_ms)
        return None if bound_ms is None else bound_ms / 1000

    def note_clock(self) -> None:
        """Take over what the clock knows now. A boot whose clock has once been right stays so."""
        clock = self._clock
        if clock.synced:
            low_ns = self._low_offset_ns
            self._low_offset_ns = min(
                clock.offset_ns, clock.offset_ns if low_ns is None else low_ns
            )
            self._replace(clock.offset_ns, "synced", SYNCED_BOUND_MS)
        elif self._current.state == "unsynced":
            self._replace(clock.offset_ns, "unsynced", BOUND_UNKNOWN_MS)

    def offset(self, boot: int, stored_ns: int, *, stored_synced: bool) -> tuple[int, bool]:
        """Return the best offset of a boot and whether its clock was right.

        ``stored_ns`` and ``stored_synced`` are what the block itself says: they count when the
        boot has no record, or when the record never saw the right time and the block did.
        """
        if boot == self._current.number:
            self.note_clock()
        record = self._by_number.get(boot)
        if record is None or (stored_synced and record.state == "unsynced"):
            return stored_ns, stored_synced
        return record.offset_ns, record.state == "synced"

    def estimate(self, boot: int) -> int | None:
        """Return where a boot is placed that ended without ever having been right, as an offset.

        Its own guess counts as far as it lies between the end of the boot before it that was
        right and the beginning of the one after it; several such boots in a row do not overlap.
        None: the boot is running, its clock was right, or neither neighbour is known.
        """
        placed = None if boot == self._current.number else self._placed().get(boot)
        return None if placed is None else placed.offset_ns

    def settled_time(self, boot_id: bytes) -> BootTime | None:
        """Return what is known for good of a boot; None: it may still become better.

        A boot that ended without having been right is placed for good as soon as the clock is
        right in the running one. KeyError for a boot that has no record (any more).
        """
        self.note_clock()
        boot = next((one for one in self._by_number.values() if one.boot_id == boot_id), None)
        if boot is None:
            raise KeyError(boot_id.hex())
        if boot.state == "synced":
            return BootTime(boot.offset_ns, _known(boot.bound_ms), estimated=False)
        if boot is self._current or self._current.state != "synced":
            return None
        placed = self._placed().get(boot.number)
        if placed is None:
            return None
        return BootTime(placed.offset_ns, _known(placed.bound_ms), estimated=True)

    def boot_id(self, boot: int) -> bytes | None:
        """Return the id of a boot, None if it has no record."""
        record = self._by_number.get(boot)
        return None if record is None else record.boot_id

    def _placed(self) -> dict[int, Boot]:
        if self._estimates is None:
            self._estimates = place_boots(tuple(self._by_number.values()))
        return self._estimates

    def expired_before(
        self, boot: int, limit_ns: int, stored_ns: int, *, stored_synced: bool
    ) -> int | None:
        """Return the boot time before which readings of that boot are older than ``limit_ns``.

        None: none of them is known to be. In doubt a reading is young: within the running boot
        only boot time counts, which never steps; for an earlier boot wall time counts if both
        boots knew it, and of all that was ever taken for it what makes the reading youngest.
        Otherwise all that is known is that it was there before this process began.
        """
        now_ns = self._clock.now_ns()
        if boot == self._current.number:
            return now_ns - limit_ns
        if now_ns - self._started_ns > limit_ns:
            return FOREVER_NS
        record = self._by_number.get(boot)
        known = [stored_ns] if stored_synced else []
        if record is not None and record.state == "synced":
            known.append(record.offset_ns)
        if not known or self._low_offset_ns is None:
            return None
        return now_ns + self._low_offset_ns - limit_ns - max(known)

    def take_changes(self) -> list[Boot] | None:
        """Return all boots if the running one changed enough to be saved; else None."""
        saved, now = self._saved, self._current
        if (
            saved is not None
            and (saved.number, saved.state) == (now.number, now.state)
            and abs(saved.offset_ns - now.offset_ns) <= OFFSET_CHANGE_NS
        ):
            return None
        self._saved = now
        return list(self._by_number.values())

    def not_saved(self) -> None:
        """Make what ``take_changes`` gave due again, because saving it failed."""
        self._saved = None

    def adopt(self, other: "Boots") -> None:
        """Become what ``other`` is: the table that was found when the storage could be used."""
        self._by_number, self._current, self._saved = other.parts
        self._estimates = None
        self.note_clock()

    @property
    def parts(self) -> tuple[dict[int, Boot], Boot, Boot | None]:
        """All that this table is made of."""
        return self._by_number, self._current, self._saved

    def _replace(self, offset_ns: int, state: BootState, bound_ms: int) -> None:
        if (self._current.offset_ns, self._current.state) == (offset_ns, state):
            return
        boot = replace(self._current, offset_ns=offset_ns, state=state, bound_ms=bound_ms)
        self._current = boot
        self._by_number[boot.number] = boot
        self._estimates = None


def _known(bound_ms: int) -> int | None:
    return None if bound_ms == BOUND_UNKNOWN_MS else bound_ms


def place_boots(boots: Sequence[Boot]) -> dict[int, Boot]:
    """Return the boots that were never right, by number, each where its neighbours leave room.

    Their bound says how far they could be moved in there. Those without any neighbour that was
    right are left out.
    """
    placed: dict[int, Boot] = {}
    run: list[Boot] = []
    before: Boot | None = None
    for boot in sorted(boots, key=lambda one: one.number):
        if boot.state == "unsynced":
            run.append(boot)
            continue
        placed |= _place_run(before, run, boot)
        run, before = [], boot
    return placed | _place_run(before, run, None)


def _place_run(before: Boot | None, run: Sequence[Boot], after: Boot | None) -> dict[int, Boot]:
    """Place boots in a row after the end of ``before`` and before the beginning of ``after``."""
    if before is None and after is None:
        return {}
    offsets = [boot.offset_ns for boot in run]
    if before is not None:
        earliest_ns = before.offset_ns + before.last_ns
        for at, boot in enumerate(run):
            offsets[at] = max(offsets[at], earliest_ns)
            earliest_ns = offsets[at] + boot.last_ns
    if after is not None:
        latest_ns = after.offset_ns
        for at, boot in reversed(list(enumerate(run))):
            offsets[at] = min(offsets[at], latest_ns - boot.last_ns)
            latest_ns = offsets[at]
    bounds = _bounds_ms(before, run, after, offsets)
    return {
        boot.number: replace(boot, offset_ns=offset_ns, bound_ms=bound_ms)
        for boot, offset_ns, bound_ms in zip(run, offsets, bounds, strict=True)
    }


def _bounds_ms(
    before: Boot | None, run: Sequence[Boot], after: Boot | None, offsets: Sequence[int]
) -> list[int]:
    """Return how far each boot of a row could be from where it is placed, with both neighbours."""
    if before is None or after is None:
        return [BOUND_UNKNOWN_MS] * len(run)
    spare_ms = before.bound_ms + after.bound_ms  # the neighbours are not exact either
    bounds = []
    earliest_ns = before.offset_ns + before.last_ns
    latest_ns = after.offset_ns - sum(boot.last_ns for boot in run)
    for boot, offset_ns in zip(run, offsets, strict=True):
        farthest_ns = max(offset_ns - earliest_ns, latest_ns - offset_ns, 0)
        bounds.append(min(-(-farthest_ns // NS_PER_MS) + spare_ms, BOUND_UNKNOWN_MS))
        earliest_ns += boot.last_ns
        latest_ns += boot.last_ns
    return bounds


def load_boots(
    directory: Path, damaged: Damaged, clock: Clock, *, newest: NewestBlock | None
) -> Boots:
    """Read boots.json and find, or begin, the record of the running boot.

    With ``newest``, losing the file costs the offsets of boots that were corrected later, and no
    number is given twice; and the boot before this one is known to have lasted until then.
    """
    found, state = load_json(directory / FILE_NAME, parse_boots, damaged)
    known = found or []
    clock.believe_only_after(_newest_right_ns(known, newest))
    if state in ("backup", "lost"):
        logger.warning("boots.json was damaged; what it lacks is taken from the blocks")
    for boot in known:
        if boot.boot_id == clock.boot_id:
            boots = Boots(known, boot, clock)
            break
    else:
        number = max([0, *(boot.number for boot in known), newest.boot if newest else 0]) + 1
        if newest is not None and newest.boot_id == clock.boot_id:
            number = newest.boot
        known = [_ended(boot, newest) for boot in known]
        boots = Boots(known, Boot(number, clock.boot_id, clock.offset_ns), clock)
    boots.note_clock()
    return boots


def _newest_right_ns(known: Sequence[Boot], newest: NewestBlock | None) -> int:
    """Return wall ns before which it cannot be, by what is stored with a right clock; 0: nothing.

    By the best offset of each boot less its bound, so that a step that was taken back counts for
    nothing.
    """
    right = [_ended(boot, newest) for boot in known if boot.state == "synced"]
    times_ns = [boot.offset_ns + boot.last_ns - boot.bound_ms * NS_PER_MS for boot in right]
    return max(times_ns, default=0)


def _ended(boot: Boot, newest: NewestBlock | None) -> Boot:
    if newest is None or boot.boot_id != newest.boot_id:
        return boot
    return replace(boot, last_ns=max(boot.last_ns, newest.last_ns))


def save_boots(directory: Path, boots: Sequence[Boot]) -> None:
    """Write boots.json atomically. OSError if the disk refuses."""
    save_json(directory / FILE_NAME, [_document(boot) for boot in boots])


def _document(boot: Boot) -> dict[str, Any]:
    return {
        "number": boot.number,
        "boot_id": boot.boot_id.hex(),
        "offset_ns": boot.offset_ns,
        "state": boot.state,
        "bound_ms": boot.bound_ms,
        "last_ns": boot.last_ns,
    }


def parse_boots(content: Any) -> list[Boot]:
    """Return the boots of ``boots.json``; KeyError, TypeError or ValueError for other content."""
    return [
        Boot(
            int(row["number"]),
            bytes.fromhex(row["boot_id"]),
            int(row["offset_ns"]),
            "synced" if row["state"] == "synced" else "unsynced",
            int(row["bound_ms"]),
            int(row.get("last_ns", 0)),
        )
        for row in content
    ]
