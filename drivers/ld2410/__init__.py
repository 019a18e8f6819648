"""Hi-Link HLK-LD2410, LD2410B and LD2410C presence radars: how much of the time somebody is there.

Written from Hi-Link, "HLK-LD2410 Serial Communication Protocol V1.02": a length field, start and
end bytes, no real checksum. Basic reports and those of the engineering mode are read.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.counting import FrameWindow, Name, lane_dims
from drivers.frames import FrameScanner, FrameTable, LengthField, Payload
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["TABLE", "Ld2410", "Ld2410Options"]

MOVING, STATIC, BOTH = 1, 2, 3
STATE_OFFSET = 8

TABLE = FrameTable(
    start=b"\xf4\xf3\xf2\xf1",
    length=LengthField(offset=4, code="H", extra=10, shortest=23, longest=45),
    byte_order="<",
    end=b"\xf8\xf7\xf6\xf5",
    payloads={
        # By length, kind of report and head: the basic one, and that of the engineering mode, which
        # goes on with what each gate sees.
        b"\x0d\x00\x02\xaa": Payload(),
        b"\x23\x00\x01\xaa": Payload(),
    },
)


class Ld2410Options(BaseModel):
    """What can be set for one radar; nothing is ever written to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    present: Literal["any", "moving"] = Field(
        default="any",
        description="What counts as somebody: any target, or only one that moves.",
    )
    lane: Name | None = Field(default=None, description="Name of the lane or place.")
    window_s: float = Field(
        default=10.0,
        ge=1.0,
        # Longer, and the port would be tried with the other baud rate before the first reading.
        le=60.0,
        description="Length of a window in seconds of the radar's frames.",
    )
    frames_per_s: float = Field(
        default=10.0, ge=1.0, le=50.0, description="How many frames this radar sends a second."
    )


class Ld2410:
    """Yields ``traffic.occupancy``: the share of a window in which somebody was there."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ld2410",
        title="Hi-Link HLK-LD2410, LD2410B, LD2410C presence radar",
        domain="traffic",
        quantities=("traffic.occupancy",),
        interval_s=10.0,
        lines=(SerialLine(256_000), SerialLine(115_200)),
        privacy="P1",
        document="Hi-Link, HLK-LD2410 Serial Communication Protocol V1.02",
    )
    Options: ClassVar[type[BaseModel]] = Ld2410Options

    def __init__(self, options: Ld2410Options) -> None:
        moving = frozenset({MOVING, BOTH})
        self._present = moving | {STATIC} if options.present == "any" else moving
        self._place = lane_dims(lane=options.lane or "")
        self._window = FrameWindow(options.window_s, options.frames_per_s)
        self._frames = FrameScanner(TABLE)
        self._reports = self._occupied = 0

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
                self._report(found.data[STATE_OFFSET], outcomes)
        return outcomes

    def _report(self, state: int, outcomes: list[Outcome]) -> None:
        if state <= BOTH:
            self._reports += 1
            self._occupied += state in self._present
        else:
            self._window.doubt(of_frame=True)
            outcomes.append(Fault("unknown", f"target state {state}", bytes((state,))))
        if not self._window.tick():
            return
        if self._reports:
            share = round(100 * self._occupied / self._reports, 3)
            flags = self._window.flags
            outcomes.append(Measured("traffic.occupancy", share, self._place, 0.0, flags))
        self._reports = self._occupied = 0
        self._window.restart()
