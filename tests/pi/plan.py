"""When the plug is pulled, and what else goes wrong then: all of it by seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

__all__ = ["Cut", "HardwareClock", "Moment", "clock_text", "plan"]

Moment = Literal["booting", "running", "flushed", "broker away"]
HardwareClock = Literal["none", "right", "behind", "ahead"]
"""none: as on a Pi, which begins in 1970."""

MOMENTS: dict[Moment, float] = {"booting": 3, "running": 3, "flushed": 3, "broker away": 3}
CLOCKS: dict[HardwareClock, float] = {"none": 6, "right": 1, "behind": 1, "ahead": 1}
WITHOUT_TIME_SERVER = 0.15
LONGEST_BOOT_S = 30.0
LONGEST_RUN_S = 15.0
LONGEST_AFTER_FLUSH_S = 0.1
LONGEST_AWAY_S = 25.0
FURTHEST_DAYS = 300.0
NO_CLOCK = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Cut:
    """One uptime and its end."""

    moment: Moment
    after_s: float
    """After the kernel began to speak (booting), the first reading, the flush, or the broker."""
    back_s: float
    """A broker that is away at the power-on comes back so long after it."""
    clock: HardwareClock
    clock_days: float
    time_server: bool
    """Somebody answers who asks for the time."""


def plan(seed: int, cuts: int) -> Iterator[Cut]:
    """Yield the cuts; the first one waits until all was measured, and the clock is that of a Pi."""
    for number in range(cuts):
        rng = random.Random(f"pi {seed} {number}")
        moment = rng.choices(list(MOMENTS), list(MOMENTS.values()))[0] if number else "flushed"
        longest_s = {
            "booting": LONGEST_BOOT_S,
            "running": LONGEST_RUN_S,
            "flushed": LONGEST_AFTER_FLUSH_S,
            "broker away": LONGEST_RUN_S,
        }[moment]
        after_s, back_s = rng.uniform(0, longest_s), rng.uniform(0, LONGEST_AWAY_S)
        clock = rng.choices(list(CLOCKS), list(CLOCKS.values()))[0] if number else "none"
        days = rng.uniform(1, FURTHEST_DAYS)
        time_server = not number or rng.random() >= WITHOUT_TIME_SERVER
        yield Cut(moment, after_s, back_s, clock, days, time_server)


def clock_text(clock: HardwareClock, days: float) -> str:
    """Return what such a clock chip shows now, in the words of QEMU."""
    now = datetime.now(UTC)
    shown = {
        "none": NO_CLOCK,
        "right": now,
        "behind": now - timedelta(days=days),
        "ahead": now + timedelta(days=days),
    }[clock]
    return shown.strftime("%Y-%m-%dT%H:%M:%S")
