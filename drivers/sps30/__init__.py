"""Sensirion SPS30 dust sensor on its serial line.

Written from Sensirion, "Datasheet SPS30", version 1.0 (March 2020), chapters 4 and 5.
"""

import struct
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from math import isfinite
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.float32 import shortest
from drivers.sps30.shdlc import Reply, find_reply, frame, looks_whole, reply_size
from gateway.driver import DriverInfo, Outcome, Request, Restarted, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["Sps30", "Sps30Options"]

ADDRESS = 0
START, STOP, READ, WAKE_UP = 0x00, 0x01, 0x03, 0x11
CLEANING_INTERVAL, STATUS = 0x80, 0xD2
COMMANDS = {
    f"{command:02x}": command for command in (START, STOP, READ, WAKE_UP, CLEANING_INTERVAL, STATUS)
}
"""By the tag of their request."""
BIG_ENDIAN_FLOATS = b"\x01\x03"
"""Parameter of ``START``."""
QUANTITIES = ("air.pm1", "air.pm25", "air.pm4", "air.pm10")
"""The first four of ten values; the registry has none for number concentrations and size."""
VALUES = struct.Struct(">10f")
HIGHEST = 65535.0
"""What the sensor can express in its other format, in ug/m3."""
NOT_ALLOWED = 0x43
"""Measuring already, or not measuring."""
UNKNOWN_COMMAND = 0x02
REMEMBERED_REQUESTS = 32
STATES = {
    0x01: "wrong data length",
    0x02: "unknown command",
    0x03: "no access right",
    0x04: "illegal parameter",
    0x28: "argument out of range",
    0x43: "command not allowed in this state",
}
STATUS_FLAG = 0x80
"""In the state of any answer: one of the flags below is set."""
SPEED, LASER, FAN = 1 << 21, 1 << 5, 1 << 4
FLAGS = ((SPEED, "fan speed out of range"), (LASER, "laser failure"), (FAN, "fan failure"))
FAILURES = LASER | FAN
"""With one of these the values mean nothing."""
MAX_EMPTY_READS = 30
"""A cleaning takes 10 s; after so many polls without a new value the measurement is begun anew."""
TIMEOUT_S = 0.5
WAKE_TIMEOUT_S = 0.1
DAY_S = 86400
SAMPLE_BYTES = 16


