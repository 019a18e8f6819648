"""One MQTT connection: the only module that knows the library (aiomqtt 2.5 over paho-mqtt 2.2).

A small subclass, because four things of ``aiomqtt.Client`` do not fit a link:

- ``publish`` throws the reason code of the PUBACK away. A broker that answers "not authorised"
  looks like one that took the message, and the readings would count as delivered. ``_on_publish``
  is where the code still is, so it is overridden and ``publish`` here returns a future of it (which
  also saves the task and the two timers that aiomqtt spends on each message).
- The library below drops the whole connection over a reason code that the standard does not give
  to PUBACK. Mosquitto sends one (0x95, the message is too large), so ``_handle_puback`` reads the
  packet itself; it also spares two property tables per message.
- ``__aenter__`` connects in a thread that cannot be stopped and turns every error into text; when
  the connection ends before CONNACK it waits for its time-out. ``open_connection`` dials by itself
  (dial.py) and gives the library the finished socket.
- ``_on_socket_register_write`` adds the writer one loop iteration later, when the descriptor may
  belong to somebody else already.

tests/forward/test_mqtt.py pins each of these against the real library and a real broker. There is
one client object per connection: clean start, no session, nothing queued or sent again by the
library. The ring is the session.
"""

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from gateway.config.model import TlsSection
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import BrokerError, connack_error, network_error
from gateway.forward.dial import TlsSocket, dial, tls_context
from gateway.forward.properties import PackedProperties

__all__ = [
    "MAX_WINDOW",
    "Connection",
    "ConnectionSettings",
    "Limits",
    "Will",
    "open_connection",
]

MAX_WINDOW = 64
"""Most messages without acknowledgement on one connection."""
GOODBYE_TIMEOUT_S = 1.0
"""For the DISCONNECT packet to leave."""
PING_SHARE = 0.75
"""Ping after so much of the keep-alive; the answer has as long again: 1.5 of them in all."""
QOS = 1
PUBACK_MIN_BYTES = 2
"""The packet id; a reason code may follow."""

_library_log = logging.getLogger("citylab_gateway.forward.mqtt")
_library_log.setLevel(logging.CRITICAL)
"""The library calls a lost connection an error; the link tells it in its own words, once."""


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says for us when we vanish: retained, QoS 1."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """Everything that one connection needs; ``tls`` is None for plain text."""

    broker: str
    """Name for errors and logs."""
    host: str
    port: int
    client_id: str
    protocol_5: bool = True
    username: str = ""
    password: str | None = None
    tls: TlsSection | None = None
    will: Will
    keepalive_s: float = 30.0
    connect_timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the broker allows, from its CONNACK; the defaults are those of the standard."""

    receive_maximum: int = 65_535
    maximum_packet_bytes: int | None = None
    qos_1: bool = True
    retain: bool = True


class _Reason(NamedTuple):
    """A reason code, whatever its value; of the library's own class only ``value`` is used."""

    value: int


