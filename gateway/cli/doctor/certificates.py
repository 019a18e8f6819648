"""When the certificates in our own files end."""

from collections.abc import Iterable
from pathlib import Path

__all__ = ["SOON_S", "first_end_s"]

SOON_S = 30 * 86_400.0
"""The same as in the alert rules."""
MAX_FILE_BYTES = 4 << 20


def first_end_s(files: Iterable[Path]) -> float | None:
    """Return when the first certificate of these files ends, Unix s; None for none.

    A file that cannot be read is the affair of whoever connects with it.
    """
    from cryptography import x509  # noqa: PLC0415 - 8 MiB of memory, for TLS alone

    ends = []
    for file in files:
        try:
            with file.open("rb") as opened:
                found = x509.load_pem_x509_certificates(opened.read(MAX_FILE_BYTES))
        except (OSError, ValueError):
            continue
        ends += [each.not_valid_after_utc.timestamp() for each in found]
    return min(ends, default=None)
