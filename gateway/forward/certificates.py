"""Watches the certificate files of one broker: have they been renewed, and when do they expire.

Everything here reads files, so it is called outside the event loop.
"""

import hashlib
from pathlib import Path

from gateway.config.model import TlsSection
from gateway.forward.dial import tls_context

__all__ = ["CertificateWatch"]

MAX_FILE_BYTES = 4_194_304
"""Of one file; the list of all public authorities has a tenth of it."""

Digests = tuple[bytes, ...]


class CertificateWatch:
    """The files of one broker's ``tls`` section; none of them is kept in memory."""

    def __init__(self, tls: TlsSection) -> None:
        self._tls = tls
        self._files = [Path(file) for file in (tls.ca_file, tls.cert_file, tls.key_file) if file]
        self._certificates = [Path(file) for file in (tls.ca_file, tls.cert_file) if file]
        self._known: Digests | None = None

    def changed(self) -> bool:
        """Say whether a new connection would use other files than when this was last asked.

        The first call only remembers. Files that cannot be used do not count as changed: half of
        a pair that is being replaced, a key that does not belong to its certificate, nothing. A
        file that was only touched has not changed.
        """
        found = self._digests()
        if found is None or found == self._known:
            return False
        first = self._known is None
        if not first and not self._are_usable(found):
            return False
        self._known = found
        return not first

    def expires_s(self) -> float | None:
        """Return when the first certificate of the configured files ends, Unix s.

        None without such files, and while one of them cannot be read: the next connection says so.
        """
        if not self._certificates:
            return None
        # Costs 8 MiB of memory, which a gateway without such files is spared.
        from cryptography import x509  # noqa: PLC0415

        try:
            ends = [
                certificate.not_valid_after_utc.timestamp()
                for file in self._certificates
                for certificate in x509.load_pem_x509_certificates(_read(file))
            ]
        except (OSError, ValueError):
            return None
        return min(ends)

    def _digests(self) -> Digests | None:
        """Return what the files hold, None while one of them is not there."""
        try:
            return tuple(hashlib.sha256(_read(file)).digest() for file in self._files)
        except OSError:
            return None

    def _are_usable(self, found: Digests) -> bool:
        """Try the files as a connection would; they must be the same before and after."""
        try:
            tls_context(self._tls)
        except OSError:
            return False
        return self._digests() == found


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(MAX_FILE_BYTES)
