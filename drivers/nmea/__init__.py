"""Satellite receivers (GPS, Galileo, GLONASS, BeiDou) that speak NMEA 0183.

Written from NMEA 0183, version 4.11, and u-blox, M10 SPG 5.10 interface description.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.nmea.fields import READERS, FieldError, Heard, OutOfRange
from drivers.nmea.place import UNTIMED_S, PlaceWindow, ReceiverTime
from drivers.nmea.sentences import SentenceReader
from gateway.driver import DriverInfo, Outcome, SerialLine, TimeTold
from gateway.reading import Fault, Measured

__all__ = ["SATELLITES_EVERY_S", "Nmea", "NmeaOptions"]

SATELLITES_EVERY_S = 30.0
"""How often the number of satellites is told: it is the sign of life, with or without a fix."""
PROPRIETARY = b"P"
"""Begins the address of a maker's own sentence: $PGRMC is Garmin's, and no RMC."""


class NmeaOptions(BaseModel):
    """What can be set for one receiver."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    window_s: float = Field(
        default=600.0,
        ge=10.0,
        le=86_400.0,
        description="One position in so many seconds of the receiver's time: the median of the "
        "fixes in them.",
    )
    decimals: int = Field(
        default=4,
        ge=0,
        le=6,
        description="Decimals of its degrees: 4 is about 11 m, 3 about 110 m. More than these "
        "never leave the driver.",
    )


class Nmea:
    """Yields the place of a site, the number of satellites, and the time that they tell."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="nmea",
        title="Satellite receiver with NMEA 0183 output (GPS, Galileo, GLONASS, BeiDou)",
        domain="site",
        quantities=("site.latitude", "site.longitude", "site.altitude", "site.satellites"),
        interval_s=SATELLITES_EVERY_S,
        lines=(SerialLine(9600), SerialLine(4800), SerialLine(38_400)),
        document="NMEA 0183 4.11",
    )
    Options: ClassVar[type[BaseModel]] = NmeaOptions

    def __init__(self, options: NmeaOptions) -> None:
        self._options = options
        self._reader = SentenceReader()
        self._recognised = 0
        self._is_fixed = False
        self._begin()

    def _begin(self) -> None:
        self._time = ReceiverTime()
        self._window = PlaceWindow(self._options.window_s, self._options.decimals)
        self._most_satellites: int | None = None
        self._until_satellites_s = 0.0

    @property
    def recognised(self) -> int:
        """Return how many good sentences came; without a view of the sky they say nothing."""
        return self._recognised

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their sentence."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing to send; the receiver may be another one now, at another place."""
        self._begin()
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings, times and faults."""
        outcomes: list[Outcome] = []
        for found in self._reader.feed(data):
            if isinstance(found, Fault):
                outcomes.append(found)
                continue
            self._recognised += 1
            if found[2:5] in READERS and not found.startswith(PROPRIETARY):
                self._sentence(found, outcomes)
        return outcomes

    def _sentence(self, body: bytes, outcomes: list[Outcome]) -> None:
        fields = body.split(b",")
        fewest, read = READERS[body[2:5]]
        if len(fields[0]) != 5 or len(fields) < fewest:
            outcomes.append(Fault("unknown", "a sentence with too few fields"))
            return
        try:
            heard = read(fields)
        except FieldError as error:
            outcomes.append(_fault(error))
            return
        if heard.is_fixed is not None:
            self._is_fixed = heard.is_fixed
        if heard.problem is not None and self._is_fixed:
            outcomes.append(_fault(heard.problem))
        if heard.utc_ns is not None and self._is_fixed:
            outcomes.append(TimeTold(heard.utc_ns))
        self._take(heard, outcomes)

    def _take(self, heard: Heard, outcomes: list[Outcome]) -> None:
        """Let time pass, and keep what was heard."""
        if heard.second is not None:
            passed_s = self._time.pass_to(heard.second)
        else:
            passed_s = UNTIMED_S if heard.satellites is not None else 0.0
        if passed_s:
            outcomes += self._window.pass_by(passed_s)
        if heard.place is not None:
            self._window.add(heard.place, heard.altitude_m)
        self._until_satellites_s -= passed_s
        if heard.satellites is not None:
            self._most_satellites = max(self._most_satellites or 0, heard.satellites)
        if self._until_satellites_s <= 0 and self._most_satellites is not None:
            outcomes.append(Measured("site.satellites", float(self._most_satellites)))
            self._most_satellites = None
            self._until_satellites_s = SATELLITES_EVERY_S


def _fault(error: FieldError) -> Fault:
    return Fault("range" if isinstance(error, OutOfRange) else "unknown", str(error))
