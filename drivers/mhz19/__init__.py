"""Winsen MH-Z19, MH-Z19B, MH-Z19C and MH-Z14A carbon dioxide sensors.

Written from Winsen, "MH-Z19B Intelligent Infrared Gas Module User's Manual V1.0", and those of
the other models.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.frames import Checksum, FrameTable, Payload
from drivers.frames import Field as FrameField
from drivers.polls import FramePoll, has_reading
from gateway.driver import DriverInfo, Outcome, Request, SerialLine

__all__ = ["Mhz19", "Mhz19Options", "table"]

READ_CO2 = bytes.fromhex("ff01860000000000 79")
SELF_CALIBRATION = {
    True: bytes.fromhex("ff0179a000000000e6"),
    False: bytes.fromhex("ff01790000000000 86"),
}
QUIET_S = 0.1
"""Newer models answer the command for self-calibration, against the manual: let it pass."""


class Mhz19Options(BaseModel):
    """What can be set for one sensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    range_ppm: Literal[2000, 5000, 10000] = Field(
        default=10000,
        description="The range printed on the sensor; a value above it is a fault. It is not "
        "written to the sensor.",
    )
    self_calibration: bool | None = Field(
        default=None,
        description="Whether the sensor may take the lowest value of each day for 400 ppm. Wrong "
        "where the air never gets fresh. Without it nothing is set.",
    )


def table(range_ppm: int) -> FrameTable:
    """Return the answers of a sensor with this range."""
    co2 = FrameField(
        offset=2,
        code="H",
        quantity="air.co2",
        highest=range_ppm,
        invalid=frozenset({0}),  # not measured yet
    )
    return FrameTable(
        start=b"\xff",
        length=9,
        byte_order=">",
        checksum=Checksum(kind="negative8", first=1, behind=1),
        # Bytes 4 to 7 of a measurement are not documented.
        payloads={b"\x86": Payload(fields=(co2,)), b"\x79": Payload()},
    )


class Mhz19:
    """Yields ``air.co2`` in ppm."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="mhz19",
        title="Winsen MH-Z19, MH-Z19B, MH-Z19C, MH-Z14A carbon dioxide sensor",
        domain="air",
        quantities=("air.co2",),
        interval_s=10.0,
        warm_up_s=180.0,
        lines=(SerialLine(9600),),
        document="Winsen, MH-Z19B Intelligent Infrared Gas Module User's Manual V1.0",
    )
    Options: ClassVar[type[BaseModel]] = Mhz19Options

    def __init__(self, options: Mhz19Options) -> None:
        self._poll = FramePoll(table(options.range_ppm), data=READ_CO2, quiet_s=QUIET_S)
        setting = options.self_calibration
        self._setting = None if setting is None else Request(SELF_CALIBRATION[setting], 0)
        self._is_set = False

    def requests(self) -> Iterable[Request]:
        """Return the question; before it, at first and after a failure, the setting."""
        if self._setting is None or self._is_set:
            return (self._poll.request,)
        return (self._setting, self._poll.request)

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take the answer to a question."""
        if request is self._setting:
            return ()
        outcomes = self._poll.answer(data)
        if self._setting is not None:
            self._is_set = has_reading(outcomes)
        return outcomes
