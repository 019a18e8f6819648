"""Cubic PM1006 and PM1006K dust sensors that we ask ourselves.

Written from Cubic, "PM1006 LED Particle Sensor Module specification", UART protocol.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.pm1006 import TABLE
from drivers.polls import FramePoll
from gateway.driver import DriverInfo, NoOptions, Outcome, Request, SerialLine

__all__ = ["PolledPm1006"]

READ_PM25 = bytes.fromhex("11020b01e1")


class PolledPm1006:
    """Yields ``air.pm25`` in ug/m3."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="pm1006_polled",
        title="Cubic PM1006 dust sensor that is asked",
        domain="air",
        quantities=("air.pm25",),
        interval_s=10.0,
        warm_up_s=10.0,
        lines=(SerialLine(9600),),
        document="Cubic, PM1006 LED Particle Sensor Module specification",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - none
        self._poll = FramePoll(TABLE, data=READ_PM25)

    def requests(self) -> Iterable[Request]:
        """Return the one question."""
        return (self._poll.request,)

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:  # noqa: ARG002 - one
        """Take the answer; return its reading or faults."""
        return self._poll.answer(data)
