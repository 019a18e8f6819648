"""Opens one MQTT connection, and says in one word why there is none.

What is asked of a broker, and what it said no with, is decided here; the client itself is
connection.py, the socket below it dial.py and websocket.py. There is one client object per
connection: clean start, no session, nothing queued or sent again by the library. The ring is the
session.
"""

import asyncio
import contextlib

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import BrokerError, connack_error, network_error
from gateway.forward.connection import MAX_WINDOW, NO_SUCH_VERSION, Connection, Stream
from gateway.forward.connection_settings import ConnectionSettings, Limits, Will
from gateway.forward.dial import PlainSocket, TlsSocket, dial, speaks_tls, tls_context
from gateway.forward.websocket import open_websocket

__all__ = [
    "MAX_WINDOW",
    "Connection",
    "ConnectionSettings",
    "Limits",
    "Will",
    "open_connection",
]

CONNACK_BYTE, HTTP_BYTE, TLS_ALERT_BYTE = b"\x20", b"H", b"\x15"
"""What a broker, a web server and a TLS server that complains begin with."""


async def open_connection(settings: ConnectionSettings) -> Connection:
    """Return a connection that the broker has accepted.

    Raises BrokerUnreachable or BrokerRefused, each with a ``cause``, within
    ``connect_timeout_s``.
    """
    broker = settings.broker
    try:
        async with asyncio.timeout(settings.connect_timeout_s):
            return await _open(settings)
    except OSError as error:  # TimeoutError is one of them
        raise network_error(broker, error) from error
    except UnicodeError as error:
        raise BrokerUnreachable(broker, "dns", "this is no host name") from error


async def _open(settings: ConnectionSettings) -> Connection:
    context = None
    if settings.tls is not None:
        try:
            context = await asyncio.to_thread(tls_context, settings.tls)
        except OSError as error:
            detail = f"{error.filename or 'certificate'}: {error.strerror or error}"
            raise BrokerRefused(settings.broker, "tls_files", detail) from error
    sock = await dial(settings.host, settings.port, context)
    with contextlib.ExitStack() as undo:
        undo.callback(sock.close)
        ready: Stream = sock
        try:
            if settings.websocket_path is not None:
                ready = await open_websocket(
                    sock, settings.host, settings.port, settings.websocket_path
                )
            connection = Connection(settings, ready)
            undo.callback(connection.abort)
            code = await connection.introduce()
        except OSError as error:
            if ready.failure is not None:
                raise (ready.take_failure() or error) from error
            if isinstance(error, ConnectionError):
                raise await _hung_up(settings, sock) from error
            raise
        _check_welcome(settings, connection, code)
        undo.pop_all()
    return connection


async def _hung_up(settings: ConnectionSettings, sock: PlainSocket | TlsSocket) -> BrokerError:
    """Return why there was no CONNACK; what came instead of it tells the most."""
    broker, first = settings.broker, sock.first[:1]
    if settings.tls is None and first in (b"", TLS_ALERT_BYTE):
        if first or await speaks_tls(settings.host, settings.port):
            return BrokerRefused(broker, "tls_expected", "it speaks TLS on that port")
    elif first == CONNACK_BYTE:
        return BrokerUnreachable(broker, "protocol", "its CONNACK breaks the rules of MQTT")
    elif first and settings.websocket_path is None:
        told = "HTTP" if first == HTTP_BYTE else "something else than MQTT"
        return BrokerUnreachable(broker, "not_mqtt", f"it answered with {told}")
    hint = "; does it accept our client certificate?" if settings.tls is not None else ""
    return BrokerUnreachable(broker, "closed", f"the broker hung up instead of answering{hint}")


def _check_welcome(settings: ConnectionSettings, connection: Connection, code: int) -> None:
    """Raise why the broker will not have us.

    No variable may hold that error on its way up: it knows the frames that it passed, and so all of
    the connection would be tied to it until the garbage collector comes by.
    """
    broker, reference = settings.broker, connection.server_reference
    if code == NO_SUCH_VERSION:
        other = "3.1.1" if settings.protocol_5 else "5"
        raise connack_error(broker, code, f'set protocol = "{other}"')
    if code != 0:
        more = f"it names the server {reference}" if reference else ""
        raise connack_error(broker, code, more)
    if not connection.limits.qos_1:
        raise BrokerRefused(broker, "no_qos1", "the broker takes QoS 0 only")
