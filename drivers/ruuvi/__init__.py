"""RuuviTag, RuuviTag Pro and Ruuvi Air: data formats 3, 5, 6 and E1.

Written from docs.ruuvi.com, "Bluetooth Advertisements".
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.ruuvi.formats import AIR, EXTENDED, FORMATS, Content, Format
from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["COMPANY_ID", "Ruuvi", "RuuviOptions"]

COMPANY_ID = 0x0499
LOW_BYTE = 0xFF
"""All that format 6 has of the number of a measurement."""
OLDEST = 3
PATIENCE = 32
"""So many of format 6 in a row without E1 between them: E1 is not heard any more."""


class RuuviOptions(BaseModel):
    """What can be set for one tag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rssi: bool = Field(
        default=False, description="Also yield the signal strength of each measurement."
    )


class Ruuvi:
    """Yields climate and battery of one tag, climate, dust, CO2 and light of one Ruuvi Air.

    A device repeats each measurement in several advertisements, and a scanner may hear one twice:
    the number of the measurement tells. One instance serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="ruuvi",
        title="RuuviTag and RuuviTag Pro (data formats 3 and 5), Ruuvi Air (6 and E1)",
        domain="air",
        quantities=(
            *dict.fromkeys(each.quantity for one in FORMATS.values() for each in one.values),
            "device.rssi",
        ),
        # Tags send each 1.285 s, but ten in a row may be missed in good conditions.
        interval_s=15.0,
        document="docs.ruuvi.com, Bluetooth Advertisements, data formats 3, 5, 6 and E1",
    )
    Options: ClassVar[type[BaseModel]] = RuuviOptions

    def __init__(self, options: RuuviOptions) -> None:
        self._with_rssi = options.rssi
        self._kind = 0
        self._number: int | None = None
        """Format and number of the last measurement."""
        self._patience = 0

    def claims(self, advert: Advert) -> bool:
        """Tell whether this is a known format of Ruuvi's company id, whatever its length."""
        data = advert.manufacturer_data.get(COMPANY_ID, b"")
        return len(data) > 0 and data[0] in FORMATS

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its measurement is known."""
        data = advert.manufacturer_data.get(COMPANY_ID, b"")
        kind = data[0] if data else 0
        known = FORMATS.get(kind)
        if known is None:
            return ()
        if len(data) < known.length:
            what = f"payload too short for data format {known.name}"
            return (Fault("short", what, data[: known.shown]),)
        # Old firmware fills format 3 up with zeros.
        if len(data) > known.length and (kind != OLDEST or any(data[known.length :])):
            what = f"payload too long for data format {known.name}"
            return (Fault("unknown", what, data[: known.shown]),)
        content = known.read(data)
        if not self._is_new(kind, content.number):
            return ()
        outcomes = self._outcomes(known, content, data)
        if self._with_rssi:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _is_new(self, kind: int, number: int | None) -> bool:
        """Tell whether a measurement was not heard before, in whichever format."""
        if kind == EXTENDED:
            self._patience = PATIENCE
        elif kind == AIR and self._patience:
            # It holds less than E1, which comes as well: Ruuvi says to drop it then.
            self._patience -= 1
            return False
        last_kind, last = self._kind, self._number
        self._kind, self._number = kind, number
        if number is None or last is None:
            return True
        if kind == last_kind:
            return number != last
        if {kind, last_kind} == {AIR, EXTENDED}:
            return bool((number ^ last) & LOW_BYTE)
        return True

    def _outcomes(self, known: Format, content: Content, data: bytes) -> list[Outcome]:
        outcomes: list[Outcome] = []
        flags = content.flags
        for raw, value in zip(content.raws, known.values, strict=True):
            quantity, zero, per, invalid, lowest, highest = value
            if raw == invalid:
                continue
            number = (raw + zero) / per
            if lowest <= number <= highest:
                outcomes.append(Measured(quantity, number, flags=flags))
            else:
                what = f"{quantity} beyond the device's range"
                outcomes.append(Fault("range", what, data[: known.shown]))
        return outcomes
