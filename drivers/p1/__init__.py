"""Electricity meters with a P1 or H1 port that send text: DSMR, Sweden, Finland, Belgium and more.

Written from the DSMR P1 companion standard 5.0.2 (Netbeheer Nederland, 2016), the Swedish H1
recommendation (Energiforetagen Sverige) and the Finnish SK 13-1 (SESKO, 2022).
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.p1.obis import QUANTITIES, SubMeters, decode
from drivers.p1.telegram import TelegramReader
from gateway.driver import DriverInfo, Outcome, SerialLine
from gateway.reading import Fault

__all__ = ["P1", "P1Options"]


class P1Options(BaseModel):
    """What can be set for one meter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unchecked: bool = Field(
        default=False,
        description="Accept telegrams without a checksum (DSMR 2 and 3), if two in a row have the "
        "same shape.",
    )


class P1:
    """Yields power, voltage, current and the registers of a meter and of those behind it.

    Active and reactive power are import minus export, so export is negative. Nothing that names
    the meter or its customer is ever yielded, not in a fault either.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="p1",
        title="Electricity meter with P1/H1 port (DSMR 2-5, Sweden, Finland, Belgium)",
        domain="energy",
        quantities=QUANTITIES,
        interval_s=10.0,
        lines=(SerialLine(115200), SerialLine(9600, 7, "E", 1)),
        privacy="P3",
        document="Netbeheer Nederland, P1 Companion Standard 5.0.2",
    )
    Options: ClassVar[type[BaseModel]] = P1Options

    def __init__(self, options: P1Options) -> None:
        self._reader = TelegramReader(unchecked=options.unchecked)
        self._sub_meters = SubMeters()

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their telegram."""
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
            else:
                outcomes += decode(found.text, self._sub_meters)
        return outcomes
