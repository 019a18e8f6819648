"""Opens a TCP connection, and TLS on it, without ever blocking the event loop.

The MQTT library below would do this in a thread that nothing can stop, and would hand every
failure on as text. Here it can be cancelled, and the exception still says what failed.

The two kinds of socket read ahead, bound what is read for one packet, and remember what ended
them: the library forgets the reason, and with TLS 1.3 a broker that dislikes our certificate says
so only after the handshake, when the first write has failed already.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.config.model import TlsSection

__all__ = [
    "MAX_PACKET_BYTES",
    "READ_BYTES",
    "ClientCertificateRefused",
    "HandshakeCutShort",
    "PacketTooLarge",
    "PlainSocket",
    "TlsSocket",
    "WebSocketError",
    "check_size",
    "dial",
    "speaks_tls",
    "tls_context",
    "when_ready",
]

TCP_USER_TIMEOUT_MS = 30_000
"""Sent data that is not acknowledged for so long ends the connection (RFC 5482)."""
MAX_PACKET_BYTES = 262_144
"""Largest packet that a broker may send us; the largest it has reason to send is a few KiB."""
READ_BYTES = 16_384
"""Most bytes of one read, whatever length a packet claims: a read allocates what it asks for."""
ADDRESS_TIMEOUT_S = 4.0
"""For one of several addresses of a broker."""
PROBE_TIMEOUT_S = 2.0

T = TypeVar("T")


class PacketTooLarge(OSError):
    """The broker announced a packet that is larger than anything it has to say to us."""

    def __init__(self, size: int) -> None:
        super().__init__(f"a packet of {size} bytes; the limit is {MAX_PACKET_BYTES}")


class HandshakeCutShort(ConnectionResetError):
    """The connection ended inside the TLS handshake, without an alert."""

    def __init__(self, *, answered: bool) -> None:
        self.answered = answered
        """The server had begun to speak TLS."""
        super().__init__("hung up in the middle of the TLS handshake")


class ClientCertificateRefused(OSError):
    """The server ended a TLS 1.2 handshake after its own part of it: ours did not please it."""


class WebSocketError(OSError):
    """The other side does not speak MQTT over WebSocket, or speaks it wrongly."""


def check_size(size: int) -> None:
    """Raise PacketTooLarge for more than a packet may have."""
    if size > MAX_PACKET_BYTES:
        raise PacketTooLarge(size)


class _Reading:
    """Reads ahead, and no packet beyond the limit.

    The library asks for a packet in three pieces, two of them a byte or so: each piece read from
    the kernel, or through TLS, would cost more than everything else about an acknowledgement.
    """

    failure: OSError | None = None
    """What ended it, where that is more than "the connection was lost"."""
    first: bytes = b""
    """What the other side sent first: one byte tells MQTT from TLS and HTTP."""
    _ahead: bytes = b""
    _at: int = 0

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:  # noqa: ARG002 - as sockets have it
        """Return at most ``buflen`` bytes; raise PacketTooLarge when that is beyond the limit."""
        if buflen > MAX_PACKET_BYTES:
            self.failure = PacketTooLarge(buflen)
            raise self.failure
        data, at = self._ahead, self._at
        if at == len(data):
            data, at = self._fetch(), 0
            if not self.first:
                self.first = data
            if len(data) <= buflen:
                return data
            self._ahead = data
        part = data[at : at + buflen]
        self._at = at + len(part)
        return part

    def take_failure(self) -> OSError | None:
        """Return what ended it, and forget it.

        The error knows the frames that it passed, and they know this socket: as long as it is kept
        here, only the garbage collector could free any of that.
        """
        failure, self.failure = self.failure, None
        return failure

    def _fetch(self) -> bytes:
        raise NotImplementedError


class PlainSocket(_Reading, socket.socket):
    """A socket that reads no packet beyond the limit."""

    def pending(self) -> int:
        """Return how many bytes may be read although the descriptor is not readable."""
        return len(self._ahead) - self._at

    def _fetch(self) -> bytes:
        return socket.socket.recv(self, READ_BYTES)


class TlsSocket(_Reading, ssl.SSLSocket):
    """The same with TLS; keeps the alert that ended it."""

    def pending(self) -> int:
        """Return how many bytes may be read although the descriptor is not readable."""
        return len(self._ahead) - self._at + ssl.SSLSocket.pending(self)

    def _fetch(self) -> bytes:
        try:
            return ssl.SSLSocket.recv(self, READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failure = error
            raise

    def send(self, data: Any, flags: int = 0) -> int:
        """Write as usual; when that fails, look for the alert that says why."""
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            with contextlib.suppress(OSError):
                self._fetch()  # keeps the alert, if one lies there unread
            raise


def tls_context(tls: TlsSection) -> ssl.SSLContext:
    """Return the context for one connection. Reads files, so call it outside the event loop.

    It is made anew for each connection, so that renewed certificates are used without a restart.
    Raises OSError for a file that is missing, is no certificate, or is a key that does not belong
    to its certificate or is encrypted.
    """
    context = ssl.create_default_context(cafile=tls.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file:
        # From Python 3.13 on the default also refuses certificates that lack extensions which most
        # private authorities never wrote. Chain, dates and host name are checked all the same, and
        # a new Python on the box must not cut off a city.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.sslsocket_class = TlsSocket
    if tls.cert_file:
        # Without a password the library would ask for one at the terminal, and wait.
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    return context


async def dial(host: str, port: int, context: ssl.SSLContext | None) -> PlainSocket | TlsSocket:
    """Return a connected, non-blocking socket; with a context, after a checked TLS handshake.

    All addresses of the host are tried in turn; one that says nothing, as a machine that is
    switched off does, holds up the next for a few seconds only. Raises OSError (name service, TCP,
    TLS). The caller bounds the time of the whole.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(addresses, start=1):
        patience_s = None if number == len(addresses) else ADDRESS_TIMEOUT_S
        try:
            async with asyncio.timeout(patience_s):
                return await _dial_one(PlainSocket(family, kind, protocol), address, host, context)
        except OSError as error:
            if number == len(addresses) or isinstance(error, ssl.SSLError):
                raise
    raise socket.gaierror(socket.EAI_NONAME, "the name has no address")


