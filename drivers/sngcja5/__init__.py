"""Panasonic SN-GCJA5 dust sensor.

32 bytes a second between 02 and 03, low byte first, all XORed at the end: Panasonic, SN-GCJA5
Product Specifications (JA5-SSP-E1.0) and Communication Specifications, read through public
libraries and reviews that quote them; the status byte as in Panasonic's own Zephyr driver. Masses
are whole ug/m3 here, as those found who compared; the thousandths of the document are those of
the I2C registers.
"""

import struct
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.frames import Checksum, Frame, FrameScanner, FrameTable, Payload
from gateway.driver import DriverInfo, NoOptions, Outcome, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["Sngcja5"]

QUANTITIES = ("air.pm1", "air.pm25", "air.pm10")
HIGHEST_UG_M3 = 2000
"""The end of the range that is indicated."""
SAMPLE_BYTES = 16
FAN_CALIBRATES = 2
"""Of the fan's two bits: it is getting up to speed."""
BROKEN = {"photo diode": (4, 2), "laser diode": (2, 2), "fan": (0, 3)}
"""Part -> its two bits in the status begin here, and what they hold when it does not work."""
WEAK = {"photo diode": (4, 3), "laser diode": (2, 3)}
"""The same for a part that has lost much of its light, which the sensor still corrects."""

TABLE = FrameTable(
    start=b"\x02",
    length=32,
    byte_order="<",
    checksum=Checksum(kind="xor8", first=1, behind=2),
    end=b"\x03",
    payloads={b"": Payload()},
)
MASSES = struct.Struct("<x3I")
COUNTS = slice(13, 27)
"""Particles by size; the registry has no quantity for them."""
STATUS_AT = 29


class Sngcja5:
    """Yields PM1, PM2.5 and PM10 in ug/m3."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="sngcja5",
        title="Panasonic SN-GCJA5 dust sensor",
        domain="air",
        quantities=QUANTITIES,
        interval_s=1.0,
        warm_up_s=30.0,  # as Plantower asks for; no figure of Panasonic's was found
        lines=(SerialLine(9600, parity="E"),),
        document="Panasonic, SN-GCJA5 Product Specifications JA5-SSP-E1.0",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - none
        self._frames = FrameScanner(TABLE)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return self._frames.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: the sensor has no serial input."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        for found in self._frames.scan(data):
            if isinstance(found, Frame):
                yield from _decode(found.data)
            else:
                yield found


def _decode(data: bytes) -> Iterable[Outcome]:
    status, sample = data[STATUS_AT], data[:SAMPLE_BYTES]
    broken = _parts(BROKEN, status)
    if broken:
        yield Fault("device_error", f"{broken} broken: no reading", sample)
        return
    masses = MASSES.unpack_from(data)
    if status & 3 == FAN_CALIBRATES or not (any(masses) or any(data[COUNTS])):
        return  # no air is drawn yet: in real air there are always particles to count
    if weak := _parts(WEAK, status):
        yield Fault("device_error", f"{weak} worn out, corrected by the sensor", sample)
    for quantity, mass in zip(QUANTITIES, masses, strict=True):
        if mass > HIGHEST_UG_M3:
            yield Fault("range", f"{quantity} beyond the device's range", sample)
        else:
            yield Measured(quantity, float(mass))


def _parts(states: dict[str, tuple[int, int]], status: int) -> str:
    return ", ".join(part for part, (bit, state) in states.items() if status >> bit & 3 == state)
