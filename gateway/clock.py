"""The one place that reads clocks: boot time inside, wall time only at the border.

Readings are stamped with ``CLOCK_BOOTTIME``, which never steps and counts through suspend. Wall
time is that plus an offset, which is known per boot and may become better later; so a wrong clock
can neither reorder nor lose a reading. See docs/architecture.md, "Time".
"""

import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Clock", "Step", "SyncSource", "boot_id"]

STEP_THRESHOLD_NS = 50_000_000
"""A change of the offset above this is a step; below it the clock is being slewed."""
SAMPLES_PER_OFFSET = 3
"""The tightest of so many readings is taken, so that being scheduled away does not count."""
SYNCHRONIZED_MARK = Path("/run/systemd/timesync/synchronized")
"""systemd-timesyncd creates this file when the clock was first set from the network."""
RELEASED_NS = 1_793_491_200_000_000_000
"""2026-11-01: no clock that shows an earlier time is right, whoever says so."""
SyncSource = Literal["", "trusted", "timesyncd", "timedated"]
"""Who said that the clock is right; empty as long as nobody did."""
BOOT_ID_VARIABLE = "CITYLAB_GATEWAY_BOOT_ID"
"""The unit passes ``%b`` here, because the hardened unit cannot read the kernel's file."""
KERNEL_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Step:
    """The wall clock jumped by ``change_ns`` (negative: back)."""

    change_ns: int


def boot_id() -> bytes:
    """Return the 16 bytes that name this uptime of the machine.

    Where neither the unit nor the kernel tells, a random one is made: then every start counts as
    a boot of its own, which costs time accuracy across restarts and nothing else.
    """
    text = os.environ.get(BOOT_ID_VARIABLE, "")
    if not text:
        try:
            text = KERNEL_BOOT_ID.read_text(encoding="ascii")
        except OSError:
            return uuid.uuid4().bytes
    try:
        return uuid.UUID(text.strip()).bytes
    except ValueError:
        return uuid.uuid4().bytes


def _boottime_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock:
    """Boot time, the offset to wall time, and whether that offset can be trusted.

    ``trusted`` says that the wall clock is right from the start (a clock chip, a virtual machine).
    Whoever says that the clock is right is believed only while it shows a time after the release
    of this software and after ``not_before_ns``: an empty clock battery, or a box that woke up in
    the past, is not right. ``boottime_ns`` and ``realtime_ns`` are replaced by tests that move time
    by hand.
    """

    def __init__(
        self,
        *,
        trusted: bool = False,
        boottime_ns: Callable[[], int] = _boottime_ns,
        realtime_ns: Callable[[], int] = time.time_ns,
        synchronized_mark: Path = SYNCHRONIZED_MARK,
    ) -> None:
        self.now_ns = boottime_ns
        """Return nanoseconds of CLOCK_BOOTTIME."""
        self._realtime_ns = realtime_ns
        self._synchronized_mark = synchronized_mark
        self._trusted = trusted
        self.boot_id = boot_id()
        self.steps = 0
        self.last_step_ns: int | None = None
        """Boot time at which the wall clock stepped last."""
        self.not_before_ns = RELEASED_NS
        """Wall ns of the newest reading that has a right time; see ``believe_only_after``."""
        self.reported = False
        """The system says that its clock is synchronised (see timesync.py)."""
        self.sync_source: SyncSource = ""
        self._sampled_ns = 0
        self.offset_ns = self._tightest_offset()
        self.sample()

    @property
    def synced(self) -> bool:
        """Tell whether wall time can be trusted."""
        return bool(self.sync_source)

    def believe_only_after(self, wall_ns: int) -> None:
        """Distrust a clock that shows a time before ``wall_ns``: that time has been already.

        It is asked again with the next sample.
        """
        self.not_before_ns = max(self.not_before_ns, wall_ns)
        if self.wall_ns(self.now_ns()) < wall_ns:
            self.sync_source = ""

    def sample(self) -> Step | None:
        """Update offset and sync state; call it once a second. Return the step, if there was one.

        A clock that has been right stays trusted: losing the time server does not make it wrong.
        """
        offset_ns = self._tightest_offset()
        change_ns = offset_ns - self.offset_ns
        self.offset_ns = offset_ns
        if not self.sync_source and self.wall_ns(self._sampled_ns) > self.not_before_ns:
            self.sync_source = self._source()
        if abs(change_ns) <= STEP_THRESHOLD_NS:
            return None
        self.steps += 1
        self.last_step_ns = self._sampled_ns
        return Step(change_ns)

    def _source(self) -> SyncSource:
        if self._trusted:
            return "trusted"
        if self._synchronized_mark.exists():
            return "timesyncd"
        return "timedated" if self.reported else ""

    def wall_ns(self, boottime_ns: int) -> int:
        """Return wall time in ns since 1970 for a boot time of this boot."""
        return boottime_ns + self.offset_ns

    def _tightest_offset(self) -> int:
        best_width, best_offset = 1 << 62, 0
        for _ in range(SAMPLES_PER_OFFSET):
            before = self.now_ns()
            wall = self._realtime_ns()
            after = self.now_ns()
            if after - before < best_width:
                best_width, best_offset = after - before, wall - (before + after) // 2
            self._sampled_ns = after
        return best_offset
