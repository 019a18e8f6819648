"""What one radar is told, and whether its answers agree; see OPS-UM-001, UM-003 and AN-010."""

from collections.abc import Mapping
from math import cos, radians
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.counting import Name
from gateway.driver import Outcome, Restarted
from gateway.reading import Fault

__all__ = ["HIGHEST_M_S", "KMH_PER_M_S", "Ops243Options", "Settings"]

KMH_PER_M_S = 3.6
DIRECTION_COMMANDS: Mapping[str, bytes] = {"both": b"R|", "inbound": b"R+", "outbound": b"R-"}
SAMPLING_COMMANDS: Mapping[int, bytes] = {10: b"SX", 20: b"S2", 50: b"SL", 100: b"SC"}
HIGHEST_M_S: Mapping[int, float] = {10: 31.1, 20: 62.2, 50: 155.4, 100: 310.8}
"""By thousand samples a second: half of them is the highest Doppler shift, at 24.125 GHz."""
UNIT = "m-per-sec"
"""Also what the radar wakes up with: a restart that nobody noticed changes no number."""
TOLERANCE = 0.011
"""Speeds are sent with two decimals."""
MAX_RESENDS = 3
"""A radar that answers otherwise is told again so often, until it agrees."""
FIRST_DOUBTS = 3
MORE_DOUBTS = 12
"""The settings are sent again after 3 lines that they do not explain, then after each 12 more.

Each such line is a passage that is not told, so it is not asked ever less often.
"""


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
    max_speed_kmh: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="The radar does not report what is faster (OPS243 only).",
    )
    min_magnitude: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="The radar does not report what echoes more weakly.",
    )
    direction: Literal["both", "inbound", "outbound"] = Field(
        default="both", description="The radar reports only traffic towards or away from it."
    )
    angle_deg: float = Field(
        default=0.0,
        ge=0,
        le=60,
        description="Angle between the radar's view and the lane. The radar measures the speed "
        "towards itself; readings are corrected for it.",
    )
    lane: Name | None = Field(default=None, description="Name of the lane.")


class Settings:
    """The commands for one radar; compares what it answers, and asks for them to be sent again."""

    def __init__(self, options: Ops243Options) -> None:
        self._options = options
        towards = cos(radians(options.angle_deg)) / KMH_PER_M_S
        self._min_m_s = round(options.min_speed_kmh * towards, 2)
        self._max_m_s = round((options.max_speed_kmh or 0.0) * towards, 2)
        self._wanted = {
            "SamplingRate": options.sampling_ksps * 1000.0,
            "RequiredMinSpeed": self._min_m_s,
        }
        if self._max_m_s:
            self._wanted["RequiredMaxSpeed"] = self._max_m_s
        self._refusals: dict[str, int] = {}
        self._doubts = 0
        self._patience = FIRST_DOUBTS

    def commands(self) -> tuple[bytes, ...]:
        """Return what is written to the radar, and the question what it made of it."""
        options = self._options
        commands = [
            b"OJ",
            b"UM",
            b"OU",
            SAMPLING_COMMANDS[options.sampling_ksps],
            DIRECTION_COMMANDS[options.direction],
            b"R>%.2f\r" % self._min_m_s,
        ]
        if self._max_m_s:
            commands.append(b"R<%.2f\r" % self._max_m_s)
        if options.min_magnitude is not None:
            commands.append(b"M>%d\r" % options.min_magnitude)
        commands.append(b"ON" if options.report == "objects" else b"On")
        if self._min_m_s or self._max_m_s:
            commands.append(b"R?")
        return tuple(commands)

    def unit(self, unit: str, line: bytes) -> list[Outcome]:
        """Compare the unit that the radar says it uses."""
        return self._judge("unit", agrees=unit == UNIT, said=unit, line=line)

    def answer(self, name: str, value: float, line: bytes) -> list[Outcome]:
        """Compare a number that the radar says it was set to."""
        wanted = self._wanted.get(name)
        if wanted is None:
            return []
        agrees = abs(value - wanted) <= TOLERANCE
        return self._judge(name, agrees=agrees, said=f"{value:g}", line=line)

    def doubt(self) -> list[Outcome]:
        """Note a line that a radar with these settings does not write."""
        self._doubts += 1
        if self._doubts < self._patience:
            return []
        self._doubts = 0
        self._patience = MORE_DOUBTS
        return [Restarted("the radar does not write as it was set up")]

    def trust(self) -> None:
        """Note a line as it should be."""
        self._doubts = 0
        self._patience = FIRST_DOUBTS

    def _judge(self, name: str, *, agrees: bool, said: str, line: bytes) -> list[Outcome]:
        if agrees:
            self._refusals.pop(name, None)
            return []
        refusals = self._refusals[name] = self._refusals.get(name, 0) + 1
        outcomes: list[Outcome] = [
            Fault("device_error", f"the radar did not take its {name}: it has {said}", line[:16])
        ]
        if refusals <= MAX_RESENDS:
            outcomes.append(Restarted(f"the radar has another {name}"))
        return outcomes
