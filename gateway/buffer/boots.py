"""boots.json: for every uptime of the machine, how its boot time becomes wall time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from gateway.buffer.files import Damaged, load_json, save_json
from gateway.clock import Clock

__all__ = [
    "BOUND_UNKNOWN_MS",
    "Boot",
    "Boots",
    "load_boots",
    "parse_boots",
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

BootState = Literal["unsynced", "synced"]


@dataclass(frozen=True, slots=True)
class Boot:
    """One uptime: wall time is its boot time plus ``offset_ns``, as far as is known."""

    number: int
    boot_id: bytes
    offset_ns: int
    state: BootState = "unsynced"
    bound_ms: int = BOUND_UNKNOWN_MS


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

    @property
    def current(self) -> Boot:
        """The boot that is running."""
        return self._current

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


def load_boots(
    directory: Path, damaged: Damaged, clock: Clock, *, newest: tuple[int, bytes] | None
) -> Boots:
    """Read boots.json and find, or begin, the record of the running boot.

    ``newest`` is boot number and boot id of the newest block: with it, losing the file costs the
    offsets of boots that were corrected later, and no number is given twice.
    """
    found, state = load_json(directory / FILE_NAME, parse_boots, damaged)
    known = found or []
    if state in ("backup", "lost"):
        logger.warning("boots.json was damaged; what it lacks is taken from the blocks")
    for boot in known:
        if boot.boot_id == clock.boot_id:
            boots = Boots(known, boot, clock)
            break
    else:
        number = max([0, *(boot.number for boot in known), newest[0] if newest else 0]) + 1
        if newest is not None and newest[1] == clock.boot_id:
            number = newest[0]
        boots = Boots(known, Boot(number, clock.boot_id, clock.offset_ns), clock)
    boots.note_clock()
    return boots


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
        )
        for row in content
    ]
