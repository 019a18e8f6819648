"""Cubic PM1006 dust sensor inside an IKEA VINDRIKTNING, whose own controller asks it.

Written from Cubic, "PM1006 LED Particle Sensor Module specification", UART protocol.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.frames import Checksum, Field, FrameReader, FrameTable, Payload
from gateway.driver import DriverInfo, NoOptions, Outcome, SerialLine

__all__ = ["TABLE", "Pm1006"]

HIGHEST_UG_M3 = 1000

TABLE = FrameTable(
    # The sensor answers, 17 bytes follow, to command 0B.
    start=b"\x16\x11\x0b",
    length=20,
    byte_order=">",
    checksum=Checksum(kind="negative8", first=0, behind=1),
    payloads={
        b"": Payload(
            fields=(Field(offset=5, code="H", quantity="air.pm25", highest=HIGHEST_UG_M3),)
        )
    },
)


class Pm1006:
    """Yields ``air.pm25`` in ug/m3 from the answers to somebody else's questions."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="pm1006",
        title="IKEA VINDRIKTNING (Cubic PM1006 dust sensor that is only listened to)",
        domain="air",
        quantities=("air.pm25",),
        interval_s=30.0,
        lines=(SerialLine(9600),),
        document="Cubic, PM1006 LED Particle Sensor Module specification",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - none
        self._frames = FrameReader(TABLE)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: two must not ask one sensor."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        return self._frames.feed(data)
