"""The property field of an MQTT 5 PUBLISH (section 3.3.2.3), as bytes."""

import struct
from collections.abc import Sequence

__all__ = ["PackedProperties", "pack_properties"]

MESSAGE_EXPIRY = 0x02
CONTENT_TYPE = 0x03
USER_PROPERTY = 0x26
MAX_EXPIRY_S = 0xFFFF_FFFF


class PackedProperties:
    """Properties that are bytes already; of the library's own class only ``pack`` is used.

    Filling that class takes 30 microseconds a message, a third of what sending one takes.
    """

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes) -> None:
        self._packed = packed

    def pack(self) -> bytes:
        """Return the field as it goes into the packet."""
        return self._packed


def pack_properties(
    content_type: str, user: Sequence[tuple[str, str]], *, expiry_s: int | None = None
) -> bytes:
    """Return the field: its length, expiry, content type (empty: none) and user properties.

    ``expiry_s``: seconds after which the broker may throw the message away; None: never.
    """
    field = bytearray()
    if expiry_s is not None:
        field += struct.pack("!BI", MESSAGE_EXPIRY, min(max(expiry_s, 1), MAX_EXPIRY_S))
    if content_type:
        field += bytes([CONTENT_TYPE]) + _text(content_type)
    for name, value in user:
        field += bytes([USER_PROPERTY]) + _text(name) + _text(value)
    length = bytearray()
    rest = len(field)
    while True:
        rest, digit = divmod(rest, 128)
        length.append(digit | (0x80 if rest else 0))
        if not rest:
            return bytes(length + field)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return struct.pack("!H", len(encoded)) + encoded
