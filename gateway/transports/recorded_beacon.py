"""A beacon whose advertisements are recorded before they are decoded."""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from gateway.clock import Clock
from gateway.driver import Advert, Beacon, DriverInfo, NoOptions, Outcome
from gateway.transports.recorder import Recorder

__all__ = ["RecordedBeacon"]


class RecordedBeacon:
    """Records what one configured address says, also what its driver cannot read."""

    info: ClassVar[DriverInfo]
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(
        self, sensor: str, address: str, driver: Beacon, recorder: Recorder, clock: Clock
    ) -> None:
        self.info = driver.info  # type: ignore[misc]  # the one of the driver behind it
        self._sensor = sensor
        self._address = address
        self._driver = driver
        self._recorder = recorder
        self._clock = clock

    def claims(self, advert: Advert) -> bool:
        """Record it and ask the driver; one of anybody else is forgotten (PRIV-01)."""
        if advert.address != self._address:
            return False
        self._recorder.add_advert(self._sensor, advert, self._clock.now_ns())
        return self._driver.claims(advert)

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Let the driver decode it."""
        return self._driver.decode(advert)
