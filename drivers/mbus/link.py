"""The link layer of the wired M-Bus: frames with start, length, checksum and end (EN 13757-2)."""

from typing import NamedTuple

from gateway.reading import Fault

__all__ = [
    "ACKNOWLEDGED",
    "LONGEST_FRAME",
    "SELECTED",
    "Telegram",
    "answer_length",
    "find_telegram",
    "long_frame",
    "request_data",
    "reset_link",
    "select",
]

ACKNOWLEDGED = b"\xe5"
SHORT_START, LONG_START, END = 0x10, 0x68, 0x16
SELECTED = 0xFD
"""Address of the one device that was selected by its secondary address."""
LONGEST_FRAME = 255 + 6
SHORTEST_FIELD = 3
"""C, A and CI."""
SND_NKE, SND_UD = 0x40, 0x53
REQ_UD2 = 0x5B
FRAME_COUNT_BIT = 0x20
SELECT_CI = 0x52


class Telegram(NamedTuple):
    """One long frame whose checksum is right."""

    control: int
    address: int
    ci: int
    data: bytes
    """What follows CI, without the checksum."""


def reset_link(address: int) -> bytes:
    """Return SND_NKE: the device begins anew and acknowledges."""
    return _short_frame(SND_NKE, address)


def request_data(address: int, *, count_bit: bool) -> bytes:
    """Return REQ_UD2; a device that sees the same count bit again repeats its telegram."""
    return _short_frame(REQ_UD2 | (FRAME_COUNT_BIT if count_bit else 0), address)


def select(mask: bytes) -> bytes:
    """Return the selection of a device by identification, manufacturer, version and medium.

    ``mask`` is 8 bytes as in the header of a telegram; a digit F fits everything.
    """
    return long_frame(SND_UD, SELECTED, SELECT_CI, mask)


def long_frame(control: int, address: int, ci: int, data: bytes) -> bytes:
    """Return a frame with length and checksum."""
    field = bytes((control, address, ci)) + data
    head = bytes((LONG_START, len(field), len(field), LONG_START))
    return head + field + bytes((sum(field) & 0xFF, END))


def answer_length(data: bytes) -> int | None:
    """Return how long the answer with data will be, with what stands before it; None: unknown."""
    start = _long_start(data, 0)
    if start is not None:
        return start + data[start + 1] + 6
    return len(data) if len(data) > 2 * LONGEST_FRAME else None


def find_telegram(data: bytes) -> tuple[Telegram | None, list[Fault]]:
    """Return the first good long frame of an answer, and what was wrong with the rest.

    What stands before it (a late acknowledgement, an echo) is passed over.
    """
    faults: list[Fault] = []
    position = 0
    while (start := _long_start(data, position)) is not None:
        stop = start + data[start + 1] + 6
        if stop > len(data):
            faults.append(Fault("short", "the telegram ended too early"))
        elif data[stop - 1] != END or data[stop - 2] != sum(data[start + 4 : stop - 2]) & 0xFF:
            faults.append(Fault("checksum", "telegram with a wrong checksum or end"))
        else:
            control, address, ci = data[start + 4 : start + 7]
            return Telegram(control, address, ci, data[start + 7 : stop - 2]), faults
        position = start + 1
    # Without a sample: a damaged telegram holds the meter's number as a whole one does.
    return None, faults or [Fault("noise", f"{len(data)} bytes without a telegram")]


def _short_frame(control: int, address: int) -> bytes:
    return bytes((SHORT_START, control, address, (control + address) & 0xFF, END))


def _long_start(data: bytes, position: int) -> int | None:
    """Return where a long frame begins: 68 L L 68, with room for C, A and CI."""
    while (position := data.find(LONG_START, position)) >= 0:
        head = data[position : position + 4]
        if len(head) == 4 and head[1] == head[2] >= SHORTEST_FIELD and head[3] == LONG_START:
            return position
        position += 1
    return None
