"""Finds P1 telegrams in a stream of bytes and decides whether they can be believed.

A telegram starts with ``/`` and ends with a line ``!`` and four hexadecimal digits: CRC-16/ARC
(polynomial 0xA001 reflected, start 0) over everything from ``/`` to ``!``, both included. DSMR 2
and 3 end with a bare ``!``. Documents: DSMR P1 companion standard 5.0.2, section 5 and 6; Swedish
H1 recommendation of Energiforetagen; Finnish SK 13-1.
"""

import re
from typing import NamedTuple

from drivers.checks import crc16_arc
from drivers.noise import NoiseCounter
from gateway.reading import Fault

__all__ = ["MAX_TELEGRAM_BYTES", "Telegram", "TelegramReader"]

MAX_TELEGRAM_BYTES = 4096
"""A DSMR 5 telegram with the longest text message (2,048 digits) is shorter."""
CRC_DIGITS = 4
IGNORED_BETWEEN = b"\r\n\x00 "
"""Line ends and fill between two telegrams are no noise."""
HEX_DIGITS = frozenset(b"0123456789abcdefABCDEF")
LINE_ENDS = frozenset(b"\r\n")
DIGITS = re.compile(rb"\d")


class Telegram(NamedTuple):
    """The text of one telegram that can be believed, without ``!`` and checksum."""

    text: str
    checked: bool
    """Whether a checksum vouches for every byte."""


class _Trailer(NamedTuple):
    """What follows the ``!`` of a telegram."""

    length: int
    crc: int | None


class TelegramReader:
    """Takes bytes in any chunking; keeps less than one telegram of the greatest length.

    Without a checksum a telegram is believed only if it has the same shape as the one before it
    (equal apart from digits): a lost byte changes the shape. ``unchecked`` allows such telegrams.
    Faults carry no sample: telegrams hold serial numbers and text messages.
    """

    def __init__(self, *, unchecked: bool) -> None:
        self._unchecked = unchecked
        self._rest = b""
        self._shape = b""
        self._noise = NoiseCounter(keep_sample=False)

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their telegram."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Telegram | Fault]:
        """Return the telegrams that ``data`` completes, and what could not be used."""
        buffer = self._rest + data
        found: list[Telegram | Fault] = []
        position = 0
        while True:
            start = buffer.find(b"/", position)
            start = len(buffer) if start < 0 else start
            self._drop(buffer[position:start], found)
            position = start
            stop = buffer.find(b"!", start, start + MAX_TELEGRAM_BYTES)
            if stop < 0:
                if len(buffer) - start < MAX_TELEGRAM_BYTES:
                    break
                # A telegram holds no second "/": only the last one here can still become one.
                self._give_up("no end in reach", found)
                position = max(start + 1, buffer.rfind(b"/", start, start + MAX_TELEGRAM_BYTES))
                continue
            later = buffer.rfind(b"/", start + 1, stop)
            if later > 0:
                self._give_up("another one starts", found)
                position = later
                continue
            trailer = _trailer(buffer, stop)
            if trailer is None:
                break
            if trailer.length == 0:
                self._give_up("'!' inside a line", found)
                position = stop + 1
                continue
            found += self._noise.end()
            found.append(self._judge(buffer[start : stop + 1], trailer.crc))
            position = stop + trailer.length
        self._rest = buffer[position:]
        return found

    def _drop(self, data: bytes, found: list[Telegram | Fault]) -> None:
        if data:
            found += self._noise.drop(data.translate(None, IGNORED_BETWEEN))

    def _give_up(self, why: str, found: list[Telegram | Fault]) -> None:
        found += self._noise.end()
        found.append(Fault("short", f"incomplete telegram: {why}"))

    def _judge(self, raw: bytes, crc: int | None) -> Telegram | Fault:
        text = raw[:-1].decode("latin-1")
        if crc is not None:
            if crc != crc16_arc(raw):
                return Fault("checksum", "telegram with a wrong checksum")
            return Telegram(text, checked=True)
        if not self._unchecked:
            return Fault("checksum", "telegram without a checksum; option unchecked is off")
        shape = DIGITS.sub(b"0", raw)
        known, self._shape = self._shape == shape, shape
        if not known:
            return Fault("unknown", "telegram without a checksum, in a new shape: not used")
        return Telegram(text, checked=False)


def _trailer(buffer: bytes, stop: int) -> _Trailer | None:
    """Look behind the ``!`` at ``stop``: None = wait for more, length 0 = no end of a telegram.

    Some meters leave out the leading zeros of the checksum, so a line end counts as well.
    """
    if buffer[stop - 1] not in LINE_ENDS:
        return _Trailer(0, None)
    position = stop + 1
    while position < len(buffer) and position - stop <= CRC_DIGITS:
        if buffer[position] not in HEX_DIGITS:
            break
        position += 1
    digits = buffer[stop + 1 : position]
    if len(digits) == CRC_DIGITS:
        return _Trailer(1 + CRC_DIGITS, int(digits, 16))
    if position == len(buffer):
        return None
    if buffer[position] not in LINE_ENDS:
        return _Trailer(0, None)
    return _Trailer(1 + len(digits), int(digits, 16) if digits else None)
