"""pymodbus reads the same from the captured answers of Modbus devices."""

import struct
from collections.abc import Iterator
from typing import Any

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU
from pymodbus.pdu.exceptionresponse import ExceptionResponse

from drivers.modbus.rtu import Answer, find_answer
from tests.drivers.captures.modbus import FAMILIES
from tests.drivers.captures.parts import ABSENT, Frame, load

GOOD, EXCEPTIONS, REFUSED = 8, 1, 5
"""Frames that both read as registers, as an exception, and that both refuse."""


def frames() -> Iterator[Frame]:
    for family in FAMILIES:
        loaded = load(family)
        if loaded is None:
            pytest.skip(ABSENT)
        yield from loaded


def theirs(data: bytes) -> Any:
    """Return the PDU, None if pymodbus does not accept the bytes as a frame."""
    _, pdu = FramerRTU(DecodePDU(False)).handleFrame(data, 0, 0)
    return pdu


def ours(data: bytes) -> Answer | None:
    """Return the answer to a question for as many registers as its length says."""
    function = 3 if data[1] & 0x7F == 3 else 4
    return find_answer(data, data[0], function, data[2] // 2)


def test_pymodbus_reads_the_same_from_recordings() -> None:
    seen = {"registers": 0, "exception": 0, "refused": 0}
    for frame in frames():
        answer, pdu = ours(frame.data), theirs(frame.data)
        if answer is None:
            assert pdu is None, frame.kind
            seen["refused"] += 1
        elif answer.exception:
            assert isinstance(pdu, ExceptionResponse)
            assert pdu.exception_code == answer.exception
            seen["exception"] += 1
        else:
            words = struct.unpack(f">{len(answer.data) // 2}H", answer.data)
            assert pdu.registers == list(words), frame.kind
            seen["registers"] += 1
    assert seen == {"registers": GOOD, "exception": EXCEPTIONS, "refused": REFUSED}
