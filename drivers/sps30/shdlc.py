"""SHDLC frames, the serial protocol of Sensirion's sensors.

Written from Sensirion, "Datasheet SPS30", version 1.0, chapter 5: a frame stands between two bytes
7E; 7E, 7D, 11 and 13 in it are sent as 7D and the byte with bit 5 inverted; the check byte is the
inverted sum of what it follows. Pure functions; nothing raises for bad bytes.
"""

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Reply", "find_reply", "frame", "looks_whole", "read_command", "reply_size"]

FLAG, ESCAPE = 0x7E, 0x7D
STUFFED = re.compile(rb"[\x7d\x7e\x11\x13]")
ESCAPED = re.compile(rb"\x7d(.)", re.DOTALL)
INVERT = 0x20
REPLY_BYTES = 5
"""Address, command, state, length and check of an answer without data."""
COMMAND_BYTES = 4
"""The same of a command, which has no state."""
MAX_FRAME_BYTES = 2 * (255 + REPLY_BYTES)
"""The longest content, with every byte stuffed."""
REMEMBERED_REPLIES = 4


class Reply(NamedTuple):
    """A good answer."""

    command: int
    state: int
    """Bits 0 to 6: error code; bit 7: a flag of the device status register is set."""
    data: bytes
    end: int
    """Where it ends in the bytes that came."""


def _check(content: bytes) -> int:
    return ~sum(content) & 0xFF


def frame(content: bytes) -> bytes:
    """Return a whole frame around address, command, (state,) length and data."""
    checked = content + bytes((_check(content),))
    body = STUFFED.sub(lambda m: bytes((ESCAPE, m[0][0] ^ INVERT)), checked)
    return bytes((FLAG,)) + body + bytes((FLAG,))


@lru_cache(REMEMBERED_REPLIES)
def find_reply(data: bytes, address: int, command: int) -> Reply | None:
    """Return the first good answer to a command of a device; None if there is none.

    A flag may end one frame and begin the next; noise before the answer is passed over. The same
    bytes are looked at twice: for their length, and for what they say.
    """
    start = data.find(FLAG)
    while start >= 0:
        stop = data.find(FLAG, start + 1)
        if stop < 0:
            return None
        reply = _reply(data[start + 1 : stop], address, command, stop + 1)
        if reply is not None:
            return reply
        start = stop
    return None


def _reply(body: bytes, address: int, command: int, end: int) -> Reply | None:
    if not REPLY_BYTES <= len(body) <= MAX_FRAME_BYTES:
        return None
    content = _unstuffed(body)
    good = (
        len(content) >= REPLY_BYTES
        and content[0] == address
        and content[1] == command
        and content[3] == len(content) - REPLY_BYTES
        and sum(content) & 0xFF == 0xFF  # the check byte is the inverted sum of all others
    )
    return Reply(command, content[2], content[4:-1], end) if good else None


def _unstuffed(body: bytes) -> bytes:
    if ESCAPE not in body:
        return body
    # One pass from the front: 7D 5D 31 is 7D 31, never 11.
    return ESCAPED.sub(lambda m: bytes((m[1][0] ^ INVERT,)), body)


def read_command(data: bytes) -> tuple[int, int, bytes, int] | None:
    """Return (address, command, data, end) of the first good command, as a device reads it."""
    start = data.find(FLAG)
    while start >= 0 and (stop := data.find(FLAG, start + 1)) >= 0:
        content = _unstuffed(data[start + 1 : stop])
        whole = len(content) >= COMMAND_BYTES and content[2] == len(content) - COMMAND_BYTES
        if whole and content[-1] == _check(content[:-1]):
            return content[0], content[1], content[3:-1], stop + 1
        start = stop
    return None


def reply_size(data: bytes, address: int, command: int) -> int | None:
    """Return where the answer ends, None while it is not there."""
    reply = find_reply(data, address, command)
    return None if reply is None else reply.end


def looks_whole(data: bytes) -> bool:
    """Tell whether there is anything between two flags, however wrong it is."""
    return any(len(part) >= REPLY_BYTES for part in data.split(b"\x7e")[1:-1])
