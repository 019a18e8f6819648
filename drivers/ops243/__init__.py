"""OmniPreSense OPS241, OPS242 and OPS243 Doppler radars at the roadside.

Written from OmniPreSense OPS-UM-001 (OPS242), UM-003 (OPS243) and AN-010 (API interface).
"""

from collections.abc import Iterable
from math import cos, radians
from typing import ClassVar

from pydantic import BaseModel

from drivers.ops243.lines import UNIT_NAMES, LineReader, Report, parse_line
from drivers.ops243.settings import HIGHEST_M_S, KMH_PER_M_S, Ops243Options, Settings
from gateway.driver import DriverInfo, Outcome, Restarted, SerialLine
from gateway.reading import Dims, Fault, Measured

__all__ = ["HIGHEST_M_S", "Ops243", "Ops243Options"]


class Ops243:
    """Yields ``traffic.speed_avg`` in km/h for each object, with its direction.

    The README of this folder says why it is that quantity and why there is no count.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ops243",
        title="OmniPreSense OPS241, OPS242, OPS243 Doppler radar",
        domain="traffic",
        quantities=("traffic.speed_avg",),
        # A quiet street is no fault; it only has to stay silent for ten times as long.
        interval_s=60.0,
        lines=(SerialLine(19200), SerialLine(9600), SerialLine(57600), SerialLine(115200)),
        privacy="P1",
        document="OmniPreSense, UM-003 OPS243 User Manual and AN-010 API Interface",
    )
    Options: ClassVar[type[BaseModel]] = Ops243Options

    def __init__(self, options: Ops243Options) -> None:
        self._options = options
        self._settings = Settings(options)
        self._highest_kmh = HIGHEST_M_S[options.sampling_ksps] * KMH_PER_M_S
        self._towards = cos(radians(options.angle_deg))
        """What the radar sees of a speed along the lane."""
        self._lane: Dims = (("lane", options.lane),) if options.lane else ()
        self._reader = LineReader()
        self._unit = ""
        self._aligned = False
        self._recognised = 0

    @property
    def recognised(self) -> int:
        """Return how many lines only such a radar writes; on an empty street it still answers."""
        return self._recognised

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their line."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return the radar's settings; until it confirms a unit none is known."""
        self._unit = ""
        return self._settings.commands()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings, faults and restarts."""
        outcomes: list[Outcome] = []
        for found in self._reader.feed(data):
            if isinstance(found, Fault):
                outcomes.append(found)
            else:
                outcomes += self._line(found)
            self._aligned = True
        return outcomes

    def _line(self, line: bytes) -> list[Outcome]:
        report = parse_line(line)
        if isinstance(report, Fault):
            return [report]
        if report.source != "plain" or report.unit:  # a bare number could be anybody's
            self._recognised += 1
        if report.source == "reset":
            self._unit = ""
            return [Restarted("the radar wrote its reset reason")]
        if report.source == "units":
            self._unit = report.unit
            return self._settings.unit(report.unit, line)
        outcomes: list[Outcome] = []
        for name, value in report.answers:
            outcomes += self._settings.answer(name, value, line)
        if report.speeds:
            outcomes += self._speeds(report, line)
        return outcomes

    def _speeds(self, report: Report, line: bytes) -> list[Outcome]:
        plain = report.source == "plain"
        objects = self._options.report == "objects"
        if plain and not self._aligned:
            return []  # the tail of a line looks like a slower speed
        if not plain and (report.source == "object") != objects:
            return []
        factor = UNIT_NAMES.get(report.unit or self._unit)
        outcomes: list[Outcome] = []
        if plain and objects:
            outcomes.append(Fault("unknown", "plain text: the radar is not set up yet", line[:16]))
        elif factor is None:
            outcomes.append(Fault("unknown", "speed without a unit", line[:16]))
        else:
            outcomes += (self._speed(speed, factor, line) for speed in report.speeds if speed)
        if plain or factor is None:
            outcomes += self._settings.doubt()
        else:
            self._settings.trust()
        return outcomes

    def _speed(self, speed: float, factor: float, line: bytes) -> Measured | Fault:
        """Return one speed in km/h along the lane; towards the radar it is positive."""
        kmh = abs(speed) * factor
        if round(kmh, 3) > self._highest_kmh:
            return Fault("range", "speed beyond the radar's range", line[:16])
        direction = "inbound" if speed > 0 else "outbound"
        dims = (("direction", direction), *self._lane)
        return Measured("traffic.speed_avg", round(kmh / self._towards, 3), dims)
