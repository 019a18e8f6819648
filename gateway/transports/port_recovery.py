"""One serial port that is opened again and again, for whoever talks at it.

A port that cannot be opened, fails, vanishes or brings nothing is opened again after a growing
wait, and after what the recovery ladder (recovery.py) asks for. A USB device that was understood
once is recognised at another port. All this is counted in the figures of each sensor at the port.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

import serial

from gateway.backoff import Backoff
from gateway.driver import SerialLine
from gateway.errors import PortError
from gateway.transports.recovery import RecoveryLadder
from gateway.transports.serial_opening import line_text, open_port
from gateway.transports.stats import PortStats
from gateway.transports.usb import UsbPort, locate

__all__ = ["FIRST_WAIT_S", "MAX_WAIT_S", "RecoveringPort"]

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
"""First and longest limit of the wait between two attempts to open."""

LOGGER = logging.getLogger("citylab_gateway.transports")


class RecoveringPort:
    """``find`` and ``open`` it, tell why it was ``lost``, ``wait``, and begin again."""

    def __init__(
        self,
        port: str,
        *,
        stats: Callable[[], Iterable[PortStats]],
        who: Callable[[], str],
        backoff: Backoff,
    ) -> None:
        """``stats`` and ``who`` (``sensor air-roof``) are asked each time: sensors come and go."""
        self._port = port
        self._stats = stats
        self._who = who
        self._backoff = backoff
        self._ladder = RecoveryLadder(stats)
        self._path = port
        """Where the device was opened last."""
        self._found_path = port
        self._found_usb: UsbPort | None = None
        self._usb: UsbPort | None = None
        """What was opened last, if it is on the USB."""
        self._identity = ""
        """Of the device that was understood; it is recognised at another port."""
        self._reported = ""

    @property
    def settings_wanted(self) -> bool:
        """Tell whether the device is to get its settings at the next opening."""
        return self._ladder.settings_wanted

    async def find(self) -> None:
        """Find out where the device is now; then ``open`` it."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(None, locate, self._port, self._identity)
        self._found_path, self._found_usb = found

    def open(self, line: SerialLine, *, tries: int) -> serial.Serial | None:
        """Open it where it was found; None, counted and reported, if that cannot be done now.

        ``tries`` is how many openings it takes to try everything (one a line setting).
        """
        self._ladder.tries = tries
        try:
            opened = open_port(self._found_path, line)
        except PortError as error:
            for each in self._stats():
                each.open_failures += 1
            self._ladder.missing()
            self.report(str(error))
            return None
        if self._found_path != self._path:
            self._ladder.moved()
            LOGGER.info("%s: found again at %s", self._who(), self._found_path)
        self._path, self._usb = self._found_path, self._found_usb
        for each in self._stats():
            each.open = True
            each.opens += 1
            each.line = line_text(line)
        LOGGER.info("%s: %s is open at %s", self._who(), self._port, line_text(line))
        return opened

    def closed(self, cause: str = "") -> None:
        """Count that it is not open any more, and why, if it has to be opened again."""
        for each in self._stats():
            each.open = False
            if cause:
                each.reopens[cause] = each.reopens.get(cause, 0) + 1

    def fruitful(self) -> None:
        """Take a sign that the device is understood: back to the ground."""
        for each in self._stats():
            each.recovery_step = 0

    async def lost(self, cause: str, problem: str, *, received: bool, fruitful: bool) -> None:
        """Report the end of an opening, and do what the ladder asks for before the next one."""
        if received:
            self._backoff.reset()
            self._reported = ""
        self.report(f"{self._port}: {problem}")
        if fruitful and self._usb is not None:
            self._identity = self._usb.identity
        loop = asyncio.get_running_loop()
        step = self._ladder.lost(cause, fruitful=fruitful)
        if step == "usb_reset" and self._ladder.may_reset(loop.time()):
            await loop.run_in_executor(None, self._ladder.reset, self._usb, loop.time())
        elif step == "report":
            LOGGER.warning("%s: %s: %s", self._who(), self._port, self._ladder.report())

    async def wait(self) -> None:
        """Wait until it may be opened again."""
        await asyncio.sleep(self._backoff.next_s())

    def report(self, problem: str) -> None:
        """Keep and log a problem, once as long as it stays the same."""
        for each in self._stats():
            each.last_error = problem
        if problem != self._reported:
            self._reported = problem
            LOGGER.warning("%s: %s", self._who(), problem)
