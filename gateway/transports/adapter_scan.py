"""The scan of one Bluetooth adapter: started, watched, and started again for ever."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.errors import PortError
from gateway.transports.advert_entry import Beacons
from gateway.transports.advert_hop import AdvertHop
from gateway.transports.bluetooth_ladder import ScanLadder, Step
from gateway.transports.crowd import CrowdWindows
from gateway.transports.ending import Ending
from gateway.transports.stats import STEP_S, AdapterStats
from gateway.transports.whereabouts import Whereabouts

if TYPE_CHECKING:
    from gateway.transports.bluez_bus import Adapter, BlueZ

__all__ = ["AdapterScan", "Listener"]

FIRST_WAIT_S = 0.5
MAX_WAIT_S = 30.0
"""First and longest limit of the wait between two attempts to scan."""
MAX_REPORTED = 16
"""Different problems that are logged between two advertisements."""
CONNECTING_MAX_S = 120.0
"""While a connection is made an adapter may hear nothing; but no longer than this."""
PROBLEMS = {
    "silence": "no advertisement at all; the scan is started again",
    "unheard": "not every sensor is heard passively; scanning actively from now on",
    "bus": "the system bus is gone; the scan is started again",
    "bluez": "BlueZ stopped or restarted; the scan is started again",
    "power": "the adapter was switched off; the scan is started again",
    "gone": "the adapter was pulled out; the scan is started when it is back",
}

LOGGER = logging.getLogger("citylab_gateway.transports")


class Listener:
    """What the scans of all adapters have in common: where to put what they hear."""

    def __init__(
        self,
        beacons: Beacons,
        hop: AdvertHop,
        whereabouts: Whereabouts,
        clock: Clock,
        crowd: CrowdWindows | None = None,
    ) -> None:
        self.beacons = beacons
        self.hop = hop
        self.whereabouts = whereabouts
        self.clock = clock
        self.crowd = crowd
        self.scanned: set[str] = set()
        """Paths of the adapters that scan: two scans of one would be in each other's way."""


