"""OmniPreSense OPS241, OPS242 and OPS243 Doppler radars at the roadside.

Written from OmniPreSense OPS-UM-001 (OPS242), UM-003 (OPS243) and AN-010 (API interface).
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.ops243.lines import UNIT_NAMES, LineReader, Report, parse_line
from gateway.driver import DriverInfo, Outcome, Restarted, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["Ops243", "Ops243Options"]

KMH_PER_M_S = 3.6
DIRECTION_COMMANDS: Mapping[str, bytes] = {"both": b"R|", "inbound": b"R+", "outbound": b"R-"}
SAMPLING_COMMANDS: Mapping[int, bytes] = {10: b"SX", 20: b"S2", 50: b"SL", 100: b"SC"}
HIGHEST_M_S: Mapping[int, float] = {10: 31.1, 20: 62.2, 50: 155.4, 100: 310.8}
"""By thousand samples a second: half of them is the highest Doppler shift, at 24.125 GHz."""


class Ops243Options(BaseModel):
    """What can be set for one radar; it is sent to the radar at each opening and restart."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    report: Literal["objects", "speeds"] = Field(
        default="objects",
        description="objects: the radar itself decides what is one vehicle and reports its highest "
        "speed. speeds: every raw speed that it sees, several a second.",
    )
    sampling_ksps: Literal[10, 20, 50, 100] = Field(
        default=20,
        description="Thousand samples a second; they limit the speed: 10 to 112 km/h, 20 to 224, "
        "50 to 559, 100 to 1119. Fewer samples resolve finer.",
    )
    min_speed_kmh: float = Field(
        default=0.0, ge=0, le=100, description="The radar does not report what is slower."
    )
    direction: Literal["both", "inbound", "outbound"] = Field(
        default="both", description="The radar reports only traffic towards or away from it."
    )


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
        self._highest_kmh = HIGHEST_M_S[options.sampling_ksps] * KMH_PER_M_S
        self._reader = LineReader()
        self._unit = ""
        self._aligned = False

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their line."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return the radar's settings.

        Metres per second is also what the radar wakes up with, so that a restart that nobody
        noticed cannot change what a number means. Until the radar confirms it no unit is known.
        """
        self._unit = ""
        options = self._options
        return (
            b"OJ",
            b"UM",
            b"OU",
            SAMPLING_COMMANDS[options.sampling_ksps],
            DIRECTION_COMMANDS[options.direction],
            b"R>%.2f\r" % (options.min_speed_kmh / KMH_PER_M_S),
            b"ON" if options.report == "objects" else b"On",
        )

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
        if report.source == "reset":
            self._unit = ""
            return [Restarted("the radar wrote its reset reason")]
        if report.source == "units":
            self._unit = report.unit
        if not report.speeds:
            return []
        return self._speeds(report, line)

    def _speeds(self, report: Report, line: bytes) -> list[Outcome]:
        if report.source == "plain":
            if not self._aligned:
                return []  # the tail of a line looks like a slower speed
            if self._options.report == "objects":
                return [Fault("unknown", "plain text: the radar is not set up yet", line[:16])]
        elif (report.source == "object") != (self._options.report == "objects"):
            return []
        factor = UNIT_NAMES.get(report.unit or self._unit)
        if factor is None:
            return [Fault("unknown", "speed without a unit", line[:16])]
        outcomes: list[Outcome] = []
        for speed in report.speeds:
            kmh = round(abs(speed) * factor, 3)
            if kmh > self._highest_kmh:
                outcomes.append(Fault("range", "speed beyond the radar's range", line[:16]))
            elif kmh:
                direction = "inbound" if speed > 0 else "outbound"
                outcomes.append(Measured("traffic.speed_avg", kmh, (("direction", direction),)))
        return outcomes
