"""RuuviTag and RuuviTag Pro, data format 5 ("RAWv2"); formats 3, 6 and E1 come later.

Written from Ruuvi, "Data format 5 (RAWv2)", docs.ruuvi.com. Values are big-endian.
"""

import struct
from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["COMPANY_ID", "DATA_FORMAT", "Ruuvi", "RuuviOptions"]

COMPANY_ID = 0x0499
DATA_FORMAT = 5
LENGTH = 24
LAYOUT = struct.Struct(">xhHH6xHxH6x")
"""Temperature, humidity, pressure, power, measurement sequence; acceleration, movement counter
and the tag's own address are skipped."""
ADDRESS_BYTES = 6
"""At the end of the payload: never yielded, nor part of a fault's sample."""
NO_SEQUENCE = 0xFFFF
NO_VOLTAGE = 0x7FF


class _Value(NamedTuple):
    """How one number of the payload becomes a reading: ``(raw + zero) / per``."""

    quantity: str
    zero: int
    per: int
    invalid: int
    lowest: float
    highest: float


VALUES = (
    _Value("air.temperature", 0, 200, -0x8000, -40.0, 85.0),
    _Value("air.humidity", 0, 400, 0xFFFF, 0.0, 100.0),
    _Value("air.pressure", 50_000, 100, 0xFFFF, 300.0, 1155.34),
    _Value("device.voltage", 1600, 1000, NO_VOLTAGE, 1.6, 3.646),
)
"""Limits are those of the sensors on the tag; for pressure and voltage those of the format."""


class RuuviOptions(BaseModel):
    """What can be set for one tag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rssi: bool = Field(
        default=False, description="Also yield the signal strength of each measurement."
    )


class Ruuvi:
    """Yields temperature, humidity, pressure and battery voltage of one tag.

    A tag repeats each measurement in several advertisements, and a scanner may hear one twice:
    the measurement sequence number tells. One instance serves one tag.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ruuvi",
        title="RuuviTag and RuuviTag Pro (data format 5)",
        domain="air",
        quantities=(*(value.quantity for value in VALUES), "device.rssi"),
        # Tags send each 1.285 s, but ten in a row may be missed in good conditions.
        interval_s=15.0,
        document="Ruuvi, Data format 5 (RAWv2), docs.ruuvi.com",
    )
    Options: ClassVar[type[BaseModel]] = RuuviOptions

    def __init__(self, options: RuuviOptions) -> None:
        self._with_rssi = options.rssi
        self._sequence = NO_SEQUENCE

    def claims(self, advert: Advert) -> bool:
        """Tell whether this is data format 5 of Ruuvi's company id, whatever its length."""
        return advert.manufacturer_data.get(COMPANY_ID, b"")[:1] == bytes((DATA_FORMAT,))

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its measurement is known."""
        if not self.claims(advert):
            return ()
        data = advert.manufacturer_data[COMPANY_ID]
        sample = data[: LENGTH - ADDRESS_BYTES]
        if len(data) < LENGTH:
            return (Fault("short", "payload too short for data format 5", sample),)
        if len(data) > LENGTH:
            return (Fault("unknown", "payload too long for data format 5", sample),)
        temperature, humidity, pressure, power, sequence = LAYOUT.unpack(data)
        if sequence == self._sequence != NO_SEQUENCE:
            return ()
        self._sequence = sequence
        outcomes: list[Outcome] = []
        raws = (temperature, humidity, pressure, power >> 5)
        for raw, value in zip(raws, VALUES, strict=True):
            if raw == value.invalid:
                continue
            number = (raw + value.zero) / value.per
            if value.lowest <= number <= value.highest:
                outcomes.append(Measured(value.quantity, number))
            else:
                what = f"{value.quantity} beyond the device's range"
                outcomes.append(Fault("range", what, sample))
        if self._with_rssi:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes
