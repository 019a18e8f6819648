"""Plantower dust sensors: PMS1003, 3003, 5003, 5003S, 5003T, 5003ST, 6003, 7003, 9003, A003.

Written from Plantower's data manuals of the PMS1003 (V2.5), PMS3003, PMS5003 (V2.3), PMS5003T,
PMS5003ST, PMS7003 and PMSA003.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.frames import Checksum, FrameReader, FrameTable, LengthField, Payload
from drivers.frames import Field as FrameField
from gateway.driver import DriverInfo, Outcome, SerialLine

__all__ = ["Plantower", "PlantowerOptions", "table"]

Calibration = Literal["atmospheric", "cf1"]
Model = Literal["by_length", "pms5003t"]

HIGHEST_UG_M3 = 1000
"""The manuals name 500 ug/m3 as the effective range and 1000 as the end."""
TENTHS_C = (-200, 990)
"""-20 to 99 degrees: the range of the T and ST models."""
HIGHEST_TENTHS_PERCENT = 1000
FIRST_VALUE: Mapping[Calibration, int] = {"cf1": 4, "atmospheric": 10}
"""Where PM1 stands; PM2.5 and PM10 follow. The manuals: CF=1 is for factories."""
COUNTS_AT = 16
"""Where the particle counts begin, in the models that have them."""


class PlantowerOptions(BaseModel):
    """What can be set for one sensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calibration: Calibration = Field(
        default="atmospheric",
        description="Which of the two triples of values: the one for the open air, or CF=1 for "
        "the laboratory.",
    )
    model: Model = Field(
        default="by_length",
        description="pms5003t if it is one: its frames look like those of the others, but hold "
        "temperature and humidity. All others are known by the length of their frames.",
    )


def _particles(first: int) -> tuple[FrameField, ...]:
    return tuple(
        FrameField(offset=first + 2 * n, code="H", quantity=quantity, highest=HIGHEST_UG_M3)
        for n, quantity in enumerate(("air.pm1", "air.pm25", "air.pm10"))
    )


def _climate(first: int) -> tuple[FrameField, ...]:
    low, high = TENTHS_C
    return (
        FrameField(
            offset=first, code="h", quantity="air.temperature", per=10, lowest=low, highest=high
        ),
        FrameField(
            offset=first + 2,
            code="H",
            quantity="air.humidity",
            per=10,
            highest=HIGHEST_TENTHS_PERCENT,
        ),
    )


def table(calibration: Calibration, model: Model) -> FrameTable:
    """Return the frames of a model; the kind of a frame is its length field.

    Until the fan runs all masses and counts are zero. In real air the count of the smallest
    particles never is, so a mass of zero beside a count is a measurement.
    """
    particles = _particles(FIRST_VALUE[calibration])
    with_counts = Payload(fields=particles, zeros=(4, COUNTS_AT + 12))
    if model == "pms5003t":
        with_counts = Payload(fields=particles + _climate(24), zeros=(4, COUNTS_AT + 8))
    return FrameTable(
        start=b"BM",
        length=LengthField(offset=2, code="H", extra=4, shortest=8, longest=40),
        byte_order=">",
        checksum=Checksum(kind="sum16", first=0, behind=2),
        payloads={
            b"\x00\x04": Payload(),  # the answer to a command
            b"\x00\x14": Payload(fields=particles, zeros=(4, COUNTS_AT)),  # PMS3003: no counts
            b"\x00\x1c": with_counts,
            # PMS5003ST. Bytes 28 and 29 are formaldehyde, for which the registry has no quantity.
            b"\x00\x24": Payload(fields=particles + _climate(30), zeros=(4, COUNTS_AT + 12)),
        },
    )


class Plantower:
    """Yields PM1, PM2.5 and PM10 in ug/m3, and of the T models temperature and humidity."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="plantower",
        title="Plantower PMS1003, 3003, 5003 (S, T, ST), 6003, 7003, 9003, A003 dust sensor",
        domain="air",
        quantities=("air.pm1", "air.pm25", "air.pm10", "air.temperature", "air.humidity"),
        interval_s=2.3,
        warm_up_s=30.0,
        lines=(SerialLine(9600),),
        document="Plantower, PMS5003 series data manual V2.3",
    )
    Options: ClassVar[type[BaseModel]] = PlantowerOptions

    def __init__(self, options: PlantowerOptions) -> None:
        self._frames = FrameReader(table(options.calibration, options.model))

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: after power-on the sensor reports by itself."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        return self._frames.feed(data)
