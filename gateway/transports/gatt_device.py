"""One device that is connected to: when it is visited next, and the advertisements that wake it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from pydantic import BaseModel

from gateway.driver import Advert, Connected, DriverInfo, NoOptions, Outcome

__all__ = ["ConnectedDevice"]

FIRST_RETRY_S = 30.0
MAX_RETRY_S = 3600.0
"""A device that could not be read is tried again after 30, 60, 120 ... s, at most an hour."""
DEAD_SHARE = 0.1
"""Share of the time that all devices that cannot be read may together take from the scan."""


class ConnectedDevice:
    """A sensor that is visited; to the scanner it looks like a beacon that never says anything."""

    info: ClassVar[DriverInfo]
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, *, sensor: str, address: str, driver: Connected, interval_s: float) -> None:
        """``interval_s`` is the shortest time from one reading to the next connection."""
        self.sensor = sensor
        self.address = address
        self.driver = driver
        self.interval_s = interval_s
        self.failures = 0
        """Visits without a reading, one after the other."""
        self.wants: Callable[[ConnectedDevice], None] = _nothing
        """Called when the device is due."""
        self._read_at: float | None = None
        self._not_before = 0.0

    def claims(self, advert: Advert) -> bool:
        """Tell that an advertisement of this device is its own, whatever is in it."""
        del advert
        return True

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Take an advertisement as a sign of life; what the device has to say is read later."""
        now = asyncio.get_running_loop().time()
        since_last_s = None if self._read_at is None else now - self._read_at
        if (
            now >= self._not_before
            and (since_last_s is None or since_last_s >= self.interval_s)
            and self.driver.due(advert, since_last_s)
        ):
            self.wants(self)
        return ()

    def begin(self, now: float) -> None:
        """Take that a visit begins; it counts as failed until it has brought a reading.

        So a driver that raises, and takes the task that visits with it, is not next again.
        """
        self.failures += 1
        self._not_before = now + self._retry_s()

    def succeeded(self, began: float) -> None:
        """Take that the visit that began then has brought a reading."""
        self.failures = 0
        self._read_at = began
        self._not_before = 0.0

    def failed(self, now: float, wasted_s: float, dead: int) -> None:
        """Take that the visit has brought none.

        ``wasted_s`` is what it cost the others, ``dead`` the number of devices that cost that.
        """
        self._not_before = now + max(self._retry_s(), wasted_s * dead / DEAD_SHARE)

    def _retry_s(self) -> float:
        return min(MAX_RETRY_S, FIRST_RETRY_S * 2.0 ** min(self.failures - 1, 16))


def _nothing(device: ConnectedDevice) -> None:
    """Nobody visits yet."""
