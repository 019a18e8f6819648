"""The memory of one window: keyed tokens in a table of fixed size, overwritten at its end.

No Python set: what was in one stays in freed memory until something else comes to lie there. Key
and table are byte arrays that are overwritten in place.
"""

import os
from hashlib import blake2b

__all__ = ["MAX_DEVICES", "CountingWindow"]

MAX_DEVICES = 20_000
"""Different addresses in one window; more are not counted, but that there were more is said."""
SLOTS = 1 << 15
"""Of the table; a power of two, and roomy enough for short searches."""
TOKEN_BYTES = 8
KEY_BYTES = 16
SOURCE = "/dev/urandom"
"""Read into place: ``os.urandom`` would leave a copy of the key that cannot be overwritten."""
# O_NONBLOCK changes nothing here, where nothing waits; it tells so to whoever watches the loop.
OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
RANDOM = 0x80
ZONE = 0x7F
"""A note is 0 for an empty slot, else one more than the zone, with ``RANDOM`` for its address."""


class CountingWindow:
    """Tells the first advertisement of a device in a window from the others.

    The token of an address is its BLAKE2b under a key that is drawn for the window (PRIV-02), cut
    to 64 bits: among 20,000 devices two have the same one in one of 90 thousand million windows.
    """

    def __init__(self) -> None:
        self._key = bytearray(KEY_BYTES)
        self._tokens = bytearray(SLOTS * TOKEN_BYTES)
        self._notes = bytearray(SLOTS)
        self._table = memoryview(self._tokens).cast("Q")
        self._devices = 0
        self._overflows = 0
        self._draw_key()

    def is_empty(self) -> bool:
        """Tell whether nothing of anybody is in the table (a test asks)."""
        return not (self._devices or self._overflows or any(self._notes) or any(self._tokens))

    def add(self, address: str, zone: int, *, random: bool) -> None:
        """Note a device in a zone, 0 the nearest; heard again, in the nearer of both."""
        # copy() of a keyed object: it holds the key outside of Python, and wipes it when it goes.
        keyed = (self._random if random else self._public).copy()
        keyed.update(address.encode())
        token = int.from_bytes(keyed.digest())
        table, notes = self._table, self._notes
        at = token & (SLOTS - 1)
        while notes[at] and table[at] != token:
            at = (at + 1) & (SLOTS - 1)
        if notes[at]:
            if zone + 1 < notes[at] & ZONE:
                notes[at] = (notes[at] & RANDOM) | (zone + 1)
        elif self._devices < MAX_DEVICES:
            table[at] = token
            notes[at] = zone + 1 | (RANDOM if random else 0)
            self._devices += 1
        else:
            self._overflows += 1

    def close(self, zones: int) -> tuple[list[int], list[int], int]:
        """Forget everything; return devices by zone, public and random, and what found no room."""
        public = [self._notes.count(zone + 1) for zone in range(zones)]
        random = [self._notes.count((zone + 1) | RANDOM) for zone in range(zones)]
        overflows = self._overflows
        self._notes[:] = bytes(SLOTS)
        self._tokens[:] = bytes(SLOTS * TOKEN_BYTES)
        self._devices = self._overflows = 0
        self._draw_key()
        return public, random, overflows

    def _draw_key(self) -> None:
        """Overwrite the key with a new one."""
        source = os.open(SOURCE, OPEN_FLAGS)
        try:
            if os.readv(source, [self._key]) != KEY_BYTES:
                raise OSError("the system gave no random key")
        finally:
            os.close(source)
        self._public, self._random = (
            blake2b(digest_size=TOKEN_BYTES, key=self._key, person=kind)
            for kind in (b"public", b"random")
        )
