"""Benewake TF-Luna, TFmini-S and TFmini Plus lidars as a beam that counts what passes.

Written from Benewake, SJ-PM-TF-Luna A03 and SJ-PM-TFmini-S A01: nine bytes a frame, distance in
cm, signal strength, temperature of the chip, and the low byte of their sum.
"""

import struct
from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import BaseModel, Field

from drivers.counting import (
    COUNTED,
    Counted,
    FrameWindow,
    Mean,
    Name,
    PassageCounter,
    WindowOptions,
    lane_dims,
)
from drivers.frames import Checksum, Frame, FrameScanner, FrameTable, LengthField, Payload
from drivers.tfluna.beam import Beam, Passage
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.reading import Fault, Flag, Measured

__all__ = ["HIGHEST_CM", "TABLE", "TfLuna", "TfLunaOptions", "distance_of"]

HIGHEST_CM = 1200
"""End of the range of the TFmini-S and Plus; that of the TF-Luna is 800."""
NOTHING_CM = 2 * HIGHEST_CM
"""Beyond any threshold."""
OVEREXPOSED = 0xFFFF
NO_DISTANCE = frozenset({0, 0xFFFF, 0xFFFE, 0xFFFC})
"""No echo, weak, saturated, ambient light: written in place of a distance."""
LOWEST_CELSIUS, HIGHEST_CELSIUS = -40.0, 125.0
"""The older TFmini writes something else there, which would be far below."""
HOLD_S = 0.5
"""A beam without a distance for longer is in no known state."""
KMH_PER_M_S = 3.6
ESTIMATED = int(Flag.ESTIMATED)

TABLE = FrameTable(
    start=b"YY",
    length=9,
    byte_order="<",
    checksum=Checksum(kind="sum8", first=0, behind=1),
    payloads={b"": Payload()},
)
NUMBERS = struct.Struct("<2x3Hx")
"""Distance, strength and temperature."""
RATE_ANSWER, FORMAT_ANSWER = b"\x06\x03", b"\x05\x05"
ANSWERS = FrameTable(
    start=b"\x5a",
    length=LengthField(offset=1, code="B", extra=0, shortest=5, longest=6),
    byte_order="<",
    checksum=Checksum(kind="sum8", first=0, behind=1),
    payloads={RATE_ANSWER: Payload(), FORMAT_ANSWER: Payload()},
)
"""A command and the answer to it are alike: length, number, value."""
SET_RATE = 0x03
SET_FORMAT = 0x05
CENTIMETRES = 0x01


class TfLunaOptions(WindowOptions):
    """What can be set for one beam."""

    counts: Counted = Field(
        default="vehicles",
        description="What passes here: vehicles, bicycles or people. The lidar cannot tell.",
    )
    threshold_cm: float = Field(
        default=400.0,
        gt=0,
        le=HIGHEST_CM,
        description="Nearer than this is something in the beam; put it between the far edge of "
        "the lane and what stands behind it.",
    )
    hysteresis_cm: float = Field(
        default=20.0,
        ge=0,
        le=HIGHEST_CM,
        description="The beam is clear again beyond the threshold and so much more.",
    )
    min_frames: int = Field(
        default=3,
        ge=1,
        le=100,
        description="A change must last for so many frames; leaves and rain do not.",
    )
    min_strength: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="A weaker echo has no distance; 100 by the manual.",
    )
    no_echo: Literal["unknown", "clear"] = Field(
        default="unknown",
        description="What a frame without a usable echo says: nothing, or, where the beam goes "
        "into the open and never comes back, that it is clear.",
    )
    speed_kmh: float | None = Field(
        default=None,
        gt=0,
        le=200,
        description="Typical speed here, as measured otherwise: gaps in metres are told with it, "
        "flagged as estimated. Without it there are none, because one beam sees no speed.",
    )
    lane: Name | None = Field(default=None, description="Name of the lane.")
    direction: Name | None = Field(
        default=None, description="Direction of the lane, if it has one; the beam sees none."
    )
    rate_hz: Literal[10, 20, 25, 50, 100, 125, 250] = Field(
        default=100, description="Frames a second; it is set at each opening of the port."
    )


