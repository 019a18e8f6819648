"""Looks how worn the card is, and how fast the ring wears it."""

from collections.abc import Iterator

from gateway.buffer.wear import card_life_years
from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.cli.doctor.mounts import MOUNTS, mount_of
from gateway.cli.doctor.ring import ring_figures
from gateway.errors import NotARing

__all__ = ["TROUBLES", "look"]

SECTOR_BYTES = 512
BYTES_PER_TB = 1e12
WRITES_OF_ALL = 500
"""So often a cheap card may be written from end to end."""
AMPLIFICATION = 10.0
"""What a card writes inside for each small write that it is given, at worst."""
SHORT_LIFE_YEARS = 3.0
WORN_TENTHS = 8
"""life_time counts in tenths of the life: 1 is the first one, 11 beyond it."""
OVER_TENTHS = 10
SPARE_LOW = 2
SPARE_URGENT = 3
"""pre_eol_info: 2 when 80 % of the spare blocks are used, 3 at 90 %."""
WORN = Trouble(
    "disk_worn",
    "warn",
    "The card says that most of its life is used.",
    "plan a new card for the next visit; sudo citylab-gateway buffer stat shows what is written",
)
WORN_OUT = Trouble(
    "disk_worn_out",
    "fail",
    "The card says that its life is over; it may refuse to write at any time.",
    "change the card: copy the data directory first",
)
FAST = Trouble(
    "disk_wears_fast",
    "warn",
    "At this rate a cheap card does not last; it is an estimate, on the safe side.",
    'a longer [buffer] flush_interval, persist = "unacknowledged", or a card made for writing',
)
TROUBLES = (WORN, WORN_OUT, FAST)


def look(box: Box) -> Iterator[Finding]:
    """Yield how worn the card is, as far as it tells, and how long it lasts at this rate."""
    if box.configuration is None:
        return
    directory = box.configuration.buffer.directory
    try:
        number = mount_of(directory, box.system.read(MOUNTS) or "").number
        disk = _disk(box.system, number)
    except OSError:
        return
    yield from _told(box.system, disk)
    try:
        found = ring_figures(directory)
    except (OSError, NotARing):  # another part says so
        return
    if found is not None and found.rate is not None:
        yield _rate(box.system, disk, found.rate.bytes_per_day)


def _disk(system: System, number: str) -> str:
    """Return the folder of the whole disk in sysfs, for a partition or a disk."""
    folder = system.path(f"/sys/dev/block/{number}").resolve()
    if (folder / "partition").exists():
        folder = folder.parent
    return f"/{folder.relative_to(system.root.resolve())}"


def _told(system: System, disk: str) -> Iterator[Finding]:
    life = [_number(word) for word in (system.read(f"{disk}/device/life_time") or "").split()]
    tenths = max(life, default=0)
    spare = _number((system.read(f"{disk}/device/pre_eol_info") or "0").strip())
    if not tenths and not spare:
        return  # a card that does not tell, as most SD cards
    used = f"{min(tenths, OVER_TENTHS) * 10} % of its life is used" if tenths else "life unknown"
    if tenths > OVER_TENTHS or spare >= SPARE_URGENT:
        yield WORN_OUT.found("card", f"{used}, spare blocks at level {spare} of {SPARE_URGENT}")
    elif tenths > WORN_TENTHS or spare >= SPARE_LOW:
        yield WORN.found("card", f"{used}, spare blocks at level {spare} of {SPARE_URGENT}")
    else:
        yield Finding.fine("card", f"at most {used}")


def _rate(system: System, disk: str, bytes_per_day: float) -> Finding:
    shown = f"{bytes_per_day / 1e6:.3g} MB of blocks a day"
    sectors = _number((system.read(f"{disk}/size") or "0").strip(), base=10)
    if not sectors:
        return Finding.fine("wear", shown)
    endurance_tb = sectors * SECTOR_BYTES * WRITES_OF_ALL / BYTES_PER_TB
    years = card_life_years(bytes_per_day, endurance_tb=endurance_tb, amplification=AMPLIFICATION)
    if years is None:
        return Finding.fine("wear", shown)
    detail = f"{shown}: a cheap card of {sectors * SECTOR_BYTES / 1e9:.3g} GB lasts {years:.2g} y"
    return FAST.found("wear", detail) if years < SHORT_LIFE_YEARS else Finding.fine("wear", detail)


def _number(text: str, base: int = 16) -> int:
    try:
        return int(text, base)
    except ValueError:
        return 0
