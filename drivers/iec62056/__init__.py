"""Electricity and heat meters that are read on request through IEC 62056-21, mode A, B and C.

Written from IEC 62056-21:2002, section 6. The sign-on is at the speed of the line. A meter of mode
C proposes another one, which is accepted or not; one of mode B goes on at another one by itself.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from drivers.iec62056.message import (
    C_SPEEDS,
    MODE_B,
    decode,
    goes_on,
    identification_end,
    message_end,
    mode_letter,
    proposed_speed,
)
from drivers.obis import QUANTITIES
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.reading import Fault

__all__ = ["Iec62056", "Iec62056Options"]

SIGN_ON = b"/?!\r\n"
READOUT = "readout"
ANSWER_S = 2.5
"""A meter begins to answer, and goes on, after 1.5 s at the latest."""
BETWEEN_READINGS_S = 2.0
"""A meter that heard nothing for so long waits for a sign-on again."""
BEFORE_ACKNOWLEDGE_S = 0.3
"""A meter listens 0.2 s after its identification at the earliest."""


class Iec62056Options(BaseModel):
    """What can be set for one meter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    speed: Literal["proposed", 300, 600, 1200, 2400, 4800, 9600, 19200] = Field(
        default="proposed",
        description="The speed of the readout: the one that the meter proposes, or that of the "
        "line, which the meter is asked to keep: 300 for optical heads that can do no more, "
        "another one only with the same baud, for meters that are wired at a fixed speed.",
    )


class Iec62056:
    """Yields power, voltage, current and registers of electricity meters, energy of heat meters.

    Power is import minus export. Nothing that names the meter is ever yielded, not in a fault
    either.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="iec62056",
        title="Electricity or heat meter with IEC 62056-21 (optical head, mode A, B or C)",
        domain="energy",
        quantities=(*QUANTITIES, "heat.energy", "heat.volume"),
        interval_s=900.0,
        lines=(SerialLine(300, 7, "E", 1),),
        privacy="P3",
        document="IEC 62056-21:2002, direct local data exchange",
    )
    Options: ClassVar[type[BaseModel]] = Iec62056Options

    def __init__(self, options: Iec62056Options) -> None:
        self._kept = None if options.speed == "proposed" else options.speed
        self._letter = ""
        """Of the last identification; empty while there is none."""

    def requests(self) -> Iterator[Request]:
        """Return the sign-on, and what it takes until the meter sends its readout."""
        self._letter = ""
        yield Request(SIGN_ON, identification_end, timeout_s=ANSWER_S, quiet_s=BETWEEN_READINGS_S)
        if not goes_on(self._letter):
            return
        speed = proposed_speed(self._letter)
        if self._letter in MODE_B:
            yield Request(b"", message_end, timeout_s=ANSWER_S, tag=READOUT, reply_baud=speed)
            return
        digit = C_SPEEDS.index(self._kept or speed or C_SPEEDS[0])
        yield Request(
            b"\x060%d0\r\n" % digit,
            message_end,
            timeout_s=ANSWER_S,
            quiet_s=BEFORE_ACKNOWLEDGE_S,
            tag=READOUT,
            reply_baud=None if self._kept else speed,
        )

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take the identification or the readout (empty after a time-out)."""
        if not data:
            return [Fault("timeout", "no answer")]
        if request.tag == READOUT:
            return decode(data)
        letter = mode_letter(data)
        if not letter:
            return [Fault("noise", f"{len(data)} bytes that are no identification")]
        if letter in MODE_B and proposed_speed(letter) is None:
            return [Fault("unknown", "meter of mode B with a speed that is not defined")]
        self._letter = letter
        return [] if goes_on(letter) else decode(data)
