"""Meters on the wired M-Bus: heat, water, electricity, gas, and room sensors.

Written from EN 13757-2 (link layer) and EN 13757-3 (application layer), and "The M-Bus: A
Documentation", version 4.8, of the M-Bus user group.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from drivers.mbus.link import (
    ACKNOWLEDGED,
    SELECTED,
    Telegram,
    answer_length,
    find_telegram,
    request_data,
    reset_link,
    select,
)
from drivers.mbus.meaning import QUANTITIES, measured
from drivers.mbus.records import BadRecords, parse_records
from drivers.mbus.search import Search
from gateway.driver import DriverInfo, Outcome, Request, SerialLine
from gateway.reading import Dims, Fault, Measured

__all__ = ["Mbus", "MbusOptions"]

ANY_ADDRESS = 254
"""Whoever is alone on the bus answers to it."""
RSP_UD = 0x08
VARIABLE_DATA, ERROR_REPORT = 0x72, 0x70
HEADER_BYTES = 12
"""Identification 4, manufacturer 2, version, medium, access number, status, signature 2."""
PERMANENT_ERROR, TEMPORARY_ERROR = 0x08, 0x10
APPLICATION_STATUS = ("", "is busy", "has an error", "reports an abnormal condition")
ENCRYPTED_MODES = frozenset({2, 3, 4, 5, 7, 13})
APPLICATION_ERRORS = (
    "an error that is not specified",
    "the telegram asks for something that is not there",
    "buffer too long",
    "too many records",
    "premature end of a record",
    "too many extensions of a DIF",
    "too many extensions of a VIF",
    "",
    "busy with something else",
    "too many readouts",
)
TIMEOUT_S = 1.5
"""330 bit times and 50 ms: 1.2 s at 300 baud, less than 0.2 s at 2400."""
QUIET_S = 0.05
MASK = re.compile(r"[0-9Ff]{8}([0-9A-Fa-f]{8})?")


def _digits(value: object) -> object:
    return f"{value:08d}" if isinstance(value, int) and not isinstance(value, bool) else value


class MbusOptions(BaseModel):
    """Which meter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: int = Field(
        default=ANY_ADDRESS,
        ge=0,
        le=ANY_ADDRESS,
        description="Primary address, 1 to 250 (0: not set yet). 254 reaches the only meter of a "
        "bus that has just one.",
    )
    secondary: Annotated[str, BeforeValidator(_digits)] = Field(
        default="",
        description="Instead of the address: the meter's 8-digit number, as on its label, or that "
        "and 8 hexadecimal digits (manufacturer, version, medium); F fits every digit.",
    )
    telegrams: int = Field(
        default=8,
        ge=1,
        le=32,
        description="At most so many telegrams are fetched from a meter that has more than one.",
    )

    @model_validator(mode="after")
    def _one_way_to_reach_it(self) -> "MbusOptions":
        if self.secondary and self.address != ANY_ADDRESS:
            raise ValueError("has either address or secondary")
        if self.secondary and not MASK.fullmatch(self.secondary):
            raise ValueError("secondary has 8 digits or 16 hexadecimal ones")
        return self


class Mbus:
    """Yields what a meter measures now, in the units of the registry.

    A round is: reset of the link, selection where there is a secondary address, and requests with
    the count bit toggled until the meter says that no telegram follows.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="mbus",
        title="heat, water, electricity and gas meters on the wired M-Bus",
        domain="energy",
        quantities=QUANTITIES,
        interval_s=900.0,
        lines=tuple(SerialLine(baud, parity="E") for baud in (2400, 9600, 300)),
        privacy="P3",
        document="EN 13757-2 and EN 13757-3",
    )
    Options: ClassVar[type[BaseModel]] = MbusOptions
    search: ClassVar[type[Search]] = Search

    def __init__(self, options: MbusOptions) -> None:
        self._options = options
        self._mask = _mask(options.secondary) if options.secondary else b""
        self._address = SELECTED if self._mask else options.address
        self._asked = ""
        self._more = False
        self._selected = True
        self._seen: set[tuple[str, Dims]] = set()

    def requests(self) -> Iterator[Request]:
        """Yield one round; take the answer to each before asking for the next."""
        self._seen = set()
        self._selected = True
        yield self._request(reset_link(self._address), "reset")
        if self._mask:
            yield self._request(select(self._mask), "select")
            if not self._selected:
                return
        count_bit = True
        for _ in range(self._options.telegrams):
            self._more = False
            data = request_data(self._address, count_bit=count_bit)
            yield Request(data, answer_length, timeout_s=TIMEOUT_S, quiet_s=QUIET_S, tag="data")
            if not self._more:
                return
            count_bit = not count_bit

    def on_reply(self, request: Request, data: bytes) -> Iterable[Outcome]:
        """Take an answer; return readings and faults. A reset may stay without an answer."""
        if request.tag == "reset":
            return ()
        if request.tag == "select":
            self._selected = ACKNOWLEDGED in data
            return () if self._selected else (Fault("timeout", "no meter of this number answers"),)
        if not data:
            return (Fault("timeout", "the meter does not answer"),)
        telegram, faults = find_telegram(data)
        if telegram is None:
            return faults
        return [*faults, *self._telegram(telegram)]

    def _request(self, data: bytes, tag: str) -> Request:
        return Request(data, 1, timeout_s=TIMEOUT_S, quiet_s=QUIET_S, tag=tag)

    def _telegram(self, telegram: Telegram) -> list[Outcome]:
        if telegram.control & 0x0F != RSP_UD:
            return [Fault("unknown", "a telegram that is no answer")]
        if self._address < ANY_ADDRESS - 1 and telegram.address != self._address:
            return [Fault("unknown", "the answer of another meter")]
        if telegram.ci == ERROR_REPORT:
            number = telegram.data[0] if telegram.data else 0
            known = number < len(APPLICATION_ERRORS)
            detail = APPLICATION_ERRORS[number] if known else ""
            return [Fault("device_error", detail or f"application error {number}")]
        if telegram.ci != VARIABLE_DATA:
            return [Fault("unknown", f"a telegram of kind {telegram.ci:02X}")]
        if len(telegram.data) < HEADER_BYTES:
            return [Fault("short", "a telegram without its whole header")]
        return self._variable(telegram.data[:HEADER_BYTES], telegram.data[HEADER_BYTES:])

    def _variable(self, header: bytes, body: bytes) -> list[Outcome]:
        medium, status, mode = header[7], header[9], header[11] & 0x1F
        if self._mask and not _fits(self._mask, header):
            return [Fault("unknown", "the answer of another meter")]
        if mode in ENCRYPTED_MODES:
            return [Fault("key_missing", "an encrypted telegram: its key is not supported")]
        try:
            records, self._more = parse_records(body)
        except BadRecords as error:
            return [Fault("short", str(error))]
        outcomes: list[Outcome] = _status(status)
        for record in records:
            outcome = measured(record, medium)
            if isinstance(outcome, Measured):
                series = (outcome.quantity, outcome.dims)
                if series in self._seen:  # once more with another resolution
                    continue
                self._seen.add(series)
            if outcome is not None:
                outcomes.append(outcome)
        return outcomes


def _status(status: int) -> list[Outcome]:
    if status & PERMANENT_ERROR:
        return [Fault("device_error", "the meter reports a permanent error")]
    if status & TEMPORARY_ERROR:
        return [Fault("device_error", "the meter reports a temporary error")]
    word = APPLICATION_STATUS[status & 0x03]
    return [Fault("device_error", f"the meter's application {word}")] if word else []


def _mask(secondary: str) -> bytes:
    """Return the 8 bytes of a selection: number (low byte first), manufacturer, version, medium."""
    raw = bytes.fromhex(secondary.ljust(16, "F"))
    return raw[3::-1] + raw[4:]


def _fits(mask: bytes, header: bytes) -> bool:
    number = zip(mask[:4].hex(), header[:4].hex(), strict=True)
    rest = zip(mask[4:], header[4:8], strict=True)
    return all(m in ("f", h) for m, h in number) and all(m in (0xFF, h) for m, h in rest)
