"""The MQTT client: the only module that knows the library (aiomqtt 2.5 over paho-mqtt 2.2).

A small subclass, because four things of ``aiomqtt.Client`` do not fit a link:

- ``publish`` throws the reason code of the PUBACK away. A broker that answers "not authorised"
  looks like one that took the message, and the readings would count as delivered. ``_on_publish``
  is where the code still is, so it is overridden and ``send`` here returns a future of it (which
  also saves the task and the two timers that aiomqtt spends on each message).
- The library below drops the whole connection over a reason code that the standard does not give
  to PUBACK. Mosquitto sends one (0x95, the message is too large), so ``_handle_packet`` reads that
  packet itself; it also spares two property tables per message, and ends a connection on which
  something arrives that no broker has to send us.
- ``__aenter__`` connects in a thread that cannot be stopped and turns every error into text; when
  the connection ends before CONNACK it waits for its time-out. ``open_connection`` (mqtt.py) dials
  by itself and gives the library the finished socket.
- ``_on_socket_open`` and ``_on_socket_register_write`` add reader and writer one loop iteration
  later, when the descriptor may belong to somebody else already. The reader then goes on for as
  long as data comes, so that one broker could hold up all others; and it swallows every error.

tests/forward/test_mqtt.py pins each of these against the real library and a real broker. There is
one client object per connection: clean start, no session, nothing queued or sent again by the
library. The ring is the session.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import (
    ENDED_OVERSIZED,
    ENDED_PROTOCOL,
    ENDED_SILENT,
    ENDED_TLS,
    ENDED_WEBSOCKET,
    PACKET_TOO_LARGE,
    Ending,
    disconnect_error,
    server_reference,
)
from gateway.forward.connection_settings import ConnectionSettings, Limits
from gateway.forward.dial import (
    MAX_PACKET_BYTES,
    PacketTooLarge,
    PlainSocket,
    TlsSocket,
    WebSocketError,
)
from gateway.forward.properties import PackedProperties
from gateway.forward.websocket import WebSocketStream

__all__ = [
    "MAX_WINDOW",
    "NO_SUCH_VERSION",
    "Connection",
    "Stream",
]

MAX_WINDOW = 64
"""Most messages without acknowledgement on one connection."""
GOODBYE_TIMEOUT_S = 1.0
"""For the DISCONNECT packet to leave."""
NOTICED_AFTER = 1.5
"""Keep-alives after which a silent broker is left."""
LIBRARY_LOOKS_EVERY_S = 1
"""How often the library compares the time; it does so twice: before the ping and after it."""
QOS = 1
PUBACK_MIN_BYTES = 2
"""The packet id; a reason code may follow."""
MAX_UNREAD_MESSAGES = 32
"""Our receive maximum: what the broker may send before it hears of an acknowledgement."""
READS_IN_A_TURN = 16
"""Each of at most as many packets as there are messages in flight."""
MAX_UNSENT_PACKETS = 1024
"""More than the window and every answer; a broker that asks and never reads ends here."""
MAX_TOPIC_CHARACTERS = 1024
"""Of a received message."""
PACKET_OVERHEAD_BYTES = 9
"""Fixed header, length of the topic, packet id: at most."""
NO_SUCH_VERSION = 0x84
CONNACK_VERSION_3 = 0x01
"""The same in a CONNACK of MQTT 3.1.1."""
CONNACK_BYTES_3 = 2
PROTOCOL_CODE, KEEPALIVE_CODE = 0x82, 0x8D
"""What the library calls its own two reasons to give up."""
OVERRIDDEN = ("_create_socket", "_packet_handle")
"""Methods of the library's client that this module replaces in the object."""
LIBRARY_CALLS = (
    "on_connect",
    "on_disconnect",
    "on_message",
    "on_publish",
    "on_socket_close",
    "on_socket_open",
    "on_socket_register_write",
    "on_socket_unregister_write",
    "on_subscribe",
    "on_unsubscribe",
)
"""What aiomqtt has the library call."""

