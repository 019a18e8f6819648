"""The recovery ladder: what is tried, in which order, for a port that gives no readings.

    1  reopen     open it again, as it is; the device keeps its settings
    2  resend     open it again and send the settings (with several line settings: once for each)
    3  usb_reset  reset its USB device, where permitted; else usb_reset_skipped
    4  report     say that a person is needed; go on trying

A reading (of a device that may rightly have none: an answer) puts it back to the ground. A device
that vanished, or that never gave a reading, gets its settings at the first opening already: it has
lost them, or never had them. A device that is asked gets its settings in the round that needs them;
there the second step is one more try, at each line setting.
"""

from collections.abc import Callable, Iterable
from typing import Literal

from gateway.transports.stats import PortStats
from gateway.transports.usb import UsbPort, reset_usb

__all__ = ["STEPS", "RecoveryLadder", "Step"]

Step = Literal["reopen", "resend", "usb_reset", "report"]
STEPS: tuple[Step, ...] = ("reopen", "resend", "usb_reset", "report")
SKIPPED = "usb_reset_skipped"
MOVED = "moved"
RESET_INTERVAL_S = 3600.0
"""A device is not reset more often."""


class RecoveryLadder:
    """Counts the attempts of one port and says what the next one is; keeps the figures up to date.

    ``stats`` returns those of all sensors at the port.
    """

    def __init__(self, stats: Callable[[], Iterable[PortStats]], *, tries: int = 1) -> None:
        self.tries = tries
        """How many openings it takes to try everything (one a line setting)."""
        self.settings_wanted = True
        """The next opening is to send the settings."""
        self._stats = stats
        self._fruitless = 0
        self._reset_at: float | None = None
        self._skipped = ""

    def lost(self, cause: str, *, fruitful: bool) -> Step | None:
        """Take the end of an opening; return the step that comes now, None for one more try."""
        if fruitful:
            self._fruitless = 0
            self._skipped = ""
        self._fruitless += 1
        self.settings_wanted = not fruitful or cause == "vanished"
        return self._step()

    def missing(self) -> None:
        """Take an attempt to open that failed: there is nothing to send to, or to reset."""
        self._fruitless += 1
        self.settings_wanted = True
        if self._fruitless == self.tries + 2:
            self._climb("report")

    def moved(self) -> None:
        """Count that the device was found at another port."""
        self._count(MOVED)

    def may_reset(self, now: float) -> bool:
        """Tell whether the last reset is long enough ago."""
        return self._reset_at is None or now - self._reset_at >= RESET_INTERVAL_S

    def reset(self, usb: UsbPort | None, now: float) -> None:
        """Reset the device where that is permitted; blocks, and may take a second."""
        problem = "it is no USB device" if usb is None else ""
        if usb is not None:
            try:
                reset_usb(usb)
            except OSError as error:
                problem = str(error)
        if problem:
            self._skipped = problem
            self._count(SKIPPED)
            self._stand_at("usb_reset")
            return
        self._reset_at = now
        self.settings_wanted = True
        self._climb("usb_reset")

    def report(self) -> str:
        """Return the sentence for the person who is needed."""
        skipped = f" (USB reset skipped: {self._skipped})" if self._skipped else ""
        return f"no readings, whatever was tried{skipped}: look at the device and its cable"

    def _step(self) -> Step | None:
        if self._fruitless == 1:
            step: Step = "reopen"
        elif self._fruitless <= 1 + self.tries:
            step = "resend"
        elif self._fruitless == 2 + self.tries:
            return "usb_reset"  # counted when it is done
        elif self._fruitless == 3 + self.tries:
            step = "report"
        else:
            return None
        self._climb(step)
        return step

    def _climb(self, step: Step) -> None:
        self._count(step)
        self._stand_at(step)

    def _count(self, word: str) -> None:
        for stats in self._stats():
            stats.recoveries[word] = stats.recoveries.get(word, 0) + 1

    def _stand_at(self, step: Step) -> None:
        for stats in self._stats():
            stats.recovery_step = STEPS.index(step) + 1
