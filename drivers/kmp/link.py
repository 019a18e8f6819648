"""Frames of the Kamstrup Meter Protocol: start, byte stuffing, CRC, stop."""

from binascii import crc_hqx

from gateway.reading import Fault

__all__ = ["LONGEST_FRAME", "answer_length", "build", "crc16", "find_payload"]

TO_METER, FROM_METER, STOP, ESCAPE = 0x80, 0x40, 0x0D, 0x1B
STUFFED = frozenset({TO_METER, FROM_METER, STOP, 0x06, ESCAPE})
"""These never occur between start and stop: 1B and the inverted byte stand for them."""
LONGEST_FRAME = 512
SHORTEST_PAYLOAD = 4
"""Destination, command and CRC."""


def crc16(data: bytes) -> int:
    """Return the CRC of CCITT with start value 0; over data and its CRC it is 0."""
    return crc_hqx(data, 0)


def build(start: int, payload: bytes) -> bytes:
    """Return a whole frame for destination, command and data."""
    frame = bytearray((start,))
    for byte in payload + crc16(payload).to_bytes(2, "big"):
        frame += bytes((ESCAPE, byte ^ 0xFF)) if byte in STUFFED else bytes((byte,))
    frame.append(STOP)
    return bytes(frame)


def answer_length(data: bytes) -> int | None:
    """Return where the first answer ends, None while it has no end."""
    start = data.find(FROM_METER)
    stop = data.find(STOP, start) if start >= 0 else -1
    if stop >= 0:
        return stop + 1
    return len(data) if len(data) > 2 * LONGEST_FRAME else None


def find_payload(data: bytes) -> tuple[bytes | None, list[Fault]]:
    """Return destination, command and data of the first good answer, and what was wrong.

    An echo of the question before it is passed over: optical heads see their own light.
    """
    faults: list[Fault] = []
    position = 0
    while (start := data.find(FROM_METER, position)) >= 0:
        stop = data.find(STOP, start)
        if stop < 0:
            faults.append(Fault("short", "the answer has no end"))
            break
        payload = _unstuffed(data[start + 1 : stop])
        if payload is not None and len(payload) >= SHORTEST_PAYLOAD and not crc16(payload):
            return payload[:-2], faults
        faults.append(Fault("checksum", "answer with a wrong checksum"))
        position = start + 1
    if not faults:
        if data.startswith(bytes((TO_METER,))):
            faults.append(Fault("echo", "only our own question came back"))
        else:
            faults.append(Fault("noise", f"{len(data)} bytes without an answer"))
    return None, faults


def _unstuffed(data: bytes) -> bytes | None:
    """Return data without its stuffing, None if it is broken."""
    found = bytearray()
    escaped = False
    for byte in data:
        if escaped:
            if byte ^ 0xFF not in STUFFED:
                return None
            found.append(byte ^ 0xFF)
            escaped = False
        elif byte == ESCAPE:
            escaped = True
        elif byte in STUFFED:
            return None
        else:
            found.append(byte)
    return None if escaped else bytes(found)
