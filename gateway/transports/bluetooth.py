"""The one Bluetooth scanner that serves all beacons."""

import asyncio
import logging
from typing import TYPE_CHECKING, Literal

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driver import Advert
from gateway.errors import PortError
from gateway.transports.advert_entry import AdvertEntry, Beacons
from gateway.transports.ending import Ending
from gateway.transports.sink import Sink
from gateway.transports.stats import ScannerStats

if TYPE_CHECKING:
    from gateway.transports.bleak_scan import ScanMode

__all__ = ["BluetoothScanner"]

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
"""First and longest limit of the wait between two attempts to scan."""
REPORT_AFTER = 3
"""So many silent scans in a row are reported as an error: a person has to look at the adapter."""
MAX_REPORTED = 16
"""Different problems that are logged between two advertisements."""
PROBLEMS = {
    "silence": "no advertisement at all; the scan is started again",
    "unheard": "not every sensor is heard passively; scanning actively from now on",
    "bus": "the system bus is gone; the scan is started again",
    "bluez": "BlueZ stopped or restarted; the scan is started again",
    "power": "the adapter was switched off; the scan is started again",
}

LOGGER = logging.getLogger("citylab_gateway.transports")


class BluetoothScanner:
    """Listens for advertisements and gives those of configured devices to their drivers.

    ``mode`` auto listens passively, which sends nothing, as long as BlueZ can do so and every
    configured device is heard that way within ``silence_timeout_s``; from then on it scans
    actively. Any advertisement at all shows that the radio works; without one for
    ``silence_timeout_s`` the scan is started again. Nothing is kept of other devices than the
    configured ones; BlueZ itself, and bleak's copy of its objects in memory, forget a device soon
    after it is gone.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a scanner is
        self,
        *,
        beacons: Beacons,
        sink: Sink,
        clock: Clock,
        adapter: str,
        mode: str,
        silence_timeout_s: float,
    ) -> None:
        if mode not in ("auto", "active", "passive"):
            raise ValueError(f"mode must be auto, active or passive, got {mode!r}")
        self.stats = ScannerStats()
        self._entry = AdvertEntry(beacons, sink, clock, self.stats)
        self._adapter = adapter
        self._auto = mode == "auto"
        self._mode: Literal["active", "passive"] = "active" if mode == "active" else "passive"
        self._silence_timeout_s = silence_timeout_s
        self._backoff = Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
        self._heard_at = 0.0
        self._heard_any = False
        self._unheard: set[str] = set()
        """Configured addresses that this scan has not heard yet."""
        self._silent_scans = 0
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Scan until cancelled; a missing adapter, BlueZ or bus is tried again for ever."""
        while True:
            self._heard_any = False
            try:
                cause = await self._scan_until_lost()
            except PortError as error:
                cause = "error"
                self._report(str(error))
            else:
                self._report(f"bluetooth: {PROBLEMS[cause]}")
                self._count_silence(cause)
            finally:
                self.stats.open = False
                self.stats.mode = ""
            self.stats.restarts[cause] = self.stats.restarts.get(cause, 0) + 1
            if self._heard_any:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next_s())

    async def _scan_until_lost(self) -> str:
        """Return why scanning has to start again; PortError if it could not start."""
        # Here, so that a gateway without Bluetooth sensors never pays for the import.
        from gateway.transports.bleak_scan import (  # noqa: PLC0415
            PassiveRefused,
            watch_bluez,
        )

        ending = Ending()
        async with watch_bluez(ending):
            try:
                return await self._scan(self._mode, ending)
            except PassiveRefused as error:
                if not self._auto:
                    raise
                self._report(f"{error}; trying to scan actively")
                return await self._scan("active", ending)

    async def _scan(self, mode: "ScanMode", ending: Ending) -> str:
        from gateway.transports.bleak_scan import open_scan  # noqa: PLC0415 - as above

        self._unheard = set(self._entry.addresses)
        async with open_scan(
            mode, self._adapter, wanted=self._wanted, accept=self._accept, ending=ending
        ):
            self._mode = mode
            self.stats.open = True
            self.stats.mode = mode
            self.stats.starts += 1
            LOGGER.info("bluetooth: scanning, %s", mode)
            return await self._until_lost(ending)

    async def _until_lost(self, ending: Ending) -> str:
        loop = asyncio.get_running_loop()
        self._heard_at = started_at = loop.time()
        while True:
            on_trial = self._auto and self._mode == "passive" and bool(self._unheard)
            silent_at = self._heard_at + self._silence_timeout_s
            judged_at = started_at + self._silence_timeout_s
            now = loop.time()
            if on_trial and now >= judged_at:
                self._mode = "active"
                return "unheard"
            if now >= silent_at:
                return "silence"
            wake_at = min(silent_at, judged_at) if on_trial else silent_at
            cause = await ending.wait(wake_at - now)
            if cause is not None:
                return cause

    def _wanted(self, address: str) -> bool:
        # That the radio works is all that is kept of a stranger's advertisement.
        self._heard_at = asyncio.get_running_loop().time()
        if not self._heard_any:
            self._heard_any = True
            self._reported.clear()
        return self._entry.knows(address)

    def _accept(self, advert: Advert) -> None:
        self._unheard.discard(advert.address)
        self._entry.accept(advert)

    def _count_silence(self, cause: str) -> None:
        if cause != "silence" or self._heard_any:
            self._silent_scans = 0
            return
        self._silent_scans += 1
        if self._silent_scans == REPORT_AFTER:
            LOGGER.error("bluetooth: %d scans heard nothing; check the adapter", REPORT_AFTER)

    def _report(self, problem: str) -> None:
        """Keep a problem, and log it once until something is heard again."""
        self.stats.last_error = problem
        if problem not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add(problem)
            LOGGER.warning("%s", problem)
