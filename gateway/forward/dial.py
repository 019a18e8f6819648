"""Opens a TCP connection, and TLS on it, without ever blocking the event loop.

The MQTT library below would do this in a thread that nothing can stop, and would hand every
failure on as text. Here it can be cancelled, and the exception still says what failed.
"""

import asyncio
import socket
import ssl
from typing import Any

from gateway.config.model import TlsSection

__all__ = ["TlsSocket", "dial", "tls_context"]

TCP_USER_TIMEOUT_MS = 30_000
"""Sent data that is not acknowledged for so long ends the connection (RFC 5482)."""


class TlsSocket(ssl.SSLSocket):
    """Remembers the alert that ended it: a broker that dislikes our certificate says so late."""

    failure: ssl.SSLError | None = None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Read as usual; keep an error that is more than "not now"."""
        try:
            return super().recv(buflen, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self.failure = error
            raise


def tls_context(tls: TlsSection) -> ssl.SSLContext:
    """Return the context for one connection. Reads files, so call it outside the event loop.

    It is made anew for each connection, so that renewed certificates are used without a restart.
    Raises OSError for a file that is missing or is no certificate.
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
        context.load_cert_chain(tls.cert_file, tls.key_file)
    return context


async def dial(host: str, port: int, context: ssl.SSLContext | None) -> socket.socket:
    """Return a connected, non-blocking socket; with a context, after a checked TLS handshake.

    All addresses of the host are tried in turn. Raises OSError (name service, TCP, TLS). The
    caller bounds the time.
    """
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for number, (family, kind, protocol, _, address) in enumerate(addresses, start=1):
        try:
            return await _dial_one(socket.socket(family, kind, protocol), address, host, context)
        except OSError as error:
            if number == len(addresses) or isinstance(error, ssl.SSLError):
                raise
    raise socket.gaierror(socket.EAI_NONAME, "the name has no address")


async def _dial_one(
    plain: socket.socket, address: tuple[Any, ...], host: str, context: ssl.SSLContext | None
) -> socket.socket:
    loop = asyncio.get_running_loop()
    used: socket.socket = plain
    connected = False
    try:
        plain.setblocking(False)  # noqa: FBT003 - the standard library takes it by position
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TCP_USER_TIMEOUT_MS)
        await loop.sock_connect(plain, address)
        if context is not None:
            used = context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
            await _shake_hands(used)
        connected = True
    finally:
        if not connected:
            used.close()
    return used


async def _shake_hands(tls: ssl.SSLSocket) -> None:
    loop = asyncio.get_running_loop()
    while True:
        ready = asyncio.Event()
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            loop.add_reader(tls, ready.set)
        except ssl.SSLWantWriteError:
            loop.add_writer(tls, ready.set)
        else:
            return
        try:
            await ready.wait()
        finally:
            loop.remove_reader(tls)
            loop.remove_writer(tls)
