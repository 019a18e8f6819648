"""German electricity meters that send SML on their optical port (EDL21, eHZ, modern meters).

Written from SML 1.04 (BSI TR-03109-1, annex IV). The bits of the status word are those of the FNN
specification of base meters and of EDL21; both were seen in recordings of ten makers.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.obis import CODES, QUANTITIES, Amount, dlms_amount, readings
from drivers.sml.messages import Entry, SmlError, entries
from drivers.sml.transport import SmlReader
from gateway.driver import DriverInfo, NoOptions, Outcome, SerialLine
from gateway.reading import Fault

__all__ = ["Sml"]

MEDIUM_ELECTRICITY = 1
CURRENT_STORAGE = 255
NET_POWER = "16.7.0"
ABSOLUTE_POWER = "15.7.0"
EDL21_STATUS = 0x0180
"""Bits that are set in the status word of EDL21 meters."""
EDL21_EXPORT = 0x0020
BASE_METER_STATUS = 0x100004
"""Bits that are set in the status word of newer meters."""
BASE_METER_EXPORT = 0x2000
DZG = slice(2, 5)
"""Where a meter's id holds its maker."""
DZG_WIDTHS = (8, 16, 24)
"""Bits of the numbers that they write, as few as will do."""


class Sml:
    """Yields power, voltage, current, frequency and registers of a meter.

    Power is import minus export. Nothing that names the meter is ever yielded, not in a fault
    either.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="sml",
        title="German electricity meter with SML on its optical port (eHZ, EDL21)",
        domain="energy",
        quantities=tuple(name for name in QUANTITIES if "reactive" not in name),
        interval_s=4.0,
        lines=(SerialLine(9600),),
        privacy="P3",
        document="BSI TR-03109-1, annex IV: Smart Message Language 1.04",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - it has none
        self._reader = SmlReader()

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their file."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: the port only sends."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        outcomes: list[Outcome] = []
        for found in self._reader.feed(data):
            if isinstance(found, Fault):
                outcomes.append(found)
                continue
            try:
                outcomes += readings(_amounts(entries(found)))
            except SmlError as error:
                outcomes.append(Fault("unknown", f"good file, but {error}"))
        return outcomes


def _amounts(values: list[Entry]) -> dict[str, Amount | None]:
    found: dict[str, Amount | None] = {}
    status = next((entry.status for entry in values if entry.status is not None), 0)
    for entry in values:
        medium, _, group_c, group_d, group_e, storage = entry.code
        code = f"{group_c}.{group_d}.{group_e}"
        if (medium, storage) != (MEDIUM_ELECTRICITY, CURRENT_STORAGE) or entry.unit is None:
            continue
        number: int | None = entry.value
        if code == NET_POWER:
            number = _net_power(entry, status)
        elif code == ABSOLUTE_POWER:
            code, number = NET_POWER, _signed_power(entry, status)
        if code in CODES and number is not None:
            found.setdefault(code, dlms_amount(number, entry.exponent, entry.unit))
    return found


def _signed_power(entry: Entry, status: int) -> int | None:
    """Return import less export of a meter that shows its power without a sign.

    The status word of an EDL21 meter tells the direction; without it nobody knows.
    """
    if status & EDL21_STATUS != EDL21_STATUS:
        return None
    return -entry.value if status & EDL21_EXPORT else entry.value


def _net_power(entry: Entry, status: int) -> int:
    """Return the power, corrected for DZG meters whose import is written as if it were negative.

    They leave no room for the sign: 356.24 W come as -299.12 W. The status word tells the truth.
    """
    imports = status & BASE_METER_STATUS == BASE_METER_STATUS and not status & BASE_METER_EXPORT
    if entry.value < 0 and imports and entry.server[DZG] == b"DZG":
        for bits in DZG_WIDTHS:
            if entry.value >= -(1 << bits - 1):
                return entry.value + (1 << bits)
    return entry.value
