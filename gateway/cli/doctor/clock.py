"""Looks whether the wall clock is right, and who says so."""

from datetime import UTC, datetime

from gateway.cli.doctor.finding import Finding
from gateway.clock import RELEASED_NS, Clock
from gateway.config.model import ClockSection
from gateway.timesync import ask_timedated

__all__ = ["examine_clock"]

NS_PER_S = 1_000_000_000
WHY = (
    "Readings are kept in order and corrected once the clock is right; until then they leave with "
    "the flag clock_unsynced."
)


async def examine_clock(section: ClockSection) -> list[Finding]:
    """Return the one finding about the clock."""
    clock = Clock(trusted=section.trusted)
    if not clock.synced:
        clock.reported = await ask_timedated()
        clock.sample()
    wall_ns = clock.wall_ns(clock.now_ns())
    shown = datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).isoformat(sep=" ")
    if clock.synced:
        return [Finding("ok", "clock", f"{shown}, {clock.sync_source} says that it is right")]
    if wall_ns < RELEASED_NS:
        detail = f"{shown} lies before this software was released"
        return [Finding("warn", "clock", detail, WHY, "timedatectl set-ntp true", "clock")]
    detail = f"{shown}, and nobody says that it is right"
    mend = "timedatectl set-ntp true; with a clock chip: [clock] trusted = true"
    return [Finding("warn", "clock", detail, WHY, mend, "clock")]
