"""Footfall: how many Bluetooth devices were near by in a window, without keeping who they were.

Written for the rules PRIV-01 to PRIV-06 and PRIV-08 of docs/privacy-footfall.md, which says what
is counted, what is forgotten when, and what this cannot promise.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from pydantic import BaseModel

from drivers.footfall.options import FootfallOptions
from drivers.footfall.suppression import shown
from drivers.footfall.window import CountingWindow
from gateway.driver import DriverInfo, Outcome
from gateway.reading import Fault, Flag, Measured

__all__ = ["Footfall", "FootfallOptions"]

ADDRESS_KINDS = ("public", "random")
ZONES = ("near", "middle", "far")
NOT_MEASURED_DBM = -127
"""BlueZ reports a device without an RSSI when something else of it changed: nothing was heard."""
LEAST_HEARD = 0.8
"""A window of which less was heard says nothing."""
WHOLE = 0.98
"""A window of which less was heard is flagged; a scan that is started again takes about 1 s."""
ESTIMATED = int(Flag.ESTIMATED)


class Footfall:
    """Counts each device once in a window, in the zone where it was strongest.

    One instance serves one gateway. The memory it uses is the same whoever passes.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="footfall",
        title="Passing Bluetooth devices, counted in windows; nothing of them is kept",
        domain="traffic",
        quantities=("devices.count", *(f"devices.count_{zone}" for zone in ZONES)),
        interval_s=300.0,
        document="Bluetooth Core Specification 5.4, Vol 6, Part B, 1.3 Device Address",
        privacy="P2",
    )
    Options: ClassVar[type[BaseModel]] = FootfallOptions

    def __init__(self, options: FootfallOptions) -> None:
        self._options = options
        limits = (options.near_dbm, options.middle_dbm)
        self._limits = tuple(limit for limit in limits if limit is not None)
        """The least RSSI of each zone but the last, strongest first; empty: no zones."""
        self._zones = {0: (), 1: (ZONES[0], ZONES[2]), 2: ZONES}[len(self._limits)]
        self._window = CountingWindow()

    @property
    def window_s(self) -> float:
        """Return how long a window is."""
        return self._options.window_s

    def hear(self, address: str, rssi: int, *, random: bool) -> None:
        """Count a device if it is near enough and was not counted in this window."""
        if rssi <= NOT_MEASURED_DBM or rssi < self._options.weakest_dbm:
            return
        zone = 0
        for limit in self._limits:
            if rssi >= limit:
                break
            zone += 1
        self._window.add(address, zone, random=random)

    def close(self, heard: float) -> Iterable[Outcome]:
        """Return the counts of the window, with those suppressed that are small, and forget it."""
        public, random, overflows = self._window.close(max(1, len(self._zones)))
        if heard < LEAST_HEARD:
            return (Fault("timeout", "too little of a window was heard to count"),)
        flags = ESTIMATED if heard < WHOLE or overflows else 0
        outcomes: list[Outcome] = [*self._counts("public", public, flags)]
        # One phone may have several random addresses in a window (PRIV-06).
        outcomes += self._counts("random", random, flags | ESTIMATED)
        if overflows:
            outcomes.append(Fault("device_error", "more devices than a window has room for"))
        return outcomes

    def _counts(self, kind: str, counts: Sequence[int], flags: int) -> Iterator[Measured]:
        """Yield the total of one kind of address, and its zones if there are any."""
        total, zones = shown(counts, self._options.suppress_below)
        dims = (("channel", kind),)
        yield Measured("devices.count", total[0], dims, flags=flags | total[1])
        for name, (value, hidden) in zip(self._zones, zones, strict=False):
            yield Measured(f"devices.count_{name}", value, dims, flags=flags | hidden)
