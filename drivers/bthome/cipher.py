"""Opens encrypted BTHome and refuses what was recorded and is sent again.

Written from bthome.io, "Encryption" (AES-CCM, a tag of 4 bytes) and "BTHome v1".
"""

from collections import deque
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from gateway.reading import Fault

__all__ = ["COUNTER_BYTES", "TAG_BYTES", "Counter", "Opener", "Sealed"]

COUNTER_BYTES = 4
TAG_BYTES = 4
RESTART_AFTER = 4
"""So many different messages in a row with lower, rising counters are a device that restarted."""
REMEMBERED = 4
"""A counter may be used for a few different messages: firmware in the field does so."""


class Sealed(NamedTuple):
    """One encrypted message, taken apart."""

    address: bytes
    header: bytes
    """What stands between address and counter in the nonce."""
    data: bytes
    """Encrypted objects, counter and tag."""
    associated: bytes | None
    """What is authenticated besides; v1 only."""


class Counter:
    """Tells new messages of one device from those that were heard before.

    It begins with whatever it hears first, so a recording is believed until the device speaks.
    """

    def __init__(self) -> None:
        self._last = -1
        self._tags: deque[bytes] = deque(maxlen=REMEMBERED)
        self._lower: list[int] = []

    def knows(self, counter: int, tag: bytes) -> bool:
        """Tell whether exactly this message was taken before: the device has not begun anew."""
        if counter != self._last or tag not in self._tags:
            return False
        self._lower.clear()
        return True

    def take(self, counter: int, tag: bytes) -> bool:
        """Take a message that is known to be genuine and not known yet; tell whether it is fresh.

        A lower counter is that of an old message, or of a device that began anew after a change of
        its battery: the latter goes on with rising ones, and the old ones stay away.
        """
        if counter < self._last and not self._began_anew(counter):
            return False
        if counter != self._last:
            self._last = counter
            self._tags.clear()
        self._lower.clear()
        self._tags.append(tag)
        return True

    def _began_anew(self, counter: int) -> bool:
        if self._lower and counter < self._lower[-1]:
            self._lower.clear()
        if not self._lower or counter > self._lower[-1]:
            self._lower.append(counter)
        return len(self._lower) >= RESTART_AFTER


class Opener:
    """Holds the key of one device and the counter of what it sent."""

    def __init__(self, key: str | None) -> None:
        self._cipher = AESCCM(bytes.fromhex(key), tag_length=TAG_BYTES) if key else None
        self._counter = Counter()

    @property
    def has_key(self) -> bool:
        """Tell whether a key is configured."""
        return self._cipher is not None

    def open(self, sealed: Sealed) -> bytes | Fault | None:
        """Return the objects inside; None if they were taken before, a fault without their key."""
        if self._cipher is None:
            return Fault("key_missing", "the device encrypts: needs bindkey")
        cut = len(sealed.data) - COUNTER_BYTES - TAG_BYTES
        if cut < 1:
            return Fault("short", "encrypted message too short")
        counter_bytes = sealed.data[cut:-TAG_BYTES]
        tag = sealed.data[-TAG_BYTES:]
        counter = int.from_bytes(counter_bytes, "little")
        if self._counter.knows(counter, tag):
            return None
        nonce = sealed.address + sealed.header + counter_bytes
        try:
            opened = self._cipher.decrypt(nonce, sealed.data[:cut] + tag, sealed.associated)
        except InvalidTag:
            return Fault("key_wrong", "bindkey does not fit this message")
        return opened if self._counter.take(counter, tag) else None
