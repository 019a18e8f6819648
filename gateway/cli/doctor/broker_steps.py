"""The steps on the way to a broker. Each raises BrokerUnreachable or BrokerRefused, in time."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from typing import NamedTuple

from gateway.config.model import BrokerSection
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import network_error
from gateway.forward.connection import Connection
from gateway.forward.dial import TlsSocket, dial, tls_context

__all__ = ["Handshake", "connect", "publish", "resolve", "shake_hands"]


class Handshake(NamedTuple):
    """What a TLS handshake agreed on."""

    version: str
    ends_s: float | None
    """When the broker's certificate ends, Unix s."""


@contextlib.contextmanager
def _named(broker: BrokerSection) -> Iterator[None]:
    """Turn what a socket raises into what is known of brokers."""
    try:
        yield
    except OSError as error:
        raise network_error(broker.name, error) from error
    except UnicodeError as error:
        raise BrokerUnreachable(broker.name, "dns", "this is no host name") from error


async def resolve(broker: BrokerSection, timeout_s: float) -> int:
    """Return how many addresses the broker's name has."""
    loop = asyncio.get_running_loop()
    with _named(broker):
        try:
            async with asyncio.timeout(timeout_s):
                found = await loop.getaddrinfo(broker.host, broker.port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise BrokerUnreachable(broker.name, "dns", "the name server is silent") from error
    return len(found)


async def connect(broker: BrokerSection, timeout_s: float) -> float:
    """Connect and hang up; return how long it took, in s."""
    began_s = time.monotonic()
    with _named(broker):
        async with asyncio.timeout(timeout_s):
            (await dial(broker.host, broker.port, None)).close()
    return time.monotonic() - began_s


async def shake_hands(broker: BrokerSection, timeout_s: float) -> Handshake:
    """Connect with TLS, certificates checked, and hang up."""
    try:
        context = await asyncio.to_thread(tls_context, broker.tls)
    except OSError as error:
        detail = f"{error.filename or 'certificate'}: {error.strerror or error}"
        raise BrokerRefused(broker.name, "tls_files", detail) from error
    with _named(broker):
        async with asyncio.timeout(timeout_s):
            tls = await dial(broker.host, broker.port, context)
    try:
        assert isinstance(tls, TlsSocket)  # noqa: S101 - it was given a context
        ends = (tls.getpeercert() or {}).get("notAfter")
        version = tls.version() or "TLS"
    finally:
        tls.close()
    return Handshake(version, ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None)


async def publish(
    broker: BrokerSection, connection: Connection, topic: str, timeout_s: float
) -> tuple[int, float]:
    """Send a message without content that the broker does not keep.

    Returns the reason code of its acknowledgement, and how long that took, in s.
    """
    began_s = time.monotonic()
    acknowledged = connection.send(topic, b"")
    await asyncio.wait({acknowledged}, timeout=timeout_s)
    if not acknowledged.done():
        raise BrokerUnreachable(broker.name, "ack_timeout", "no acknowledgement")
    if acknowledged.cancelled():
        raise BrokerUnreachable(broker.name, "not_authorised", "the broker hung up")
    return acknowledged.result(), time.monotonic() - began_s
