"""Finds SML files in a stream of bytes.

``1B1B1B1B 01010101``, the file, ``1B1B1B1B 1A``, the number of fill bytes, CRC-16/X-25 over all
before it, low byte first. Four times 1B inside the file are sent twice. Document: SML 1.04 (BSI
TR-03109-1, annex IV), section 8.
"""

from drivers.checks import crc16_x25
from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_FILE_BYTES", "SmlReader"]

ESCAPE = b"\x1b\x1b\x1b\x1b"
START = ESCAPE + b"\x01\x01\x01\x01"
END = b"\x1a"
WORD = 4
CRC_BYTES = 2
MAX_FILL = 3
MAX_FILE_BYTES = 4096
"""Meters send 200 to 1,000 bytes; those with a signature a little more."""


class SmlReader:
    """Takes bytes in any chunking; keeps less than one file of the greatest length.

    Faults carry no sample: files hold serial numbers.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._noise = NoiseCounter(keep_sample=False)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their file."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return the files that ``data`` completes, unpacked, and what could not be used."""
        buffer = self._rest + data
        found: list[bytes | Fault] = []
        position = 0
        while True:
            position = self._next_start(buffer, position, found)
            stop = _stop(buffer, position) if buffer.startswith(START, position) else None
            if stop is None:
                if len(buffer) - position < MAX_FILE_BYTES:
                    break
                stop = 0
            if stop == 0:
                found += self._noise.end()
                found.append(Fault("short", "incomplete file"))
                self._noise.excuse(MAX_FILE_BYTES)
                position += 1
                continue
            position += self._accept(buffer[position:stop], found)
        self._rest = buffer[position:]
        return found

    def _next_start(self, buffer: bytes, position: int, found: list[bytes | Fault]) -> int:
        """Drop what cannot begin a file; return where one begins, or may begin."""
        start = buffer.find(START, position)
        if start < 0:
            start = len(buffer)
            for size in range(len(START) - 1, 0, -1):
                if buffer.endswith(START[:size], position):
                    start -= size
                    break
        found += self._noise.drop(buffer[position:start])
        return start

    def _accept(self, raw: bytes, found: list[bytes | Fault]) -> int:
        """Check one file; return how many bytes are done with: all, or one to look behind it."""
        found += self._noise.end()
        crc = int.from_bytes(raw[-CRC_BYTES:], "little")
        if crc != crc16_x25(raw[:-CRC_BYTES]):
            found.append(Fault("checksum", "file with a wrong checksum"))
            self._noise.excuse(len(raw))
            return 1
        packed = raw[len(START) : -2 * WORD]
        found.append(packed.replace(ESCAPE * 2, ESCAPE)[: -raw[-CRC_BYTES - 1] or None])
        return len(raw)


def _stop(buffer: bytes, start: int) -> int | None:
    """Return where the file at ``start`` ends, None if that is not there yet, 0 if it does not.

    A file that is cut off by the start of the next one does not end, nor does an endless one.
    """
    position = start + len(START)
    while True:
        position = buffer.find(ESCAPE, position, start + MAX_FILE_BYTES)
        if position < 0 or position + 2 * WORD > len(buffer):
            return None
        word = buffer[position + WORD : position + 2 * WORD]
        if word.startswith(END) and word[1] <= MAX_FILL:
            return position + 2 * WORD
        if buffer.startswith(START, position):
            return 0
        position += 2 * WORD if word == ESCAPE else 1
