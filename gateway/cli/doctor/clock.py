"""Looks whether the wall clock is right, and who says so."""

from collections.abc import Iterator
from datetime import UTC, datetime

from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.cli.doctor.kernel_clock import KernelClock
from gateway.cli.doctor.loops import finish
from gateway.clock import RELEASED_NS, SYNCHRONIZED_MARK, Clock
from gateway.timesync import ask_timedated

__all__ = ["TROUBLES", "look"]

NS_PER_S = 1_000_000_000
MODEL = "/proc/device-tree/model"
CLOCK_CHIPS = "/sys/class/rtc"
WHY = (
    "Readings are kept in order and corrected once the clock is right; until then they leave with "
    "the flag clock_unsynced."
)
UNSYNCED = Trouble(
    "clock_unsynced",
    "warn",
    WHY,
    "sudo timedatectl set-ntp true; timedatectl timesync-status shows the server; with a clock "
    "chip: [clock] trusted = true",
)
WRONG = Trouble("clock_wrong", "warn", WHY, "sudo timedatectl set-ntp true")
NO_CHIP = Trouble(
    "clock_no_chip",
    "warn",
    "After a power cut this machine begins with an old time, and would send readings with it.",
    "take trusted = true out of [clock], or fit a clock chip",
)
TROUBLES = (UNSYNCED, WRONG, NO_CHIP)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is wrong with the clock, or that nothing is."""
    told = box.system.kernel_clock()
    if box.configuration is None:  # it may say trusted; the kernel's word has to do
        trusted = told is not None and told.synced
    else:
        trusted = box.configuration.clock.trusted
    clock = Clock(trusted=trusted, synchronized_mark=box.system.path(SYNCHRONIZED_MARK))
    if not clock.synced:
        clock.reported = finish(ask_timedated())
        clock.sample()
    wall_ns = clock.wall_ns(clock.now_ns())
    shown = datetime.fromtimestamp(wall_ns // NS_PER_S, UTC).isoformat(sep=" ")
    kernel = _kernel_text(told)
    if wall_ns < RELEASED_NS:
        yield WRONG.found("clock", f"{shown} lies before this software was released{kernel}")
    elif not clock.synced:
        yield UNSYNCED.found("clock", f"{shown}, and nobody says that it is right{kernel}")
    elif trusted and _is_pi_without_chip(box.system):
        yield NO_CHIP.found("clock", f"{shown} is trusted, and this Raspberry Pi has no clock chip")
    else:
        source = "the configuration" if trusted and box.configuration else clock.sync_source
        yield Finding.fine("clock", f"{shown}, {source} says that it is right{kernel}")


def _kernel_text(kernel: KernelClock | None) -> str:
    if kernel is None:
        return ""
    if kernel.synced:
        return f"; the kernel: synchronised, within {kernel.max_error_s:.2g} s"
    return "; the kernel: not synchronised"


def _is_pi_without_chip(system: System) -> bool:
    return "Raspberry Pi" in (system.read(MODEL) or "") and not system.names(CLOCK_CHIPS)
