"""Opens the instant readout of one device, and tells new messages from old ones.

Written from Victron Energy, "Extra manufacturer data", 2022-12-14: AES in counter mode, the first
byte of the key in clear. Nothing else protects a message.
"""

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

__all__ = ["BLOCK_BYTES", "COUNTERS", "Counter", "Key"]

BLOCK_BYTES = 16
COUNTERS = 1 << 16
RESTART_AFTER = 4
"""So many messages in a row with lower, rising counters are a device that began anew."""


class Key:
    """The key of one device."""

    def __init__(self, key: str) -> None:
        key_bytes = bytes.fromhex(key)
        self.check_byte = key_bytes[0]
        # One block is all that an advertisement holds: counter mode then is the counter's block
        # encrypted by itself, and what encrypts blocks can be kept.
        self._encryptor = Cipher(AES(key_bytes), ECB()).encryptor()  # noqa: S305

    def open(self, counter: int, sealed: bytes) -> int:
        """Return the bits of one record, of a block at most, the first one lowest."""
        stream = self._encryptor.update(counter.to_bytes(BLOCK_BYTES, "little"))
        return int.from_bytes(sealed, "little") ^ int.from_bytes(stream[: len(sealed)], "little")


class Counter:
    """Tells new messages of one device from those that were heard before.

    Counters rise, and begin again at 0 behind 65535. It begins with whatever it hears first.
    """

    def __init__(self) -> None:
        self._last: int | None = None
        self._lower: list[int] = []

    def take(self, counter: int) -> bool:
        """Take the counter of a message; tell whether it is a fresh one.

        A lower one is that of an old message, or of a device that began anew: the latter goes on
        with rising ones, and the old ones stay away meanwhile.
        """
        last = self._last
        if last is not None:
            ahead = (counter - last) % COUNTERS
            if ahead == 0:
                self._lower.clear()
                return False
            if ahead >= COUNTERS // 2 and not self._began_anew(counter):
                return False
        self._last = counter
        self._lower.clear()
        return True

    def _began_anew(self, counter: int) -> bool:
        if self._lower and counter < self._lower[-1]:
            self._lower.clear()
        if not self._lower or counter > self._lower[-1]:
            self._lower.append(counter)
        return len(self._lower) >= RESTART_AFTER
