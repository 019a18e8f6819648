"""What one Bluetooth driver makes of one device."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydantic import ValidationError

from gateway.cli.scan.hearing import MAX_VALUES
from gateway.driver import (
    Advert,
    Beacon,
    Connected,
    Driver,
    DriverInfo,
    Outcome,
    driver_class,
    driver_names,
)
from gateway.reading import Dims, Fault, Measured

__all__ = ["Attempt", "RadioDriver", "claims_of", "made", "make_radio", "radio_drivers"]

KEY_FAULTS = ("key_missing", "key_wrong")


RadioDriver = Beacon | Connected


def radio_drivers() -> list[type[Driver]]:
    """Return all Bluetooth drivers that can be tried without knowing more, by name."""
    classes = (driver_class(name) for name in driver_names())
    return [cls for cls in classes if cls is not None and make_radio(cls) is not None]


def make_radio(cls: type[Driver]) -> RadioDriver | None:
    """Return a driver for one device, None if it is for a port or cannot do without options."""
    try:
        driver = cls(cls.Options.model_validate({}))
    except ValidationError:
        return None
    return driver if isinstance(driver, Beacon | Connected) else None


def made(classes: Iterable[type[Driver]]) -> list[RadioDriver]:
    """Return new drivers for one device; who cannot do without options is left out."""
    drivers = (make_radio(cls) for cls in classes)
    return [driver for driver in drivers if driver is not None]


def claims_of(driver: RadioDriver) -> Callable[[Advert], bool]:
    """Return what tells whether an advertisement is of this driver's family."""
    if isinstance(driver, Beacon):
        return driver.claims
    return lambda advert: driver.due(advert, None)


@dataclass(slots=True)
class Attempt:
    """One driver, and what it makes of one device."""

    driver: RadioDriver
    claims: Callable[[Advert], bool]
    discreet: bool = False
    claimed: bool = False
    readings: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    values: dict[tuple[str, Dims], float] = field(default_factory=dict)
    """The latest of each series."""

    @property
    def info(self) -> DriverInfo:
        """Return what the driver declares."""
        return self.driver.info

    def hear(self, advert: Advert) -> None:
        """Let the driver look at one advertisement."""
        if not self.claims(advert):
            return
        self.claimed = True
        if isinstance(self.driver, Beacon):
            self._take(self.driver.decode(advert))

    def _take(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome, Fault):
                self.faults[outcome.kind] += 1
            elif isinstance(outcome, Measured):
                self.readings += 1
                key = (outcome.quantity, outcome.dims)
                if not self.discreet and (len(self.values) < MAX_VALUES or key in self.values):
                    self.values[key] = outcome.value

    @property
    def key_problem(self) -> str:
        """Return key_missing or key_wrong if that is why there are no readings, or empty."""
        if self.readings or not self.info.secrets:
            return ""
        return next((kind for kind in KEY_FAULTS if self.faults[kind]), "")

    @property
    def connects(self) -> bool:
        """Tell whether the device has to be connected to, and this driver would do so."""
        return self.claimed and not isinstance(self.driver, Beacon)

    @property
    def understands(self) -> bool:
        """Tell whether this is a device of the driver's.

        To claim it is not enough: of an iBeacon or a tracker on somebody's keys nothing can be
        read. What has readings, or would have with a key or a connection, is a sensor.
        """
        return bool(self.readings or self.key_problem or self.connects)
