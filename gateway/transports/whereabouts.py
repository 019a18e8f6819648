"""Where devices that somebody wants to connect to were heard last, and through which adapter.

bleak can connect by address alone, but then it scans for it, and BlueZ refuses a second scan of
the same client. What the running scan has heard is all that a connection needs.
"""

import asyncio
from collections.abc import Collection
from typing import NamedTuple

from gateway.errors import PortError

__all__ = ["Found", "Whereabouts"]

FRESH_S = 20.0
"""BlueZ forgets a device 30 s after it was heard last."""


class Found(NamedTuple):
    """A device that was heard a moment ago."""

    path: str
    """The D-Bus path of the device, which says which adapter heard it."""
    adapter: str
    """The name of that adapter in the statistics."""


class _Hearing(NamedTuple):
    path: str
    rssi: int
    heard_at: float


class Whereabouts:
    """Remembers of these addresses, and of no others, where each adapter heard them last.

    ``addresses`` is looked at each time, so its owner may add and remove some.
    """

    def __init__(self, addresses: Collection[str]) -> None:
        self.addresses = addresses
        self._heard: dict[str, dict[str, _Hearing]] = {}
        self._waiting: dict[str, asyncio.Event] = {}

    def note(self, adapter: str, path: str, address: str, rssi: int) -> None:
        """Take that an adapter heard one of the addresses."""
        now = asyncio.get_running_loop().time()
        self._heard.setdefault(address, {})[adapter] = _Hearing(path, rssi, now)
        waiting = self._waiting.get(address)
        if waiting is not None:
            waiting.set()

    def forget_adapter(self, adapter: str) -> None:
        """Forget what an adapter heard: its scan has ended, and BlueZ forgets as well."""
        for hearings in self._heard.values():
            hearings.pop(adapter, None)

    async def find(self, address: str, timeout_s: float) -> Found:
        """Return where the device is heard best, as soon as it is; PortError if it is not."""
        heard = self._waiting.setdefault(address, asyncio.Event())
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = self._best(address)
                    if found is not None:
                        return found
                    heard.clear()
                    await heard.wait()
        except TimeoutError:
            raise PortError("bluetooth", f"not heard within {timeout_s:g} s") from None

    def _best(self, address: str) -> Found | None:
        after = asyncio.get_running_loop().time() - FRESH_S
        fresh = [
            (hearing.rssi, adapter, hearing.path)
            for adapter, hearing in self._heard.get(address, {}).items()
            if hearing.heard_at >= after
        ]
        if not fresh:
            return None
        _, adapter, path = max(fresh)
        return Found(path, adapter)
