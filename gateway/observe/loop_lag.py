"""How late the event loop is: the one figure that shows a blocking call or a starved machine."""

import asyncio

__all__ = ["LoopLag"]

SAMPLE_INTERVAL_S = 0.5
RECENT_S = 60.0
"""``recent_max_s`` covers between one and two of these."""


class LoopLag:
    """Asks to be woken and looks how late that happens; all figures in seconds."""

    def __init__(self, *, interval_s: float = SAMPLE_INTERVAL_S) -> None:
        self._interval_s = interval_s
        self.last_s = 0.0
        self.max_s = 0.0
        self.recent_max_s = 0.0
        self.samples = 0
        self._window_max_s = 0.0
        self._window_end_s = 0.0

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + self._interval_s
            await asyncio.sleep(self._interval_s)
            now_s = loop.time()
            self.observe(now_s - due_s, now_s)

    def observe(self, lag_s: float, now_s: float) -> None:
        """Take one sample at a time of the loop's clock; a timer may fire a little early."""
        lag_s = max(0.0, lag_s)
        self.samples += 1
        self.last_s = lag_s
        self.max_s = max(self.max_s, lag_s)
        if now_s >= self._window_end_s:
            self.recent_max_s, self._window_max_s = self._window_max_s, 0.0
            self._window_end_s = now_s + RECENT_S
        self._window_max_s = max(self._window_max_s, lag_s)
        self.recent_max_s = max(self.recent_max_s, lag_s)