async def speaks_tls(host: str, port: int) -> bool:
    """Say whether a TLS server answers there; for a better word than "it hung up".

    Nothing but an empty handshake is sent, so nothing is checked either.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = TlsSocket
    try:
        async with asyncio.timeout(PROBE_TIMEOUT_S):
            (await dial(host, port, context)).close()
    except HandshakeCutShort as error:
        return error.answered
    except (ClientCertificateRefused, OSError) as error:
        return isinstance(error, ClientCertificateRefused) or "ALERT" in str(error)
    return True


async def when_ready(sock: socket.socket, attempt: Callable[[], T], *, reads: bool) -> T:
    """Return what ``attempt`` returns once the socket lets it; the caller bounds the time.

    ``reads`` says what a plain socket waits for when it cannot go on; TLS says it by itself.
    """
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        try:
            return attempt()
        except ssl.SSLWantReadError:
            wait_to_read = True
        except ssl.SSLWantWriteError:
            wait_to_read = False
        except BlockingIOError:
            wait_to_read = reads
        try:
            if wait_to_read:
                loop.add_reader(sock, ready.set)
            else:
                loop.add_writer(sock, ready.set)
            await ready.wait()
        finally:
            loop.remove_reader(sock)
            loop.remove_writer(sock)


async def _dial_one(
    plain: PlainSocket, address: tuple[Any, ...], host: str, context: ssl.SSLContext | None
) -> PlainSocket | TlsSocket:
    loop = asyncio.get_running_loop()
    used: PlainSocket | TlsSocket = plain
    connected = False
    try:
        plain.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        await loop.sock_connect(plain, address)
        if context is not None:
            tls = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            assert isinstance(tls, TlsSocket)  # noqa: S101 - the class that the context was given
            used = tls
            await _shake_hands(tls)
        connected = True
    finally:
        if not connected:
            used.close()
    return used


async def _shake_hands(tls: TlsSocket) -> None:
    try:
        await when_ready(tls, tls.do_handshake, reads=True)
    except (ssl.SSLEOFError, ConnectionError) as error:
        raise HandshakeCutShort(answered=tls.cipher() is not None) from error
    except ssl.SSLError as error:
        if error.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE" and tls.cipher() is not None:
            raise ClientCertificateRefused(error.reason) from error
        raise
