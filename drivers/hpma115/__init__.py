"""Honeywell HPMA115S0 (standard) and HPMA115C0 (compact) dust sensors.

Written from Honeywell, "HPM Series Particulate Matter Sensors", data sheet 32322550, issue F.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.frames import Checksum, FrameReader, FrameTable, Payload
from drivers.frames import Field as FrameField
from gateway.driver import DriverInfo, Outcome, SerialLine

__all__ = [
    "COMPACT",
    "DONE",
    "REFUSED",
    "STANDARD",
    "Hpma115",
    "Hpma115Options",
    "payload",
    "reports",
]

Model = Literal["standard", "compact"]

HIGHEST_UG_M3 = 1000
ENABLE_AUTOSEND = bytes.fromhex("68014057")
STANDARD = ("air.pm25", "air.pm10")
COMPACT = ("air.pm1", "air.pm25", "air.pm4", "air.pm10")
QUANTITIES: Mapping[Model | None, tuple[str, ...]] = {
    "standard": STANDARD,
    "compact": COMPACT,
    None: ("air.pm25",),  # what both have at the same place
}


def payload(first: int, quantities: tuple[str, ...]) -> Payload:
    """Return the fields of numbers that follow one another from ``first``."""
    return Payload(
        fields=tuple(
            FrameField(offset=first + 2 * n, code="H", quantity=name, highest=HIGHEST_UG_M3)
            for n, name in enumerate(quantities)
        )
    )


def reports(payload: Payload) -> FrameTable:
    """Return the table of what the sensor sends by itself."""
    return FrameTable(
        start=b"BM\x00\x1c",
        length=32,
        byte_order=">",
        checksum=Checksum(kind="sum16", first=0, behind=2),
        payloads={b"": payload},
    )


REPORTS: Mapping[Model | None, FrameTable] = {
    # In the standard model the first of 13 words is reserved.
    model: reports(payload(4 if model == "compact" else 6, quantities))
    for model, quantities in QUANTITIES.items()
}
DONE = FrameTable(start=b"\xa5\xa5", length=2, byte_order=">", payloads={b"": Payload()})
REFUSED = FrameTable(
    start=b"\x96\x96",
    length=2,
    byte_order=">",
    payloads={b"": Payload(device_error="the sensor refused a command")},
)


class Hpma115Options(BaseModel):
    """What can be set for one sensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Model | None = Field(
        default=None,
        description="standard is HPMA115S0, compact is HPMA115C0: their reports look alike but "
        "hold different values. Without it only PM2.5 is read, which both have at one place.",
    )

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the quantities of this model."""
        return QUANTITIES[self.model]


class Hpma115:
    """Yields PM2.5 in ug/m3, of a known model PM10, of the compact one PM1 and PM4, too."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="hpma115",
        title="Honeywell HPMA115S0, HPMA115C0 dust sensor that reports by itself",
        domain="air",
        quantities=COMPACT,
        interval_s=1.0,
        warm_up_s=6.0,
        lines=(SerialLine(9600),),
        document="Honeywell, HPM Series Particulate Matter Sensors, 32322550 issue F",
    )
    Options: ClassVar[type[BaseModel]] = Hpma115Options

    def __init__(self, options: Hpma115Options) -> None:
        self._frames = FrameReader(REPORTS[options.model], DONE, REFUSED)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return the command for reports: somebody may have polled the sensor before."""
        return (ENABLE_AUTOSEND,)

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        return self._frames.feed(data)
