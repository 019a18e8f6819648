"""Nova Fitness SDS011, SDS018, SDS021 and SDS198 dust sensors.

Written from Nova Fitness, "Laser Dust Sensor Control Protocol V1.3" (2015), and the data sheets
of the four sensors.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.frames import Checksum, FrameReader, FrameTable, Payload
from drivers.frames import Field as FrameField
from gateway.driver import DriverInfo, Outcome, SerialLine

__all__ = ["TABLE", "Sds011", "Sds011Options"]

HIGHEST = 9999
"""999.9 ug/m3 in tenths: the end of the range in the data sheets."""
HIGHEST_TSP = 20_000
"""20 mg/m3: the end of the range of the SDS198."""
COMMAND_DATA_BYTES = 13
"""Data bytes of a command before the device id."""
ANY_DEVICE = b"\xff\xff"

TABLE = FrameTable(
    start=b"\xaa",
    length=10,
    byte_order="<",
    checksum=Checksum(kind="sum8", first=2, behind=2),
    end=b"\xab",
    payloads={
        # A report. Bytes 6 and 7 are the device's id: an identifier that nobody needs.
        b"\xc0": Payload(
            fields=(
                FrameField(offset=2, code="H", quantity="air.pm25", per=10, highest=HIGHEST),
                FrameField(offset=4, code="H", quantity="air.pm10", per=10, highest=HIGHEST),
            ),
            # Both are zero while the fan spins up; in real air they never are.
            blank=(0, 0),
        ),
        # A report of an SDS198: all particles up to 100 um, which is how total suspended particles
        # are defined (GB 3095-2012). Bytes 2 and 3 are reserved.
        b"\xcf": Payload(
            fields=(FrameField(offset=4, code="H", quantity="air.tsp", highest=HIGHEST_TSP),),
            zeros=(2, 6),
        ),
        # The answer to a command.
        b"\xc5": Payload(),
    },
)


class Sds011Options(BaseModel):
    """What can be set for one sensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    working_period_min: int | None = Field(
        default=None,
        ge=0,
        le=30,
        description="Measure for 30 s once in so many minutes and sleep in between; 0 measures all "
        "the time. The sensor remembers it. Without it nothing is sent to the sensor.",
    )


class Sds011:
    """Yields ``air.pm25`` and ``air.pm10``, or ``air.tsp``, in ug/m3 from a sensor's reports."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="sds011",
        title="Nova Fitness SDS011, SDS018, SDS021, SDS198 dust sensor",
        domain="air",
        quantities=("air.pm25", "air.pm10", "air.tsp"),
        interval_s=1.0,
        warm_up_s=30.0,
        lines=(SerialLine(9600),),
        document="Nova Fitness, Laser Dust Sensor Control Protocol V1.3",
    )
    Options: ClassVar[type[BaseModel]] = Sds011Options

    def __init__(self, options: Sds011Options) -> None:
        self._period_min = options.working_period_min
        self._frames = FrameReader(TABLE)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return the commands for active reports and the working period, if one is configured."""
        if self._period_min is None:
            return ()
        return (_command(b"\x02\x01\x00"), _command(bytes((0x08, 0x01, self._period_min))))

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        return self._frames.feed(data)


def _command(data: bytes) -> bytes:
    body = data.ljust(COMMAND_DATA_BYTES, b"\x00") + ANY_DEVICE
    return b"\xaa\xb4" + body + bytes((sum(body) & 0xFF, 0xAB))