class Sps30Options(BaseModel):
    """What can be set for one sensor."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cleaning_interval_d: int | None = Field(
        default=None,
        ge=0,
        le=365,
        description="The fan blows the sensor clean once in so many days; 0 never. The sensor "
        "remembers it; it comes with 7. Without it nothing is set.",
    )


class Sps30:
    """Yields ``air.pm1``, ``air.pm25``, ``air.pm4`` and ``air.pm10`` in ug/m3.

    A round reads the values. If the sensor says that it is not measuring (new, or restarted), it is
    started; if it speaks another format, stopped and started; if it was silent, woken first.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="sps30",
        title="Sensirion SPS30 dust sensor",
        domain="air",
        quantities=QUANTITIES,
        interval_s=1.0,
        warm_up_s=30.0,
        lines=(SerialLine(115200),),
        document="Sensirion, Datasheet SPS30, version 1.0",
    )
    Options: ClassVar[type[BaseModel]] = Sps30Options

    def __init__(self, options: Sps30Options) -> None:
        self._cleaning_s = (
            None if options.cleaning_interval_d is None else DAY_S * options.cleaning_interval_d
        )
        self._set_up = False
        self._silent = False
        self._measured_before = False
        """It has been measuring, so that "not measuring" means a restart."""
        self._start = False
        self._stop = False
        self._status_flag = False
        self._has_status = True
        self._wrong_interval = False
        self._empty_reads = 0
        self._doubtful: list[Outcome] = []
        """Values that wait for the status."""

    def requests(self) -> Iterator[Request]:
        """Read the values, and do what the answers show to be needed."""
        if self._silent:
            # A sleeping sensor needs any low pulse, and the command within 100 ms.
            yield Request(b"\xff", 0)
            yield _request(WAKE_UP, timeout_s=WAKE_TIMEOUT_S)
        self._silent = self._start = self._stop = self._status_flag = False
        self._doubtful = []
        yield _request(READ)
        if self._silent:
            return
        if self._stop:
            yield _request(STOP)
        if self._start:
            yield _request(START, BIG_ENDIAN_FLOATS)
        if self._status_flag and self._has_status:
            yield _request(STATUS, b"\x00")
        if not self._set_up:
            yield from self._setting_up()

    def _setting_up(self) -> Iterator[Request]:
        self._wrong_interval = False
        if self._cleaning_s is not None:
            yield _request(CLEANING_INTERVAL, b"\x00")
            if self._wrong_interval:
                yield _request(CLEANING_INTERVAL, b"\x00" + self._cleaning_s.to_bytes(4, "big"))
        self._set_up = not self._silent

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Return what one answer says."""
        command = _command_of(request)
        if command is None or command == WAKE_UP:
            return ()  # it may have been awake; the next answer tells
        reply = find_reply(data, ADDRESS, command)
        if reply is None:
            self._silent = True
            return (_damage(data),)
        self._status_flag = self._status_flag or bool(reply.state & STATUS_FLAG)
        state = reply.state & ~STATUS_FLAG
        if command == READ:
            return self._values(reply, state)
        if command == STATUS:
            return self._status(reply.data, state)
        if command == CLEANING_INTERVAL and not state:
            self._compare(reply.data)
        expected = state == NOT_ALLOWED and command in (START, STOP)
        return (_refusal(command, state),) if state and not expected else ()

    def _values(self, reply: Reply, state: int) -> Iterable[Outcome]:
        if state == NOT_ALLOWED:
            self._start = True
            self._set_up = False
            restarted, self._measured_before = self._measured_before, False
            return (Restarted("the sensor was not measuring any more"),) if restarted else ()
        if state:
            return (_refusal(READ, state),)
        if not reply.data:
            return self._nothing_new()
        self._empty_reads = 0
        if len(reply.data) != VALUES.size:
            self._stop = self._start = True
            return (Fault("unknown", "values in another format", reply.data[:SAMPLE_BYTES]),)
        self._measured_before = True
        values = zip(QUANTITIES, VALUES.unpack(reply.data), strict=False)
        outcomes = [
            _measured(quantity, value, reply.data) for quantity, value in values if isfinite(value)
        ]
        if not (self._status_flag and self._has_status):
            return outcomes
        self._doubtful = outcomes
        return ()

    def _nothing_new(self) -> Iterable[Outcome]:
        """Wait for the next value; it takes a second, and 10 s while the sensor cleans itself."""
        self._empty_reads += 1
        if self._empty_reads < MAX_EMPTY_READS:
            return ()
        self._empty_reads = 0
        self._stop = self._start = True
        return (Fault("device_error", f"no new value in {MAX_EMPTY_READS} polls"),)

    def _compare(self, data: bytes) -> None:
        """Compare the cleaning interval that the sensor has with the one that it should have."""
        interval_s = int.from_bytes(data, "big")
        self._wrong_interval = len(data) == 4 and interval_s != self._cleaning_s

    def _status(self, data: bytes, state: int) -> Iterable[Outcome]:
        """Tell what the flag is about; with laser and fan at work the values are good."""
        values, self._doubtful = self._doubtful, []
        if state:
            self._has_status = state != UNKNOWN_COMMAND  # firmware before 2.2 has none
            return (_refusal(STATUS, state),)
        flags = int.from_bytes(data[:4], "big")
        faults = [Fault("device_error", text) for flag, text in FLAGS if flags & flag]
        return [*faults, *values] if not flags & FAILURES else faults


@lru_cache(REMEMBERED_REQUESTS)
def _request(command: int, data: bytes = b"", timeout_s: float = TIMEOUT_S) -> Request:
    return Request(
        data=frame(bytes((ADDRESS, command, len(data))) + data),
        length=partial(_size, command),
        timeout_s=timeout_s,
        tag=f"{command:02x}",
    )


def _size(command: int, data: bytes) -> int | None:
    return reply_size(data, ADDRESS, command)


def _command_of(request: Request) -> int | None:
    return COMMANDS.get(request.tag)


def _measured(quantity: str, value: float, data: bytes) -> Outcome:
    if 0.0 <= value <= HIGHEST:
        return Measured(quantity, shortest(value))
    return Fault("range", f"{quantity} beyond the sensor's range", data[:SAMPLE_BYTES])


def _refusal(command: int, state: int) -> Fault:
    what = STATES.get(state, "unknown error")
    return Fault("device_error", f"state 0x{state:02x} ({what}) for command 0x{command:02x}")


def _damage(data: bytes) -> Fault:
    if not data:
        return Fault("timeout", "no answer")
    sample = data[:SAMPLE_BYTES]
    if looks_whole(data):
        return Fault("checksum", "an answer with a wrong checksum, length or address", sample)
    if b"\x7e" in data:
        return Fault("short", "an answer that ended too early", sample)
    return Fault("noise", "bytes that belong to no answer", sample)
