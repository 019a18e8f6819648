"""Opens encrypted notifications (general-glo-ciphering, security suite 0).

Document: DLMS UA Green Book, section 9.2.7; Kamstrup 5512-2584 for the two keys of Danish meters.
"""

from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.reading import Fault

__all__ = ["CIPHERED", "Opened", "open_ciphered"]

CIPHERED = 0xDB
"""Tag of a general-glo-ciphering message."""
TITLE_BYTES = 8
COUNTER_BYTES = 4
TAG_BYTES = 12
AUTHENTICATED = 0x10
ENCRYPTED = 0x20
SUITE_MASK = 0x0F
LONG_LENGTH = 0x80


class Opened(NamedTuple):
    """The message inside, and the counter that rises with each one."""

    message: bytes
    counter: int


def open_ciphered(apdu: bytes, key: bytes, authentication_key: bytes) -> Opened | Fault:
    """Return what is inside, if both keys fit and nothing was changed on the way.

    A message that is encrypted but not authenticated is refused: nothing would vouch for it.
    """
    title, body = _parts(apdu)
    if len(body) < 1 + COUNTER_BYTES + TAG_BYTES:
        return Fault("unknown", "encrypted message of another form")
    security = body[0]
    if security & SUITE_MASK or not security & AUTHENTICATED or not security & ENCRYPTED:
        return Fault("unknown", f"security control {security:#04x}")
    if not key or not authentication_key:
        return Fault("key_missing", "the meter encrypts: needs key and authentication_key")
    counter, secret = body[1 : 1 + COUNTER_BYTES], body[1 + COUNTER_BYTES : -TAG_BYTES]
    mode = modes.GCM(title + counter, body[-TAG_BYTES:], min_tag_length=TAG_BYTES)
    decryptor = Cipher(algorithms.AES(key), mode).decryptor()
    decryptor.authenticate_additional_data(bytes((security,)) + authentication_key)
    try:
        message = decryptor.update(secret) + decryptor.finalize()
    except InvalidTag:
        return Fault("key_wrong", "the keys do not fit this message")
    return Opened(message, int.from_bytes(counter, "big"))


def _parts(apdu: bytes) -> tuple[bytes, bytes]:
    """Return the meter's title and what follows the length; nothing if that does not fit."""
    position = 2 + TITLE_BYTES
    if apdu[1:2] != bytes((TITLE_BYTES,)) or len(apdu) <= position:
        return b"", b""
    first = apdu[position]
    length_bytes = first - LONG_LENGTH if first >= LONG_LENGTH else 0
    body_at = position + 1 + length_bytes
    length = int.from_bytes(apdu[position + 1 : body_at], "big") if length_bytes else first
    body = apdu[body_at:]
    return apdu[2:position], body if len(body) == length else b""
