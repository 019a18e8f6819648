"""Finds the sentences of NMEA 0183 in a stream of bytes.

A sentence is ``$``, an address, fields after commas, ``*`` and two hexadecimal digits: the
exclusive or of all bytes between ``$`` and ``*``. What else comes (binary frames of the receiver,
sentences without a checksum) is counted and dropped. Document: NMEA 0183, version 4.11.
"""

import re

from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_SENTENCE_BYTES", "SentenceReader", "checksum"]

MAX_SENTENCE_BYTES = 160
"""The standard says 82; receivers of several systems send longer ones."""
BODY = re.compile(
    rb"\$([ -#%%-)+-~]{0,%d})(?:\*([0-9A-Fa-f]{2})[\r\n]*|\*[0-9A-Fa-f]?)?"
    % (MAX_SENTENCE_BYTES - 6)
)
"""``$`` and all that can follow in a sentence, whole or not; the checksum only of a whole one."""
ADDRESS = re.compile(rb"\$[A-Z][A-Z0-9]{3,7},")
"""How a sentence begins, and binary noise hardly ever."""
LINE_ENDS = b"\r\n"


def checksum(body: bytes) -> int:
    """Return the exclusive or of all bytes of a sentence: as one number, folded in half again."""
    number = int.from_bytes(body, "little")
    number ^= number >> 1024
    number ^= number >> 512
    number ^= number >> 256
    number ^= number >> 128
    number ^= number >> 64
    number &= (1 << 64) - 1
    number ^= number >> 32
    number ^= number >> 16
    return (number ^ number >> 8) & 0xFF


class SentenceReader:
    """Takes bytes in any chunking; keeps less than one sentence of the greatest length.

    A sentence that fails holds no other ``$``, so the search goes on behind it. Faults carry no
    sample: it would tell the position in full.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._noise = NoiseCounter(keep_sample=False)
        self._is_noisy = False

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their sentence."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes | Fault]:
        """Return what stands between ``$`` and ``*`` of each whole sentence, and the faults."""
        buffer = self._rest + data
        found: list[bytes | Fault] = []
        position = 0
        while match := BODY.search(buffer, position):
            start, end = match.span()
            if start != position:
                self._drop(buffer[position:start], found)
            body, check = match.groups()
            if check is not None:
                self._end_noise(found)
                right = checksum(body) == int(check, 16)
                found.append(body if right else Fault("checksum", "sentence with a wrong checksum"))
            elif end == len(buffer):
                self._rest = buffer[start:]
                return found
            elif ADDRESS.match(match[0]):
                self._end_noise(found)
                found.append(Fault("short", "sentence without its checksum"))
            else:
                self._drop(match[0], found)
            position = end
        self._drop(buffer[position:], found)
        self._rest = b""
        return found

    def _drop(self, data: bytes, found: list[bytes | Fault]) -> None:
        """Count what belongs to no sentence; line ends do."""
        data = data.translate(None, LINE_ENDS)
        if data:
            found += self._noise.drop(data)
            self._is_noisy = True

    def _end_noise(self, found: list[bytes | Fault]) -> None:
        if self._is_noisy:
            found += self._noise.end()
            self._is_noisy = False
