"""The part of CBOR (RFC 8949) that these devices speak: definite lengths, no tags, few levels.

A general decoder also makes dates, fractions and patterns of what it gets, and raises what such
code raises. Of a device that anybody near by can imitate that is more than is needed.
"""

import struct
from collections.abc import Hashable
from typing import Any

__all__ = ["CborError", "decode", "encode_text"]

MAX_DEPTH = 4
MAX_ITEMS = 64
INLINE_MAX = 23
"""A smaller argument stands in the first byte itself; from 24 on that says how many follow."""
ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
NOTHING = (20, 21, 22, 23)
"""False, true, null and undefined: none of them is a measurement."""
FLOATS = {25: ">e", 26: ">f", 27: ">d"}


class CborError(ValueError):
    """Not the part of CBOR that is spoken here, or cut off."""


def decode(data: bytes) -> Any:
    """Return the one item in ``data``: int, float, bytes, str, list, dict or None. CborError."""
    item, end = _item(data, 0, MAX_DEPTH)
    if end != len(data):
        raise CborError("bytes after the item")
    return item


def encode_text(text: str) -> bytes:
    """Return a short text as CBOR."""
    raw = text.encode()
    if len(raw) > INLINE_MAX:
        raise ValueError(f"text of {len(raw)} bytes")
    return bytes((TEXT << 5 | len(raw),)) + raw


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    """Return the item that begins at ``at``, and where it ends."""
    if depth == 0:
        raise CborError("too many levels")
    head = _take(data, at, 1)[0]
    kind, info = head >> 5, head & 0x1F
    if kind == SIMPLE:
        return _simple(data, at + 1, info)
    argument, at = _argument(data, at + 1, info)
    if kind == UNSIGNED:
        return argument, at
    if kind == NEGATIVE:
        return -1 - argument, at
    if kind in (BYTES, TEXT):
        raw = _take(data, at, argument)
        return (raw if kind == BYTES else raw.decode("ascii", "replace")), at + argument
    if kind == TAG or argument > MAX_ITEMS:
        raise CborError("a tag, or too many items")
    return _items(data, at, argument, depth) if kind == ARRAY else _map(data, at, argument, depth)


def _items(data: bytes, at: int, count: int, depth: int) -> tuple[list[Any], int]:
    items = []
    for _ in range(count):
        item, at = _item(data, at, depth - 1)
        items.append(item)
    return items, at


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[Hashable, Any], int]:
    items, at = _items(data, at, 2 * count, depth)
    keys = items[::2]
    if not all(isinstance(key, int | str) for key in keys):
        raise CborError("a key that is no number and no text")
    return dict(zip(keys, items[1::2], strict=True)), at


def _simple(data: bytes, at: int, info: int) -> tuple[float | None, int]:
    if info in NOTHING:
        return None, at
    if info not in FLOATS:
        raise CborError("an unknown simple value")
    layout = FLOATS[info]
    size = struct.calcsize(layout)
    return struct.unpack(layout, _take(data, at, size))[0], at + size


def _argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    if info <= INLINE_MAX:
        return info, at
    size = ARGUMENT_BYTES.get(info)
    if size is None:
        raise CborError("an indefinite length")
    return int.from_bytes(_take(data, at, size), "big"), at + size


def _take(data: bytes, at: int, size: int) -> bytes:
    raw = data[at : at + size]
    if len(raw) < size:
        raise CborError("cut off")
    return raw