class Connection(aiomqtt.Client):
    """A connection that publishes at QoS 1 and says what became of each message.

    ``ended`` completes when the connection is over, with the reason code of the broker's
    DISCONNECT, or None without one.
    """

    def __init__(self, settings: ConnectionSettings, ready: socket.socket) -> None:
        version_5 = settings.protocol_5
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username or None,
            password=settings.password,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if version_5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if version_5 else True,
            clean_start=True if version_5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=max(1, round(settings.keepalive_s)),
            will=aiomqtt.Will(settings.will.topic, settings.will.payload, QOS, retain=True),
            max_inflight_messages=MAX_WINDOW,
            max_queued_incoming_messages=1,
            logger=_library_log,
        )
        self.limits = Limits()
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._version_5 = version_5
        self._ready = ready
        self._answer: asyncio.Future[int] = self._loop.create_future()
        self._acknowledgements: dict[int, asyncio.Future[int]] = {}
        self._disconnected.add_done_callback(self._on_library_error)
        # Instance attributes over private methods, see the module's text.
        self._client._create_socket = lambda: self._ready  # type: ignore[method-assign] # noqa: SLF001
        self._client._handle_pubackcomp = self._handle_puback  # type: ignore[method-assign] # noqa: SLF001

    async def introduce(self) -> int:
        """Send CONNECT and return the reason code of the CONNACK, 0 for welcome.

        Raises ConnectionResetError when the connection ends before it.
        """
        self._client.connect(
            self._hostname, self._port, self._keepalive, clean_start=self._clean_start
        )
        either: set[asyncio.Future[Any]] = {self._answer, self.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            raise ConnectionResetError
        keepalive = self._client._keepalive or self._keepalive  # noqa: SLF001 - the broker's word
        self._client._keepalive = max(1, int(keepalive * PING_SHARE))  # noqa: SLF001 - no setter
        return self._answer.result()

    def send(
        self, topic: str, payload: bytes, *, retain: bool = False, properties: bytes = b"\0"
    ) -> asyncio.Future[int]:
        """Publish at QoS 1; the future is the reason code of the PUBACK.

        It is cancelled when the connection ends first. With MQTT 3.1.1 the code is always 0.
        """
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        if self.ended.done():
            acknowledged.cancel()
            return acknowledged
        packed = cast("Properties", PackedProperties(properties)) if self._version_5 else None
        info = self._client.publish(topic, payload, QOS, retain, packed)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            acknowledged.cancel()
            self._end(None)
        else:
            self._acknowledgements[info.mid] = acknowledged
        return acknowledged

    async def disconnect(self) -> None:
        """Say goodbye: the broker then forgets the last will. At most a second."""
        if not self.ended.done() and self._client.disconnect() == paho.MQTT_ERR_SUCCESS:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                    await asyncio.shield(self.ended)

    async def close(self) -> None:
        """Free everything. Without ``disconnect`` before it, the broker publishes the last will."""
        self.abort()
        if self._misc_task is not None:
            await asyncio.wait({self._misc_task})

    def abort(self) -> None:
        """End the connection at once."""
        self._client._sock_close()  # noqa: SLF001 - the library has no other way to give up
        self._ready.close()
        self._end(None)

    @property
    def tls_failure(self) -> OSError | None:
        """The TLS alert that ended this connection, if one did."""
        return self._ready.failure if isinstance(self._ready, TlsSocket) else None

    def _end(self, code: int | None) -> None:
        if not self.ended.done():
            self.ended.set_result(code)
        pending, self._acknowledgements = self._acknowledgements, {}
        for acknowledged in pending.values():
            acknowledged.cancel()

    def _on_library_error(self, disconnected: "asyncio.Future[None]") -> None:
        if not disconnected.cancelled():
            disconnected.exception()  # bytes that are no MQTT, for example
        self._end(None)

    def _on_connect(
        self,
        client: paho.Client,  # noqa: ARG002 - the library's signature, here and below
        userdata: Any,  # noqa: ARG002
        flags: paho.ConnectFlags,  # noqa: ARG002
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if self._answer.done():
            return
        self.limits = Limits(
            receive_maximum=getattr(properties, "ReceiveMaximum", 65_535),
            maximum_packet_bytes=getattr(properties, "MaximumPacketSize", None),
            qos_1=getattr(properties, "MaximumQoS", 2) >= QOS,
            retain=bool(getattr(properties, "RetainAvailable", 1)),
        )
        self._answer.set_result(reason_code.value)

    def _on_disconnect(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,  # noqa: ARG002
    ) -> None:
        self._end(reason_code.value if flags.is_disconnect_packet_from_server else None)

    def _handle_puback(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        client = self._client
        packet = client._in_packet["packet"]  # noqa: SLF001
        if cmd != "PUBACK" or len(packet) < PUBACK_MIN_BYTES:
            return paho.MQTT_ERR_PROTOCOL
        mid = int.from_bytes(packet[:PUBACK_MIN_BYTES], "big")
        code = packet[PUBACK_MIN_BYTES] if len(packet) > PUBACK_MIN_BYTES else 0
        if mid not in client._out_messages:  # noqa: SLF001
            return paho.MQTT_ERR_SUCCESS
        reason, properties = cast("ReasonCode", _Reason(code)), cast("Properties", None)
        return client._do_on_publish(mid, reason, properties)  # noqa: SLF001

    def _on_publish(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: ReasonCode,
        properties: Properties,  # noqa: ARG002
    ) -> None:
        acknowledged = self._acknowledgements.pop(mid, None)
        if acknowledged is not None and not acknowledged.done():
            acknowledged.set_result(reason_code.value)

    def _on_socket_register_write(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ARG002
        sock: Any,
    ) -> None:
        self._loop.add_writer(sock.fileno(), client.loop_write)


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
    ready = await dial(settings.host, settings.port, context)
    with contextlib.ExitStack() as undo:
        undo.callback(ready.close)
        connection = Connection(settings, ready)
        undo.callback(connection.abort)
        try:
            code = await connection.introduce()
        except ConnectionResetError:
            if connection.tls_failure is not None:
                raise connection.tls_failure from None
            hint = "; does it accept our client certificate?" if context is not None else ""
            raise BrokerUnreachable(
                settings.broker, "closed", f"the broker hung up instead of answering{hint}"
            ) from None
        if refusal := _refusal(settings, connection.limits, code):
            raise refusal
        undo.pop_all()
    return connection


def _refusal(settings: ConnectionSettings, limits: Limits, code: int) -> BrokerError | None:
    if code != 0:
        return connack_error(settings.broker, code)
    if not limits.qos_1:
        return BrokerRefused(settings.broker, "no_qos1", "the broker takes QoS 0 only")
    return None