class TfLuna:
    """Yields count, headway, gap and occupancy of one lane, and the temperature of the lidar."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="tfluna",
        title="Benewake TF-Luna, TFmini-S, TFmini Plus lidar as a counting beam",
        domain="traffic",
        quantities=(
            *(names.passages for names in COUNTED.values()),
            "traffic.headway_avg",
            "traffic.gap_avg",
            "traffic.occupancy",
            "device.temperature",
        ),
        interval_s=60.0,
        lines=(SerialLine(115_200),),
        privacy="P1",
        document="Benewake, SJ-PM-TF-Luna A03 Product Manual",
    )
    Options: ClassVar[type[BaseModel]] = TfLunaOptions

    def __init__(self, options: TfLunaOptions) -> None:
        self._options = options
        self._rate = options.rate_hz
        self._place = lane_dims(lane=options.lane or "", direction=options.direction or "")
        self._counter = PassageCounter(options.counts, (self._place,), options.report)
        self._window = FrameWindow(options.window_s, options.rate_hz)
        self._beam = Beam(
            threshold_cm=options.threshold_cm,
            hysteresis_cm=options.hysteresis_cm,
            min_frames=options.min_frames,
            hold_frames=round(HOLD_S * options.rate_hz),
        )
        self._frames = FrameScanner(TABLE, ANSWERS)
        self._headway, self._gap, self._temperature = Mean(), Mean(), Mean()
        self._blocked = self._known = 0
        """Frames of this window with something in the beam, and with a known state."""

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return the settings: distances in cm and the rate, which is what time is counted by.

        They are not saved in the lidar: saving wears its memory, and they are sent again anyway.
        """
        return (
            _command(SET_FORMAT, bytes((CENTIMETRES,))),
            _command(SET_RATE, self._rate.to_bytes(2, "little")),
        )

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        outcomes: list[Outcome] = []
        for found in self._frames.scan(data):
            if isinstance(found, Frame):
                if found.head == TABLE.start:
                    self._frame(found.data, outcomes)
                else:
                    outcomes += self._answer(found.data)
                continue
            outcomes.append(found)
            # With a wrong checksum it was a frame all the same: its time has passed.
            is_frame = found.kind == "checksum" and found.sample.startswith(TABLE.start)
            self._window.doubt(of_frame=is_frame)
            if is_frame:
                self._step(None, outcomes)
        return outcomes

    def _answer(self, data: bytes) -> list[Outcome]:
        """Compare what the lidar says that it was set to."""
        value = int.from_bytes(data[3:-1], "little")
        wanted = self._rate if data[2] == SET_RATE else CENTIMETRES
        if value == wanted:
            return []
        return [Fault("device_error", f"the lidar took {value} for a setting of {wanted}", data)]

    def _frame(self, data: bytes, outcomes: list[Outcome]) -> None:
        distance, strength, temperature = NUMBERS.unpack(data)
        usable = distance_of(distance, strength, self._options.min_strength)
        if usable is not None and usable > HIGHEST_CM:
            outcomes.append(Fault("range", "a distance beyond the lidar's range", data))
            self._window.doubt(of_frame=True)
            usable = None
        elif usable is None and self._options.no_echo == "clear" and strength != OVEREXPOSED:
            usable = NOTHING_CM
        celsius = temperature / 8 - 256
        if LOWEST_CELSIUS <= celsius <= HIGHEST_CELSIUS:
            self._temperature.add(celsius)
        self._step(usable, outcomes)

    def _step(self, distance_cm: int | None, outcomes: list[Outcome]) -> None:
        """Let one frame's time pass."""
        passage = self._beam.sample(distance_cm)
        if passage is not None:
            outcomes += self._pass(passage)
        if self._beam.blocked is None:
            self._window.doubt(of_frame=True)
        else:
            self._known += 1
            self._blocked += self._beam.blocked
        if self._window.tick():
            outcomes += self._close()
            self._window.restart()

    def _pass(self, passage: Passage) -> list[Measured]:
        if passage.headway_frames is not None:
            self._headway.add(passage.headway_frames / self._rate)
        if passage.gap_frames is not None:
            self._gap.add(passage.gap_frames / self._rate)
        return self._counter.add(self._place, None, self._window.flags)

    def _close(self) -> list[Measured]:
        """Return what the window says; nothing about passages if the beam was never known.

        A window with too many frames without a state tells its count, flagged, and no times.
        """
        told: list[Measured] = []
        if self._known:
            told += self._counter.close(self._window.flags)
        headway, gap_s = self._headway.take(), self._gap.take()
        if self._known and not self._window.doubtful:
            occupancy = round(100 * self._blocked / self._known, 3)
            told.append(Measured("traffic.occupancy", occupancy, self._place))
            if headway is not None:
                told.append(Measured("traffic.headway_avg", headway, self._place))
            if gap_s is not None and self._options.speed_kmh is not None:
                gap_m = round(gap_s * self._options.speed_kmh / KMH_PER_M_S, 3)
                told.append(Measured("traffic.gap_avg", gap_m, self._place, 0.0, ESTIMATED))
        temperature = self._temperature.take()
        if temperature is not None:
            told.append(Measured("device.temperature", temperature))
        self._blocked = self._known = 0
        return told


def distance_of(distance: int, strength: int, min_strength: int) -> int | None:
    """Return the distance in cm from the numbers of a frame, None where it cannot be believed."""
    if distance in NO_DISTANCE or strength < min_strength or strength == OVEREXPOSED:
        return None
    return distance


def _command(number: int, value: bytes) -> bytes:
    body = ANSWERS.start + bytes((len(value) + 4, number)) + value
    return body + bytes((sum(body) & 0xFF,))
