"""Honeywell HPMA115S0 (standard) and HPMA115C0 (compact) dust sensors that are asked.

Written from Honeywell, "HPM Series Particulate Matter Sensors", data sheet 32322550, issue F.
"""

from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel

from drivers.frames import Checksum, FrameTable, LengthField, Payload
from drivers.hpma115 import COMPACT, DONE, REFUSED, STANDARD, payload, reports
from drivers.polls import FramePoll, has_reading
from gateway.driver import DriverInfo, NoOptions, Outcome, Request, SerialLine

__all__ = ["PolledHpma115"]

STOP = Request(bytes.fromhex("68012077"), 0)
"""Stops the reports."""
READ_RESULTS = bytes.fromhex("68010493")
QUIET_S = 0.1
"""Lets the acknowledgement of the last command pass."""

ANSWERS = FrameTable(
    start=b"\x40",
    length=LengthField(offset=1, code="B", extra=3, shortest=5, longest=16),
    byte_order=">",
    checksum=Checksum(kind="negative8", first=0, behind=1),
    # By length and command: the answer itself tells the model.
    payloads={b"\x05\x04": payload(3, STANDARD), b"\x0d\x04": payload(3, COMPACT)},
)


class PolledHpma115:
    """Yields PM2.5 and PM10 in ug/m3, the compact model PM1 and PM4 too."""

    info: ClassVar[DriverInfo] = DriverInfo(
        name="hpma115_polled",
        title="Honeywell HPMA115S0, HPMA115C0 dust sensor that is asked",
        domain="air",
        quantities=COMPACT,
        interval_s=10.0,
        warm_up_s=6.0,
        lines=(SerialLine(9600),),
        document="Honeywell, HPM Series Particulate Matter Sensors, 32322550 issue F",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - none
        skipped = reports(Payload())
        self._poll = FramePoll(ANSWERS, DONE, REFUSED, skipped, data=READ_RESULTS, quiet_s=QUIET_S)
        self._reports_by_itself = True

    def requests(self) -> Iterable[Request]:
        """Return the question; before it, at first and after a failure, stop the reports."""
        if self._reports_by_itself:
            return (STOP, self._poll.request)
        return (self._poll.request,)

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take the answer to a question; return readings and faults."""
        if request.data == STOP.data:
            return ()
        outcomes = self._poll.answer(data)
        # After a power cut the sensor reports again.
        self._reports_by_itself = not has_reading(outcomes)
        return outcomes