Stream = PlainSocket | TlsSocket | WebSocketStream

log = logging.getLogger("citylab_gateway.forward")
_library_log = logging.getLogger("citylab_gateway.forward.mqtt")
_library_log.setLevel(logging.CRITICAL)
"""The library calls a lost connection an error; the link tells it in its own words, once."""


class _Reason(NamedTuple):
    """A reason code, whatever its value; of the library's own class only ``value`` is used."""

    value: int


class Connection(aiomqtt.Client):
    """A connection that says what became of each message that it was given.

    ``ended`` completes when the connection is over, with the reason code of the broker's
    DISCONNECT (an Ending, which may tell more), or None when it just broke.
    """

    def __init__(self, settings: ConnectionSettings, ready: Stream) -> None:
        version_5, will = settings.protocol_5, settings.will
        named = bool(settings.username or settings.password)  # a password comes after a user name
        super().__init__(
            settings.host,
            settings.port,
            username=settings.username if named else None,
            password=settings.password,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if version_5 else aiomqtt.ProtocolVersion.V311,
            clean_session=None if version_5 else True,
            clean_start=True if version_5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=max(1, round(settings.keepalive_s)),
            will=aiomqtt.Will(will.topic, will.payload, QOS, retain=will.retain) if will else None,
            max_inflight_messages=MAX_WINDOW,
            max_queued_incoming_messages=1,
            properties=_connect_properties() if version_5 else None,
            logger=_library_log,
        )
        self.limits = Limits()
        self.server_reference = ""
        """Where the broker would have us go, in quotes; empty unless it refused us with that."""
        self.ended: asyncio.Future[int | None] = self._loop.create_future()
        self._settings = settings
        self._version_5 = version_5
        self._ready = ready
        self._answer: asyncio.Future[int] = self._loop.create_future()
        self._acknowledgements: dict[int, asyncio.Future[int]] = {}
        self._rest: asyncio.Handle | None = None
        """Reads on in the next turn of the loop."""
        # Instance attributes over private methods, see the module's text.
        self._client._create_socket = lambda: self._ready  # type: ignore[method-assign] # noqa: SLF001
        self._handle_expected = self._client._packet_handle  # noqa: SLF001
        self._client._packet_handle = self._handle_packet  # type: ignore[method-assign] # noqa: SLF001

    async def introduce(self) -> int:
        """Send CONNECT and return the reason code of the CONNACK, 0 for welcome.

        Raises ConnectionResetError when the connection ends before it.
        """
        self._client.connect(
            self._hostname,
            self._port,
            self._keepalive,
            clean_start=self._clean_start,
            properties=self._properties,
        )
        either: set[asyncio.Future[Any]] = {self._answer, self.ended}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if not self._answer.done():
            raise ConnectionResetError
        keepalive = self._client._keepalive or self._keepalive  # noqa: SLF001 - the broker's word
        self._client._keepalive = _patience_s(keepalive)  # noqa: SLF001 - no setter
        return self._answer.result()

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: bytes = b"\0",
        qos: Literal[0, 1] = 1,
    ) -> asyncio.Future[int]:
        """Publish; the future is the reason code of the PUBACK, with QoS 0 it is 0.

        It is cancelled when the connection ends first. With MQTT 3.1.1 the code is always 0. With
        QoS 0 it comes when the socket took the message. What is larger than the broker's maximum
        packet size is not sent: the code is the one that the broker would answer.
        """
        acknowledged: asyncio.Future[int] = self._loop.create_future()
        if self.ended.done():
            acknowledged.cancel()
            return acknowledged
        limit = self.limits.maximum_packet_bytes
        if limit is not None and limit < (
            len(payload) + len(topic.encode()) + len(properties) + PACKET_OVERHEAD_BYTES
        ):
            acknowledged.set_result(PACKET_TOO_LARGE)
            return acknowledged
        packed = cast("Properties", PackedProperties(properties)) if self._version_5 else None
        info = self._client.publish(topic, payload, qos, retain, packed)
        if info.rc != paho.MQTT_ERR_SUCCESS or info.mid in self._acknowledgements:
            acknowledged.cancel()  # the second: one message was never acknowledged, 65,535 later
            self._end(None)
        else:
            self._acknowledgements[info.mid] = acknowledged
        return acknowledged

    async def subscribe(self, topics: Sequence[str]) -> None:  # type: ignore[override]
        """Subscribe to topic filters at QoS 1; return when the broker has granted them all.

        Raises BrokerRefused (cause "subscribe") when it refuses one, BrokerUnreachable when it
        does not answer within ``connect_timeout_s`` or the connection ends.
        """
        broker, granted = self._settings.broker, self._loop.create_future()
        if self._version_5:
            wanted: list[Any] = [(topic, SubscribeOptions(QOS)) for topic in topics]
        else:
            wanted = [(topic, QOS) for topic in topics]
        result, packet_id = self._client.subscribe(wanted)
        if result != paho.MQTT_ERR_SUCCESS or packet_id is None:
            raise disconnect_error(broker, None)
        self._pending_subscribes[packet_id] = granted
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                await asyncio.wait({granted, self.ended}, return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError as error:
            raise BrokerUnreachable(broker, "timeout", "no SUBACK") from error
        finally:
            self._pending_subscribes.pop(packet_id, None)
        if not granted.done():
            raise disconnect_error(broker, self.ended.result())
        codes = [code.value for code in granted.result()]
        refused = [
            f"{topic} 0x{code:02X}"
            for topic, code in zip(topics, codes, strict=False)
            if code > QOS
        ]
        if refused or len(codes) != len(topics):
            raise BrokerRefused(broker, "subscribe", f"SUBACK {', '.join(refused)}")

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
        self._let_go()

    def _let_go(self) -> None:
        """Make the library forget this object, which knows the library.

        So what a dead connection holds is free at once. In a circle it would lie there until the
        collector comes by, which counts objects, not bytes: with TLS it is a MiB of certificates.
        """
        for name in LIBRARY_CALLS:
            setattr(self._client, name, None)
        for name in OVERRIDDEN:
            vars(self._client).pop(name, None)
        self._ready.take_failure()

    def _end(self, code: int | None) -> None:
        if not self.ended.done():
            self.ended.set_result(code)
        pending, self._acknowledgements = self._acknowledgements, {}
        for acknowledged in pending.values():
            acknowledged.cancel()

    def _on_connect(
        self,
        client: paho.Client,  # noqa: ARG002 - the library's signature, here and below
        userdata: Any,  # noqa: ARG002
        flags: paho.ConnectFlags,  # noqa: ARG002
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        self.limits = Limits(
            receive_maximum=getattr(properties, "ReceiveMaximum", 0) or 65_535,
            maximum_packet_bytes=getattr(properties, "MaximumPacketSize", 0) or None,
            qos_1=getattr(properties, "MaximumQoS", 2) >= QOS,
            retain=bool(getattr(properties, "RetainAvailable", 1)),
        )
        self.server_reference = _reference(properties)
        self._answer.set_result(reason_code.value)

    def _on_disconnect(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        flags: paho.DisconnectFlags,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            reference = _reference(properties)
            more = f"it names the server {reference}" if reference else ""
            self._end(Ending(reason_code.value, more))
        else:
            self._end(_our_ending(reason_code.value, self._ready.failure))

    def _handle_packet(self) -> MQTTErrorCode:
        """Handle PUBACK, refuse what no broker has to send us, leave the rest to the library."""
        client = self._client
        command = client._in_packet["command"]  # noqa: SLF001
        kind = command & 0xF0
        if kind == paho.PUBACK:
            return self._handle_puback()
        if kind == paho.CONNACK:
            expected = not self._answer.done()
            self._note_version_refused()
        elif kind == paho.PUBLISH:
            expected = command & 0x06 <= QOS << 1
        else:
            expected = kind in (paho.PINGRESP, paho.SUBACK, paho.DISCONNECT)
        if not expected or len(client._out_packet) > MAX_UNSENT_PACKETS:  # noqa: SLF001
            return paho.MQTT_ERR_PROTOCOL
        return self._handle_expected()

    def _note_version_refused(self) -> None:
        """Keep the one refusal of MQTT 3.1.1 that the library answers with an end."""
        packet = self._client._in_packet["packet"]  # noqa: SLF001
        refused = len(packet) == CONNACK_BYTES_3 and packet[1] == CONNACK_VERSION_3
        if refused and not self._version_5 and not self._answer.done():
            self._answer.set_result(NO_SUCH_VERSION)

    def _handle_puback(self) -> MQTTErrorCode:
        client = self._client
        packet = client._in_packet["packet"]  # noqa: SLF001
        if len(packet) < PUBACK_MIN_BYTES:
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

    def _on_message(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        message: paho.MQTTMessage,
    ) -> None:
        """Hand a message on at once; nothing queues."""
        if self._settings.receive is None:
            return
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        if 0 < len(topic) <= MAX_TOPIC_CHARACTERS:
            self._settings.receive(topic, bytes(message.payload))
        else:
            log.debug("%s: dropped a message with an impossible topic", self._settings.broker)

    def _on_socket_open(
        self,
        client: paho.Client,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        sock: Any,
    ) -> None:
        self._loop.add_reader(sock.fileno(), self._read)
        self._misc_task = self._loop.create_task(self._misc_loop())
        self._misc_task.add_done_callback(self._misc_ended)

    def _misc_ended(self, task: "asyncio.Task[None]") -> None:  # noqa: ARG002 - as asyncio calls it
        """Let go of the task: the error that ended it knows its frame, and that this object."""
        self._misc_task = None

    def _read(self) -> None:
        """Read what has come, a share of it at a time."""
        completed = False
        try:
            for _ in range(READS_IN_A_TURN):
                if self._client.loop_read() != paho.MQTT_ERR_SUCCESS or not self._ready.pending():
                    break
            else:
                if self._rest is None:
                    self._rest = self._loop.call_soon(self._read_rest)
            completed = True
        finally:
            if not completed:  # a defect, which the loop reports; no loop of defects after it
                self.abort()

    def _read_rest(self) -> None:
        self._rest = None
        self._read()

    def _on_socket_register_write(
        self,
        client: paho.Client,
        userdata: Any,  # noqa: ARG002
        sock: Any,
    ) -> None:
        self._loop.add_writer(sock.fileno(), client.loop_write)


def _connect_properties() -> Properties:
    """Return what we ask of the broker; no session expiry and no topic alias are its defaults."""
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    properties.ReceiveMaximum = MAX_UNREAD_MESSAGES
    return properties


def _patience_s(keepalive: int) -> int:
    """Return after how long the library pings, and waits for the answer again."""
    return max(1, int(NOTICED_AFTER * keepalive / 2 - LIBRARY_LOOKS_EVERY_S))


def _reference(properties: Properties | None) -> str:
    reference = getattr(properties, "ServerReference", "")
    return server_reference(reference) if reference else ""


def _our_ending(code: int, failure: OSError | None) -> Ending | None:
    """Return why the library or we gave up a connection, None where it just broke."""
    if isinstance(failure, PacketTooLarge):
        return Ending(ENDED_OVERSIZED, str(failure))
    if isinstance(failure, WebSocketError):
        return Ending(ENDED_WEBSOCKET, str(failure))
    if failure is not None:
        return Ending(ENDED_TLS, str(failure))
    if code == KEEPALIVE_CODE:
        return Ending(ENDED_SILENT, "no answer to a ping")
    if code == PROTOCOL_CODE:
        return Ending(ENDED_PROTOCOL, "the broker sent what is no MQTT")
    return None
