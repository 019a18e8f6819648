"""The clock of a crowd's windows, and the judgement whether the radio listened in them."""

import asyncio
from collections.abc import Collection

from gateway.clock import Clock
from gateway.driver import Crowd
from gateway.transports.sink import Sink

__all__ = ["WINDOW_RESULTS", "CrowdWindows"]

NS_PER_S = 1_000_000_000
MAX_WINDOW_NS = 900 * NS_PER_S
"""PRIV-03."""
LEAST_WINDOW_NS = NS_PER_S
"""A wall clock that runs a little slower than boot time must not make a window of an instant: the
one before it is longer by so much."""
LOOK_S = 1.0
"""How late a window may end in a quiet street; an advertisement that comes first ends it, too."""
ONE_ADAPTER = ("",)
WINDOW_RESULTS = ("whole", "partly", "deaf")
"""How much of a window was heard."""
WHOLE = 0.98
"""Of a whole window; a scan that is started again takes about 1 s."""


class CrowdWindows:
    """Passes strangers to a crowd, and ends its windows at multiples of their length of wall time.

    A window is never longer than that by more than a second, and never longer than 15 min, whatever
    the wall clock does; those cut short, by a start or a clock that was set, were not heard for the
    rest. Without one advertisement of anybody, own sensors included, nothing shows that the radio
    works: the window was not heard. An adapter that does not scan is a part that was not heard,
    even if another one does.
    """

    def __init__(
        self,
        *,
        sensor: str,
        crowd: Crowd,
        sink: Sink,
        clock: Clock,
        adapters: Collection[str] = ONE_ADAPTER,
    ) -> None:
        self.results = dict.fromkeys(WINDOW_RESULTS, 0)
        """Windows that have ended, by how much of them was heard; nothing else of them is kept."""
        self._sensor = sensor
        self._crowd = crowd
        self._sink = sink
        self._clock = clock
        self._window_ns = round(crowd.window_s * NS_PER_S)
        drawn_out_ns = min(self._window_ns + LEAST_WINDOW_NS, MAX_WINDOW_NS)
        self._longest_ns = max(self._window_ns, drawn_out_ns)
        self._deaf = set(adapters)
        """Adapters that do not scan now."""
        now_ns = clock.now_ns()
        self._deaf_from_ns: int | None = now_ns
        """Since when one of them does not; None: all do."""
        self._settled_ns = now_ns
        """Up to here it is known what was not heard."""
        self._unheard_ns = 0
        self._heard_any = False
        self._end_ns = 0
        self._open(now_ns, now_ns)

    def hear(self, address: str, rssi: int, *, random: bool) -> None:
        """Take one advertisement of a device that is no configured sensor, and keep nothing."""
        self.heard_own()
        self._crowd.hear(address, rssi, random=random)

    def heard_own(self) -> None:
        """Take note that a configured sensor was heard: the radio works."""
        now_ns = self._clock.now_ns()
        if now_ns >= self._end_ns:
            self._roll(now_ns)
        self._heard_any = True

    def began(self, adapter: str = "") -> None:
        """Take note that an adapter scans now."""
        self.look()
        self._deaf.discard(adapter)
        if not self._deaf and self._deaf_from_ns is not None:
            self._settled_ns = self._clock.now_ns()
            self._unheard_ns += self._settled_ns - self._deaf_from_ns
            self._deaf_from_ns = None

    def ended(self, adapter: str = "", *, since_ns: int | None = None) -> None:
        """Take note that an adapter scans no more, or has been silent since then (boot time)."""
        self.look()
        self._deaf.add(adapter)
        now_ns = self._clock.now_ns()
        from_ns = max(now_ns if since_ns is None else since_ns, self._settled_ns)
        if self._deaf_from_ns is None or from_ns < self._deaf_from_ns:
            self._deaf_from_ns = from_ns

    def look(self) -> None:
        """End the window if it is time."""
        now_ns = self._clock.now_ns()
        if now_ns >= self._end_ns:
            self._roll(now_ns)

    async def run(self) -> None:
        """Keep the time until cancelled; what was heard then is forgotten without a count."""
        try:
            while True:
                self.look()
                await asyncio.sleep(LOOK_S)
        finally:
            self.forget()

    def forget(self) -> None:
        """Forget the window that is open; it gives no reading."""
        list(self._crowd.close(0.0))  # it may be a generator
        now_ns = self._clock.now_ns()
        self._open(now_ns, now_ns)

    def _roll(self, now_ns: int) -> None:
        """End the window where it was due, and begin the next one."""
        end_ns = self._end_ns
        if self._deaf_from_ns is not None:
            self._unheard_ns += end_ns - self._deaf_from_ns
            self._deaf_from_ns = end_ns
        heard = 1 - self._unheard_ns / self._window_ns if self._heard_any else 0.0
        outcomes = list(self._crowd.close(max(0.0, heard)))
        self.results["whole" if heard >= WHOLE else "partly" if heard > 0.0 else "deaf"] += 1
        was_asleep = now_ns - end_ns >= self._window_ns
        self._open(now_ns if was_asleep else end_ns, now_ns)
        self._sink.accept(self._sensor, outcomes, end_ns)

    def _open(self, from_ns: int, now_ns: int) -> None:
        """Begin a window; of the part before ``from_ns`` nothing was heard."""
        left_ns = self._window_ns - self._clock.wall_ns(now_ns) % self._window_ns
        if left_ns < LEAST_WINDOW_NS:
            left_ns += self._window_ns
        self._end_ns = min(now_ns + left_ns, from_ns + self._longest_ns)
        self._unheard_ns = max(0, from_ns - (self._end_ns - self._window_ns))
        self._settled_ns = from_ns
        if self._deaf_from_ns is not None:
            self._deaf_from_ns = from_ns
        self._heard_any = False
