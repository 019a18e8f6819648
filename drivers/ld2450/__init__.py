"""Hi-Link HLK-LD2450 tracking radar with a virtual counting line.

Written from Hi-Link, "HLK-LD2450 Serial Communication Protocol V1.03": 30 bytes a frame, three
targets of x, y, speed and resolution, no checksum. A number whose highest bit is set is positive.
"""

import struct
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, Field, model_validator

from drivers.counting import (
    Counted,
    FrameWindow,
    Name,
    PassageCounter,
    WindowOptions,
    lane_dims,
)
from drivers.frames import FrameScanner, FrameTable, Payload
from drivers.ld2450.tracking import Crossing, Line, Target, Tracker
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.reading import Fault

__all__ = ["TABLE", "Ld2450", "Ld2450Options", "target_of"]

TARGETS = struct.Struct("<4x3H2x3H2x3H4x")
"""x, y and speed of three targets, without their resolution."""
POSITIVE = 0x8000
HIGHEST_MM = 8000
"""Across or away; the radar sees 6 m, and somewhat more with a good reflector."""
HIGHEST_CM_S = 2000
MM_PER_CM = 10

TABLE = FrameTable(
    start=b"\xaa\xff\x03\x00",
    length=30,
    byte_order="<",
    end=b"\x55\xcc",
    payloads={b"": Payload()},
)

Coordinate = Annotated[float, Field(ge=-HIGHEST_MM, le=HIGHEST_MM)]
Point = tuple[Coordinate, Coordinate]


class Ld2450Options(WindowOptions):
    """What can be set for one radar; nothing is ever written to it."""

    counts: Counted = Field(
        default="people",
        description="What passes here: people, bicycles or vehicles. It decides the quantities; "
        "the radar itself cannot tell them apart.",
    )
    line: tuple[Point, Point] = Field(
        default=((-3000.0, 2000.0), (3000.0, 2000.0)),
        description="The counting line: two points [x, y] in mm, x across and y away from the "
        "radar.",
    )
    directions: tuple[Name, Name] = Field(
        default=("inbound", "outbound"),
        description="Names of the two directions. The first one crosses from the left to the "
        "right of the line, looking from its first point to its second.",
    )
    lanes: tuple[Name, ...] = Field(
        default=(),
        max_length=8,
        description="Names of equal parts of the line from its first point on; one name is the "
        "whole line, none leaves the lane out.",
    )
    min_track_mm: float = Field(
        default=500.0,
        ge=0.0,
        le=HIGHEST_MM,
        description="A target counts only if it has come so far from where it was seen first.",
    )
    frames_per_s: float = Field(
        default=10.0,
        ge=1.0,
        le=50.0,
        description="How many frames this radar sends a second; 10 by its document, up to 12 seen.",
    )

    @model_validator(mode="after")
    def _line_and_names(self) -> Self:
        if self.line[0] == self.line[1]:
            raise ValueError("line: its two points are the same")
        if self.directions[0] == self.directions[1]:
            raise ValueError("directions: both have the same name")
        if len(set(self.lanes)) != len(self.lanes):
            raise ValueError("lanes: two have the same name")
        return self


class Ld2450:
    """Yields counts and speeds of what crosses the line, by direction and lane; no positions."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ld2450",
        title="Hi-Link HLK-LD2450 tracking radar with a counting line",
        domain="traffic",
        quantities=(
            "traffic.count",
            "traffic.speed_avg",
            "traffic.speed_p85",
            "bicycle.count",
            "people.count",
            "people.speed_avg",
        ),
        interval_s=60.0,
        lines=(SerialLine(256_000),),
        privacy="P1",
        document="Hi-Link, HLK-LD2450 Serial Communication Protocol V1.03",
    )
    Options: ClassVar[type[BaseModel]] = Ld2450Options

    def __init__(self, options: Ld2450Options) -> None:
        self._lanes = options.lanes or ("",)
        self._directions = options.directions
        places = [
            lane_dims(lane=lane, direction=direction)
            for lane in self._lanes
            for direction in self._directions
        ]
        self._counter = PassageCounter(options.counts, places, options.report)
        self._window = FrameWindow(options.window_s, options.frames_per_s)
        self._tracker = Tracker(
            Line(*options.line),
            min_track_mm=options.min_track_mm,
            frames_per_s=options.frames_per_s,
        )
        self._frames = FrameScanner(TABLE)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: the radar talks by itself and keeps its settings."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        outcomes: list[Outcome] = []
        for found in self._frames.scan(data):
            if isinstance(found, Fault):
                self._window.doubt()
                outcomes.append(found)
            else:
                self._frame(TARGETS.unpack(found.data), outcomes)
        return outcomes

    def _frame(self, numbers: Sequence[int], outcomes: list[Outcome]) -> None:
        targets = []
        for n in range(0, len(numbers), 3):
            target = target_of(*numbers[n : n + 3])
            if isinstance(target, Fault):
                self._window.doubt(of_frame=True)
                outcomes.append(target)
            elif target is not None:
                targets.append(target)
        for crossing in self._tracker.frame(targets):
            place = self._place(crossing)
            outcomes += self._counter.add(place, crossing.kmh, self._window.flags)
        if self._window.tick():
            outcomes += self._counter.close(self._window.flags)
            self._window.restart()

    def _place(self, crossing: Crossing) -> tuple[tuple[str, str], ...]:
        lane = min(int(crossing.along * len(self._lanes)), len(self._lanes) - 1)
        return lane_dims(
            lane=self._lanes[lane], direction=self._directions[0 if crossing.to_right else 1]
        )


def target_of(x: int, y: int, speed: int) -> Target | Fault | None:
    """Return one target of a frame from its raw numbers; None where there is none."""
    if not (x or y or speed):
        return None
    across, away, radial = _signed(x), _signed(y), abs(_signed(speed))
    if abs(across) > HIGHEST_MM or not 0 <= away <= HIGHEST_MM or radial > HIGHEST_CM_S:
        sample = struct.pack("<HHH", x, y, speed)
        return Fault("range", "a target where the radar sees none", sample)
    return Target(float(across), float(away), float(radial * MM_PER_CM))


def _signed(raw: int) -> int:
    """Return a number in sign and magnitude, whose highest bit means plus."""
    return raw - POSITIVE if raw & POSITIVE else -raw
