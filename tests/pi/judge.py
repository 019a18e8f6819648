"""What has to be true of an uptime, and of all of them together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.pi.arrived import SAME, Arrivals
from tests.pi.boot import Boot
from tests.pi.box import FLUSH_INTERVAL_S
from tests.pi.disk import Disk
from tests.pi.sensor import Sent

__all__ = ["LOSS_WINDOW_S", "Verdict", "account_problems", "disk_problems", "verdict"]

LOSS_WINDOW_S = FLUSH_INTERVAL_S + 10.0
"""The flush interval and one flush; the emulated disk and processor are slow."""
WRONG_TIME_S = 5.0
"""A wrong clock is wrong by days here; this leaves room for a machine that has other work."""
UNPLUG_MARGIN_S = 1.0
"""What the adapter or its driver held when it was pulled out."""


@dataclass
class Verdict:
    """What was found of one uptime."""

    claimed: int = 0
    """Readings that the daemon said were durable, at the last look before the cut."""
    on_disk: int = 0
    """Of these and later ones, found on the disk after the cut."""
    sent: int = 0
    """Reports that the sensor gave from the first to the last that arrived."""
    holes: int = 0
    """Of these, not arrived."""
    lost: int = 0
    """Reports after the last that arrived: what the cut cost."""
    lost_s: float = 0.0
    """Age of the oldest of these at the cut."""
    first_s: float | None = None
    """From the start of the kernel to the first reading."""
    worst_time_s: float = 0.0
    """How far the wall time of a reading was off, of those that nobody doubts."""
    doubtful: int = 0
    """Reports whose time stays marked as doubtful."""
    worst_doubtful_s: float = 0.0
    problems: list[str] = field(default_factory=list)

    @property
    def lost_flushed(self) -> int:
        """Readings that were durable and are not there."""
        return max(0, self.claimed - self.on_disk)


def verdict(boot: Boot, sent: Mapping[int, Sent], arrived: Arrivals) -> Verdict:
    """Judge one uptime, once everything has arrived."""
    found = Verdict()
    if boot.problem:
        found.problems.append(boot.problem)
    if boot.unit is not None:
        if not boot.unit.is_active:
            found.problems.append("the unit is not active")
        if boot.unit.restarts:
            found.problems.append(f"the unit was restarted {boot.unit.restarts} times")
        if "citylab" in boot.unit.failed_units:
            found.problems.append(f"failed: {boot.unit.failed_units}")
    found.problems += {
        f"the account is wrong: {seen.account}" for seen in boot.seen if not seen.account.is_right
    }
    if any(seen.degraded for seen in boot.seen):
        found.problems.append("the buffer was degraded")
    _durability(boot, found)
    _continuity(boot, sent, arrived, found)
    _times(boot, sent, arrived, found)
    return found


def _durability(boot: Boot, found: Verdict) -> None:
    found.claimed = max((seen.durable for seen in boot.seen), default=0)
    if boot.disk is not None and boot.seen:
        found.on_disk = boot.disk.count_of(boot.disk.epoch)
    if found.lost_flushed:
        found.problems.append(f"{found.lost_flushed} readings that were flushed are gone")


def _numbers(boot: Boot, sent: Mapping[int, Sent]) -> list[int]:
    """Return the reports of one uptime; those around an unplugged adapter do not count."""
    return [
        number
        for number, each in sent.items()
        if boot.powered_s < each.monotonic_s < boot.ended_s
        and not (
            boot.unplugged_s
            and boot.unplugged_s - UNPLUG_MARGIN_S < each.monotonic_s < boot.replugged_s
        )
    ]


def _continuity(boot: Boot, sent: Mapping[int, Sent], arrived: Arrivals, found: Verdict) -> None:
    numbers = _numbers(boot, sent)
    there = [number for number in numbers if number in arrived.reports]
    if not there:
        return
    first, last = there[0], there[-1]
    found.first_s = arrived.reports[first].boottime_s
    between = [
        number
        for number in numbers
        if first < number < last and not _reopening(boot, sent[number], there, sent)
    ]
    found.sent = len(between) + 2
    missing = [number for number in between if number not in arrived.reports]
    found.holes = len(missing)
    if missing:
        found.problems.append(f"reports {missing[:5]} did not arrive, later ones did")
    lost = [number for number in numbers if number > last]
    found.lost = len(lost)
    if lost:
        found.lost_s = boot.ended_s - sent[lost[0]].monotonic_s
    if found.lost_s > LOSS_WINDOW_S:
        found.problems.append(f"a report {found.lost_s:.1f} s old was lost")


def _reopening(boot: Boot, each: Sent, there: Sequence[int], sent: Mapping[int, Sent]) -> bool:
    """The adapter was back, the port not yet open: nobody could read this."""
    if not boot.replugged_s or each.monotonic_s < boot.replugged_s:
        return False
    again = min(
        (
            sent[number].monotonic_s
            for number in there
            if sent[number].monotonic_s > boot.replugged_s
        ),
        default=boot.ended_s,
    )
    return each.monotonic_s < again


def _times(boot: Boot, sent: Mapping[int, Sent], arrived: Arrivals, found: Verdict) -> None:
    for number in _numbers(boot, sent):
        report = arrived.reports.get(number)
        if report is None:
            continue
        off_s = abs(report.wall_s - sent[number].wall_s)
        if report.sure:
            found.worst_time_s = max(found.worst_time_s, off_s)
            continue
        found.doubtful += 1
        found.worst_doubtful_s = max(found.worst_doubtful_s, off_s)
        if report.bound_s is not None and off_s > report.bound_s + WRONG_TIME_S:
            found.problems.append(f"a time is off by {off_s:.1f} s, {report.bound_s} s was told")
    if found.worst_time_s > WRONG_TIME_S:
        found.problems.append(f"a time is off by {found.worst_time_s:.1f} s, and nothing says so")


def disk_problems(disks: Sequence[Disk], arrived: Arrivals) -> Iterator[str]:
    """Yield what was on a disk after a cut and is not in the city, or is another reading there."""
    for number, disk in enumerate(disks, 1):
        gone = [name for name in disk.readings if name not in arrived.readings]
        if gone:
            yield f"{len(gone)} readings on the disk after boot {number} never arrived: {gone[:3]}"
        other = [
            name
            for name, row in disk.readings.items()
            if name in arrived.readings
            and any(arrived.readings[name][key] != row[key] for key in SAME)
        ]
        if other:
            yield f"{len(other)} readings of boot {number} arrived as something else: {other[:3]}"
    last = sorted(sequence for _, sequence in disks[-1].readings) if disks else []
    if last and last != list(range(last[0], last[0] + len(last))):
        yield "sequence numbers on the last disk are not one run"


def account_problems(boot: Boot, sent: Mapping[int, Sent], arrived: Arrivals) -> Iterator[str]:
    """Yield what is wrong at the end, when everything should have arrived."""
    if not boot.seen:
        yield "the last boot served no figures"
    for account in (seen.account for seen in boot.seen[-1:]):
        if account.pending or account.dropped:
            yield f"at the end {account.pending} are pending and {account.dropped} dropped"
    for gap in arrived.gaps:
        yield f"a gap was reported: {gap}"
    unknown = [number for number in arrived.reports if number not in sent]
    if unknown:
        yield f"values that the sensor never sent: {unknown[:5]}"
