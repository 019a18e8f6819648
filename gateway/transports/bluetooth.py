"""The one Bluetooth scanner that serves all beacons, with one adapter or several."""

import asyncio
import contextlib
from collections.abc import Collection, Iterator, Sequence

from gateway.clock import Clock
from gateway.driver import Crowd
from gateway.transports.adapter_scan import AdapterScan, Listener
from gateway.transports.advert_entry import AdvertEntry, Beacons
from gateway.transports.advert_hop import AdvertHop
from gateway.transports.crowd import CrowdWindows
from gateway.transports.sink import Sink
from gateway.transports.stats import AdapterStats, ScannerStats
from gateway.transports.whereabouts import Found, Whereabouts

__all__ = ["BluetoothScanner"]

DEFAULT = "default"
"""What the adapter is called that nobody has chosen."""
MODES = ("auto", "active", "passive")


class BluetoothScanner:
    """Listens for advertisements and gives those of configured devices to their drivers.

    ``adapters`` are names (hci0) or the adapters' own addresses; without any the first usable one
    is taken. Each scans for itself. ``mode`` auto listens passively, which sends nothing, as long
    as BlueZ can do so and every configured device is heard within ``silence_timeout_s``; an
    adapter where that fails scans actively from then on. Nothing is kept of other devices than the
    configured ones, except by ``crowd`` (sensor name and driver) while a window lasts. BlueZ
    itself, and bleak's copy of its objects in memory, forget a device soon after it is gone.

    ``connectable`` are the addresses that somebody connects to. A connection needs no scan of its
    own (BlueZ would refuse it): ``find`` tells where this one has heard the device.
    """

    def __init__(  # noqa: PLR0913 - each is one part of what a scanner is
        self,
        *,
        beacons: Beacons,
        sink: Sink,
        clock: Clock,
        adapters: Sequence[str] = (),
        mode: str,
        silence_timeout_s: float,
        connectable: Collection[str] = frozenset(),
        crowd: tuple[str, Crowd] | None = None,
    ) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
        self.stats = ScannerStats()
        self._hop = AdvertHop(AdvertEntry(beacons, sink, self.stats), clock, self.stats)
        self._whereabouts = Whereabouts(connectable)
        labels = {_label(each, number): each for number, each in enumerate(adapters or ("",), 1)}
        self._crowd: CrowdWindows | None = None
        if crowd is not None:
            name, counter = crowd
            self._crowd = CrowdWindows(
                sensor=name, crowd=counter, sink=sink, clock=clock, adapters=labels
            )
            self.stats.crowd_windows = self._crowd.results
        listener = Listener(beacons, self._hop, self._whereabouts, clock, self._crowd)
        self._scans: dict[str, AdapterScan] = {}
        for label, wanted in labels.items():
            stats = self.stats.adapters[label] = AdapterStats()
            self._scans[label] = AdapterScan(
                wanted,
                label=label,
                mode=mode,
                silence_timeout_s=silence_timeout_s,
                listener=listener,
                stats=stats,
            )

    async def run(self) -> None:
        """Scan until cancelled; what ends it otherwise is a bug, in a driver as a rule."""
        tasks = [
            asyncio.create_task(run(), name=f"bluetooth {name}")
            for name, run in (
                ("decoding", self._hop.run),
                *((("windows", self._crowd.run),) if self._crowd is not None else ()),
                *((label, scan.run) for label, scan in self._scans.items()),
            )
        ]
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in ended:
            task.result()

    async def find(self, address: str, timeout_s: float) -> Found:
        """Return where a connectable device is heard best, as soon as it is heard.

        PortError if it is not heard in time.
        """
        return await self._whereabouts.find(address, timeout_s)

    @contextlib.contextmanager
    def connecting(self, found: Found) -> Iterator[None]:
        """Hold the watchdog of that adapter back while a connection is made and used.

        The scan goes on; many adapters hear nothing meanwhile.
        """
        with self._scans[found.adapter].connecting():
            yield


def _label(wanted: str, number: int) -> str:
    """Return what logs and metrics call an adapter: never an address (PRIV-01)."""
    if ":" in wanted:
        return f"adapter-{number}"
    return wanted or DEFAULT