class AdapterScan:
    """Scans with one adapter.

    ``wanted`` is its name or its own address, or empty for the first usable one; ``label`` is how
    logs and metrics call it. Any advertisement at all shows that the radio works; without one for
    ``silence_timeout_s`` the scan is started again, and then the ladder is climbed.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a scan is
        self,
        wanted: str,
        *,
        label: str,
        mode: str,
        silence_timeout_s: float,
        listener: Listener,
        stats: AdapterStats,
    ) -> None:
        self.stats = stats
        self.label = label
        self._wanted = wanted
        self._auto = mode == "auto"
        self._mode: Literal["active", "passive"] = "active" if mode == "active" else "passive"
        self._silence_timeout_s = silence_timeout_s
        self._listener = listener
        self._ladder = ScanLadder(stats, patience_s=silence_timeout_s)
        self._backoff = Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S)
        self._heard_at = 0.0
        self._heard_any = False
        self._connecting_since: list[float] = []
        self._cycled_path = ""
        """The adapter that is to be switched off and on, or is off because of that."""
        self._is_off = False
        self._path = ""
        """The adapter that was used last."""
        self._reported: set[str] = set()

    async def run(self) -> None:
        """Scan until cancelled; a missing adapter, BlueZ or bus is tried again for ever."""
        # Here, so that a gateway without Bluetooth sensors never pays for the import.
        from gateway.transports.bluez_bus import AdapterAbsent  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        while True:
            self._heard_any = False
            self.stats.steps += 1
            step: Step | None = None
            try:
                cause = await self._scan_until_lost()
            except AdapterAbsent as error:
                cause = "error"
                self._tell(str(error))
                step = self._ladder.absent(loop.time())
            except PortError as error:
                cause = "error"
                self._tell(str(error))
                step = self._ladder.fruitless(loop.time())
            else:
                self._tell(PROBLEMS[cause])
                if not self._heard_any and cause in ("silence", "unheard"):
                    step = self._ladder.fruitless(loop.time())
            self._take(step)
            self.stats.restarts[cause] = self.stats.restarts.get(cause, 0) + 1
            if self._heard_any:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.next_s())

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """Do not take it for deafness if this adapter hears nothing while it connects."""
        since = asyncio.get_running_loop().time()
        self._connecting_since.append(since)
        crowd = self._listener.crowd
        if crowd is not None:
            crowd.ended(self.label)
        try:
            yield
        finally:
            if crowd is not None and self.stats.open and len(self._connecting_since) == 1:
                crowd.began(self.label)
            self._connecting_since.remove(since)
            self._heard_at = max(self._heard_at, asyncio.get_running_loop().time())

    async def _scan_until_lost(self) -> str:
        """Return why scanning has to start again; PortError if it could not start."""
        from gateway.transports.bleak_scan import PassiveRefused, present_adapters  # noqa: PLC0415
        from gateway.transports.bluez_bus import (  # noqa: PLC0415
            AdapterAbsent,
            BlueZ,
            choose_adapter,
        )

        ending = Ending()
        async with BlueZ.connect(ending) as bluez:
            adapters = await present_adapters(bluez)
            if self._cycled_path in [each.path for each in adapters]:
                await self._power_cycle(bluez)
                adapters = await present_adapters(bluez)
            self._cycled_path = ""
            adapter = choose_adapter(adapters, self._wanted)
            if adapter.path in self._listener.scanned:
                raise AdapterAbsent(adapter.name, "this adapter is configured twice")
            self._listener.scanned.add(adapter.path)
            try:
                self._path = adapter.path
                await bluez.watch(adapter.path, ending)
                return await self._scan(self._mode, adapter, ending)
            except PassiveRefused as error:
                if not self._auto:
                    raise AdapterAbsent(adapter.name, error.reason) from error
                self._tell(f"{error}; trying to scan actively")
                return await self._scan("active", adapter, ending)
            finally:
                self._listener.scanned.discard(adapter.path)

    async def _scan(
        self, mode: Literal["active", "passive"], adapter: "Adapter", ending: Ending
    ) -> str:
        from gateway.transports.bleak_scan import open_scan  # noqa: PLC0415 - as above

        stats = self.stats
        self._heard_at = asyncio.get_running_loop().time()
        async with open_scan(mode, adapter.name, self._hearing(ending)):
            self._mode = mode
            stats.open = True
            stats.mode = mode
            stats.starts += 1
            LOGGER.info("bluetooth %s: scanning with %s, %s", self.label, adapter.name, mode)
            crowd = self._listener.crowd
            if crowd is not None:
                crowd.began(self.label)
            try:
                return await self._until_lost(ending)
            finally:
                if crowd is not None:
                    silent_s = asyncio.get_running_loop().time() - self._heard_at
                    since_ns = self._listener.clock.now_ns() - round(silent_s * 1e9)
                    crowd.ended(self.label, since_ns=since_ns)
                stats.open = False
                stats.mode = ""
                self._listener.whereabouts.forget_adapter(self.label)

    def _hearing(self, ending: Ending) -> Callable[[str, Mapping[str, Any]], None]:
        """Return what is called for each signal about a device.

        Of a stranger's advertisement all that is kept is that the radio works.
        """
        now = asyncio.get_running_loop().time
        listener = self._listener
        configured, sought = listener.beacons, listener.whereabouts.addresses
        crowd = listener.crowd

        def hear(path: str, props: Mapping[str, Any]) -> None:
            self._heard_at = now()
            if not self._heard_any:
                self._first_heard()
            address = props["Address"]
            if crowd is not None and "RSSI" in props:
                with ending:
                    if address in configured or address in sought:
                        crowd.heard_own()
                    else:
                        is_random = props.get("AddressType") != "public"
                        crowd.hear(address, props["RSSI"], random=is_random)
            if address in configured:
                with ending:
                    listener.hop.take(self.label, props)
            if address in sought and "RSSI" in props:
                with ending:
                    listener.whereabouts.note(self.label, path, address, props["RSSI"])

        return hear

    def _first_heard(self) -> None:
        self._heard_any = True
        self._reported.clear()
        self._ladder.heard()

    async def _until_lost(self, ending: Ending) -> str:
        loop = asyncio.get_running_loop()
        started_ns = self._listener.clock.now_ns()
        self._heard_at = max(self._heard_at, loop.time())
        judged_at = loop.time() + self._silence_timeout_s
        on_trial = self._auto and self._mode == "passive"
        while True:
            now = loop.time()
            if on_trial and now >= judged_at:
                on_trial = False
                if not self._listener.hop.all_heard_since(started_ns):
                    self._mode = "active"
                    return "unheard"
            silent_at = self._heard_at + self._silence_timeout_s
            if self._connecting_since:
                silent_at = max(silent_at, min(self._connecting_since) + CONNECTING_MAX_S)
            if now >= silent_at:
                return "silence"
            wake_at = min(silent_at, judged_at) if on_trial else silent_at
            # Not longer, because a connection may end meanwhile.
            cause = await ending.wait(min(wake_at - now, self._silence_timeout_s, STEP_S))
            self.stats.steps += 1
            if cause is not None:
                return cause

    def _take(self, step: Step | None) -> None:
        """Prepare the step that the ladder chose."""
        if step == "power_cycle":
            self._cycled_path = self._path
        elif step == "report":
            LOGGER.error(
                "bluetooth %s: nothing is heard, whatever was tried: look at the adapter",
                self.label,
            )

    async def _power_cycle(self, bluez: "BlueZ") -> None:
        """Switch the adapter off and on where that is permitted."""
        from gateway.transports.bluez_bus import OFF_S  # noqa: PLC0415 - as above

        now = asyncio.get_running_loop().time()
        if not self._is_off:
            try:
                await bluez.switch(self._cycled_path, on=False)
            except PortError as error:
                self._ladder.power_cycled(now, skipped=True)
                self._tell(f"{error}; the adapter is not switched off and on")
                return
        self._is_off = True
        try:
            await asyncio.sleep(OFF_S)
        except asyncio.CancelledError:  # the gateway is stopped just now
            with contextlib.suppress(PortError):
                await bluez.switch(self._cycled_path, on=True)
                self._is_off = False
            raise
        await bluez.switch(self._cycled_path, on=True)  # if it fails, the next attempt does it
        self._is_off = False
        self._ladder.power_cycled(now, skipped=False)
        LOGGER.warning("bluetooth %s: the adapter was switched off and on", self.label)

    def _tell(self, problem: str) -> None:
        """Keep a problem, and log it once until something is heard again."""
        self.stats.last_error = problem
        if problem not in self._reported and len(self._reported) < MAX_REPORTED:
            self._reported.add(problem)
            LOGGER.warning("bluetooth %s: %s", self.label, problem)
