"""Finds the text blocks of VE.Direct in a stream of bytes.

A block is lines of CR, LF, label, TAB, value; the last line is ``Checksum`` and one byte that makes
the sum of all its bytes a multiple of 256. An answer to a HEX command (``:`` to line feed) may
stand inside and does not count. Document: Victron, VE.Direct protocol 3.32.
"""

import re

from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_BLOCK_BYTES", "BlockReader"]

MAX_BLOCK_BYTES = 2048
"""22 lines of at most 43 bytes, and as much again for HEX messages inside."""
FIRST_LABELS = re.compile(rb"\r\n(?:PID|H1|V)\t")
"""With what a block begins: product id, history, or voltage where there is no product id."""
FIRST_LABELS_WITH_PID = re.compile(rb"\r\n(?:PID|H1)\t")
MARKS = (b"\r\nPID\t", b"\r\nH1\t", b"\r\nV\t")
LONGEST_MARK = max(map(len, MARKS))
LAST_LABEL = b"\r\nChecksum\t"
HEX_MESSAGE = re.compile(rb":[0-9A-Fa-f]*\r?\n")
LINE = re.compile(rb"([A-Za-z0-9_#]{1,9})\t([\x20-\x7e]{0,33})")


class BlockReader:
    """Takes bytes in any chunking; keeps less than one block of the greatest length.

    A block that fails is searched for the start of another one: only at a first label, so that the
    rest of a damaged block is not taken for a whole one. Faults carry no sample: blocks hold serial
    numbers.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._noise = NoiseCounter(keep_sample=False)
        self._has_pid = False

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their block."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[dict[str, str] | Fault]:
        """Return the blocks that ``data`` completes, by label, and what could not be used."""
        buffer = self._rest + data
        found: list[dict[str, str] | Fault] = []
        position = 0
        while True:
            position = self._next_start(buffer, position, found)
            last = buffer.find(LAST_LABEL, position, position + MAX_BLOCK_BYTES)
            stop = last + len(LAST_LABEL) + 1
            if last < 0 and len(buffer) - position >= MAX_BLOCK_BYTES:
                self._refuse(Fault("short", "incomplete block"), MAX_BLOCK_BYTES, found)
                position += 1
                continue
            if last < 0 or stop > len(buffer):
                break
            block = _lines(buffer[position:last], buffer[last:stop])
            if block is None:
                fault = Fault("checksum", "block with a wrong checksum")
                self._refuse(fault, stop - position, found)
                position += 1
                continue
            found += self._noise.end()
            found.append(block)
            self._has_pid = self._has_pid or "PID" in block
            position = stop
        self._rest = buffer[position:]
        return found

    def _refuse(self, fault: Fault, length: int, found: list[dict[str, str] | Fault]) -> None:
        found += self._noise.end()
        found.append(fault)
        self._noise.excuse(length)

    def _next_start(self, buffer: bytes, position: int, found: list[dict[str, str] | Fault]) -> int:
        """Drop what cannot begin a block; return where one begins, or may begin."""
        labels = FIRST_LABELS_WITH_PID if self._has_pid else FIRST_LABELS
        match = labels.search(buffer, position)
        if match is not None:
            start = match.start()
        else:
            start = len(buffer)
            for size in range(LONGEST_MARK - 1, 0, -1):
                tail = buffer[max(position, len(buffer) - size) :]
                if len(tail) == size and any(mark.startswith(tail) for mark in MARKS):
                    start -= size
                    break
        found += self._noise.drop(buffer[position:start])
        return start


def _lines(text: bytes, last: bytes) -> dict[str, str] | None:
    """Return the lines of a block without its last one, or None if it is damaged."""
    text = HEX_MESSAGE.sub(b"", text)
    if sum(text + last) & 0xFF:
        return None
    block: dict[str, str] = {}
    for line in text.split(b"\r\n")[1:]:
        match = LINE.fullmatch(line)
        if match is None or match[1].decode() in block:
            return None
        block[match[1].decode()] = match[2].decode()
    return block
