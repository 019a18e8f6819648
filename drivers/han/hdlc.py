"""Finds the HDLC frames that a meter pushes, by their length and their two frame checks.

``7E``, two bytes of format and length, addresses, control, header check, information, frame check,
``7E``. There is no byte stuffing on this link: flags occur inside, so the length decides. Document:
ISO/IEC 13239, frame format type 3; IEC 62056-46.
"""

from drivers.checks import crc16_x25
from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_FRAME_BYTES", "HdlcReader"]

FLAG = b"\x7e"
FORMAT_TYPE = 0xA0
SEGMENTED = 0x08
LENGTH_MASK = 0x07FF
MAX_FRAME_BYTES = LENGTH_MASK + 2
"""The longest frame that the length field allows, with both flags."""
CHECK_BYTES = 2
MAX_ADDRESS_BYTES = 4
WAIT = -1
"""The header is not there yet."""
WRONG = 0
"""No header stands there."""


class HdlcReader:
    """Takes bytes in any chunking; keeps less than one frame of the greatest length.

    A frame is believed if header check, frame check and closing flag are right. Faults carry no
    sample: frames hold serial numbers.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._noise = NoiseCounter(keep_sample=False)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return the information fields of the frames that ``data`` completes, and faults."""
        buffer = self._rest + data
        found: list[bytes | Fault] = []
        position = 0
        while True:
            start = buffer.find(FLAG, position)
            start = len(buffer) if start < 0 else start
            found += self._noise.drop(buffer[position:start])
            position = start
            header = _header_bytes(buffer, position)
            if header == WAIT:
                break
            stop = position + 2 + _length(buffer, position) if header else 0
            if header and stop > len(buffer):
                break
            if header and self._accept(buffer[position:stop], header, found):
                position = stop - 1  # the flag at the end may be the next frame's first one
            else:
                position += 1  # a flag between two frames is no noise
        self._rest = buffer[position:]
        return found

    def _accept(self, frame: bytes, header: int, found: list[bytes | Fault]) -> bool:
        """Check one frame from flag to flag; tell whether it is one."""
        body, check = frame[1 : -1 - CHECK_BYTES], frame[-1 - CHECK_BYTES : -1]
        found += self._noise.end()
        if not frame.endswith(FLAG) or check != crc16_x25(body).to_bytes(2, "little"):
            found.append(Fault("checksum", "frame with a wrong frame check"))
            self._noise.excuse(len(frame))
            return False
        if frame[1] & SEGMENTED:
            found.append(Fault("unknown", "part of a message in several frames"))
        else:
            found.append(frame[1 + header : -1 - CHECK_BYTES])
        return True


def _length(buffer: bytes, flag: int) -> int:
    return int.from_bytes(buffer[flag + 1 : flag + 3], "big") & LENGTH_MASK


def _header_bytes(buffer: bytes, flag: int) -> int:
    """Return the bytes of the header behind the flag with its check, or WAIT, or WRONG."""
    position = flag + 1
    if position >= len(buffer):
        return WAIT
    if buffer[position] & 0xF0 != FORMAT_TYPE:
        return WRONG
    position += 2
    for _ in ("destination", "source"):
        first = position
        while True:
            if position >= len(buffer):
                return WAIT
            position += 1
            if buffer[position - 1] & 1:
                break
            if position - first == MAX_ADDRESS_BYTES:
                return WRONG
    position += 1  # control
    stop = position + CHECK_BYTES
    if stop > len(buffer):
        return WAIT
    check = crc16_x25(buffer[flag + 1 : position]).to_bytes(2, "little")
    header = stop - flag - 1
    right = buffer.startswith(check, position) and _length(buffer, flag) > header + CHECK_BYTES
    return header if right else WRONG
