"""Pins what forward/mqtt.py takes from the library, against the real library and a real broker."""

import ast
import asyncio
import contextlib
import inspect
import random
import re
import socket
import ssl
import tracemalloc
from importlib.metadata import version
from pathlib import Path

import aiomqtt
import paho.mqtt.client as paho
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

import gateway.forward
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import (
    _CONNACK_REFUSED,
    _CONNACK_UNREACHABLE,
    _DISCONNECT,
    _NETWORK,
    EXPLANATIONS,
    connack_error,
    disconnect_error,
    network_error,
)
from gateway.forward.dial import (
    MAX_PACKET_BYTES,
    ClientCertificateRefused,
    HandshakeCutShort,
    PacketTooLarge,
    WebSocketError,
)
from gateway.forward.mqtt import Connection, Will, open_connection
from gateway.forward.properties import pack_properties
from tests.brokers import LOOPBACK, Mosquitto, free_port, mosquitto_password_file
from tests.forward.fake_broker import FakeBroker, packet, publish_packet, settings
from tests.observe.waiting import until

ERRORS = {"BrokerRefused", "BrokerUnreachable"}


def _tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError()
    error.reason = reason
    return error


def _untrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError()
    error.verify_code, error.verify_message = 19, "self-signed certificate in certificate chain"
    return error


TLS_ERRORS = [
    *map(_tls_error, ("UNSUPPORTED_PROTOCOL", "WRONG_VERSION_NUMBER", "NO_SHARED_CIPHER")),
    *map(_tls_error, ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "TLSV1_ALERT_UNKNOWN_CA")),
    _untrusted(),
    socket.gaierror(),
    HandshakeCutShort(answered=True),
    HandshakeCutShort(answered=False),
    ClientCertificateRefused(),
    PacketTooLarge(1),
    WebSocketError(),
]


def test_the_private_parts_that_are_used_are_there() -> None:
    """A new release of the library that moves them fails here, and not in a street cabinet."""
    assert version("aiomqtt").startswith("2.")
    assert version("paho-mqtt").startswith("2.")
    for name in (
        *("_on_connect", "_on_disconnect", "_on_publish", "_on_message"),
        *("_on_socket_open", "_on_socket_register_write"),
    ):
        ours = inspect.signature(getattr(Connection, name)).parameters
        theirs = inspect.signature(getattr(aiomqtt.Client, name)).parameters
        assert list(ours) == list(theirs)
    for name in ("_create_socket", "_packet_handle", "_do_on_publish", "_sock_close"):
        assert callable(getattr(paho.Client, name))


def test_properties_are_packed_as_the_library_packs_them() -> None:
    theirs = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    theirs.ContentType = "application/x-ndjson"
    user = [("gateway", "dokk1-03"), ("from", "1"), ("to", "200"), ("schema", "ø" * 60)]
    theirs.UserProperty = user
    ours = pack_properties("application/x-ndjson", user)
    assert ours == theirs.pack()  # type: ignore[no-untyped-call]
    theirs.MessageExpiryInterval = 86_400
    ours = pack_properties("application/x-ndjson", user, expiry_s=86_400)
    assert ours == theirs.pack()  # type: ignore[no-untyped-call]
    assert pack_properties("", ()) == b"\0"


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_the_reason_code_of_each_puback_comes_through(tmp_path: Path, protocol: str) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic write allowed/#\n", encoding="ascii")
    async with Mosquitto(tmp_path, lines=[f"acl_file {acl}"]) as broker:
        connection = await open_connection(settings(broker.port, protocol_5=protocol == "5"))
        good = connection.send("allowed/a", b"1")
        bad = connection.send("forbidden/a", b"2")
        codes = [await good, await bad]
        await connection.close()
    # 0x10: accepted, nobody subscribes. MQTT 3.1.1 has no way to say no: Mosquitto says yes.
    assert codes == ([0x10, 0x87] if protocol == "5" else [0, 0])


@pytest.mark.parametrize("code", [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x95, 0x97, 0x99, 0xFF])
async def test_any_reason_code_comes_through_even_one_that_no_standard_knows(code: int) -> None:
    async with FakeBroker(answer=lambda _: code) as broker:
        connection = await open_connection(settings(broker.port))
        assert await connection.send("a", b"1") == code
        assert await connection.send("a", b"2") == code
        await connection.close()


async def test_what_the_broker_allows_is_read_from_its_connack() -> None:
    properties = bytes([0x21, 0, 9, 0x27, 0, 0, 8, 0, 0x25, 0])
    packet = bytes([0x20, 3 + len(properties), 0, 0, len(properties)]) + properties
    async with FakeBroker(connack=packet) as broker:
        connection = await open_connection(settings(broker.port))
        limits = connection.limits
        await connection.close()
    assert (limits.receive_maximum, limits.maximum_packet_bytes) == (9, 2048)
    assert limits.qos_1
    assert not limits.retain


async def test_what_is_in_flight_is_cancelled_with_the_connection() -> None:
    async with FakeBroker(answer=lambda _: None) as broker:
        connection = await open_connection(settings(broker.port))
        waiting = [connection.send("a", b"1") for _ in range(3)]
        connection.abort()
        assert all(future.cancelled() for future in waiting)
        assert connection.send("a", b"late").cancelled()
        assert await connection.ended is None
        await connection.close()


async def test_the_reason_of_a_disconnect_comes_through() -> None:
    async with FakeBroker(answer=lambda _: -0x8E) as broker:
        connection = await open_connection(settings(broker.port))
        connection.send("a", b"1")
        assert await connection.ended == 0x8E
        await connection.close()


async def test_an_attempt_can_be_given_up_at_any_time() -> None:
    """Nothing is left behind: neither a thread, nor a socket, nor a task."""
    async with FakeBroker(connack=b"") as broker:
        task = asyncio.create_task(open_connection(settings(broker.port)))
        await until(lambda: broker.connections)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_refusals_carry_their_cause() -> None:
    with pytest.raises(BrokerUnreachable) as unreachable:
        await open_connection(settings(free_port()))
    assert unreachable.value.cause == "refused"
    with pytest.raises(BrokerUnreachable) as nameless:
        await open_connection(settings(1883, host="no-such-host.invalid"))
    assert nameless.value.cause == "dns"
    with pytest.raises(BrokerUnreachable) as senseless:
        await open_connection(settings(1883, host="a" * 70 + ".example"))
    assert senseless.value.cause == "dns"
    async with FakeBroker(connack=bytes([0x20, 3, 0, 0x86, 0])) as broker:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(settings(broker.port))
    assert refused.value.cause == "login"
    async with FakeBroker(connack=b"") as broker:
        with pytest.raises(BrokerUnreachable) as silent:
            await open_connection(settings(broker.port, connect_timeout_s=0.3))
    assert silent.value.cause == "timeout"


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_qos_0_is_done_when_the_socket_took_it(tmp_path: Path, protocol: str) -> None:
    heard: list[tuple[str, bytes]] = []

    def receive(topic: str, payload: bytes) -> None:
        heard.append((topic, payload))

    version_5 = protocol == "5"
    async with Mosquitto(tmp_path) as broker:
        city = await open_connection(
            settings(broker.port, client_id="city", receive=receive, protocol_5=version_5)
        )
        await city.subscribe(["a/#", "b"])
        connection = await open_connection(settings(broker.port, protocol_5=version_5))
        codes = [await connection.send("a/1", b"%d" % n, qos=0) for n in range(5)]
        codes.append(await connection.send("b", b"6"))
        await until(lambda: len(heard) == 6)
        await connection.close()
        await city.close()
    assert codes == [0, 0, 0, 0, 0, 0]
    assert heard == [*(("a/1", b"%d" % n) for n in range(5)), ("b", b"6")]


async def test_qos_0_is_cancelled_with_the_connection() -> None:
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port))
        waiting = [connection.send("a", b"1", qos=0) for _ in range(3)]
        connection.abort()
        assert all(future.cancelled() for future in waiting)
        await connection.close()


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_message_published_at_qos_2_arrives_at_qos_1(tmp_path: Path, protocol: str) -> None:
    heard: list[bytes] = []
    version_5 = protocol == "5"
    async with Mosquitto(tmp_path) as broker:
        async with aiomqtt.Client(LOOPBACK, broker.port) as other:
            await other.publish("retained", b"at 2", qos=2, retain=True)
        connection = await open_connection(
            settings(broker.port, receive=lambda _, data: heard.append(data), protocol_5=version_5)
        )
        await connection.subscribe(["retained"])
        await until(lambda: heard == [b"at 2"])
        assert await connection.send("x", b"still here") in {0, 0x10}
        await connection.close()


async def test_a_subscription_that_is_refused_says_which() -> None:
    async with FakeBroker(granted=lambda _: bytes([1, 0x87])) as broker:
        connection = await open_connection(settings(broker.port))
        with pytest.raises(BrokerRefused) as refused:
            await connection.subscribe(["fine", "secret/#"])
        await connection.close()
    assert refused.value.cause == "subscribe"
    assert refused.value.detail == "SUBACK secret/# 0x87"


async def test_a_subscription_without_answer_ends() -> None:
    async with FakeBroker(granted=lambda _: None) as broker:
        connection = await open_connection(settings(broker.port, connect_timeout_s=0.3))
        with pytest.raises(BrokerUnreachable) as silent:
            await connection.subscribe(["a"])
        assert silent.value.cause == "timeout"
        task = asyncio.create_task(connection.subscribe(["b"]))
        await until(lambda: "b" in broker.subscribed)
        await broker.say(bytes([0xE0, 2, 0x8E, 0]))
        with pytest.raises(BrokerUnreachable) as lost:
            await task
        assert lost.value.cause == "taken_over"
        with pytest.raises(BrokerUnreachable):
            await connection.subscribe(["c"])
        await connection.close()


async def test_messages_with_impossible_topics_are_dropped_and_the_rest_is_heard() -> None:
    heard: list[tuple[str, bytes]] = []
    async with FakeBroker() as broker:
        connection = await open_connection(
            settings(broker.port, receive=lambda *message: heard.append(message))
        )
        await connection.subscribe(["#"])
        await broker.say(publish_packet(b"\xff\xfe", b"no text"))
        await broker.say(publish_packet(b"t" * 5000, b"long"))
        await broker.say(publish_packet(b"", b"none"))
        await broker.say(publish_packet("ø/å".encode(), b"fine", qos=1))
        await until(lambda: heard)
        assert not connection.ended.done()
        await connection.close()
    assert heard == [("ø/å", b"fine")]


async def test_what_nobody_subscribed_to_is_not_kept() -> None:
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port))
        for _ in range(50):
            await broker.say(publish_packet(b"advertisement", b"x" * 1000, qos=1))
        assert await connection.send("a", b"1") == 0
        assert connection._queue.empty()
        await connection.close()


@pytest.mark.parametrize(
    "bad",
    [
        publish_packet(b"a", b"at qos 2", qos=2),
        publish_packet(b"a", b"at qos 3", qos=3),
        packet(0x20, bytes(3)),
        packet(0x50, bytes([0, 1])),
        packet(0x62, bytes([0, 1])),
        packet(0x70, bytes([0, 1])),
        packet(0xC0, b""),
        packet(0xF0, bytes(2)),
        packet(0x00, b""),
        packet(0x40, b"\0"),
        bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        packet(0x30, b"\xff\xff"),
    ],
    ids=[
        *("qos2", "qos3", "second-connack", "pubrec", "pubrel", "pubcomp", "pingreq", "auth"),
        *("reserved", "short-puback", "endless-length", "topic-longer-than-packet"),
    ],
)
async def test_what_no_broker_has_to_send_ends_the_connection(bad: bytes) -> None:
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port))
        await broker.say(bad)
        error = disconnect_error("city", await connection.ended)
        await connection.close()
    assert error.cause == "protocol"


@pytest.mark.parametrize("seed", range(60), ids=lambda seed: f"seed{seed}")
async def test_sec_06_noise_of_any_shape_is_survived(seed: int) -> None:
    """Whole packets with wrong insides: at worst the connection ends, never with a defect."""
    chance = random.Random(seed)
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context.get("exception"))
    )
    kinds = [*range(256), *[0x20, 0x30, 0x32, 0x40, 0x90, 0xD0, 0xE0] * 20]
    for version_5 in (True, False):
        async with FakeBroker() as broker:
            if not version_5:
                broker.connack = packet(0x20, b"\0\0")
            connection = await open_connection(settings(broker.port, protocol_5=version_5))
            connection.send("a", b"1")
            for _ in range(30):
                body = chance.randbytes(chance.choice([0, 1, 2, 3, 5, 20, 200]))
                head = chance.choice([b"", b"\0\1", b"\0\1a", b"\0\1\0"])
                await broker.say(packet(chance.choice(kinds), head + body))
                await asyncio.sleep(0)
            broker.writer.close() if broker.writer else None
            ended = await connection.ended
            assert disconnect_error("city", ended).cause in EXPLANATIONS
            await connection.close()
    assert reported == []


async def test_a_broker_that_asks_and_never_reads_costs_little_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(data: bytes) -> int:
        raise BlockingIOError

    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port))
        monkeypatch.setattr(connection._ready, "send", full)
        await broker.say(publish_packet(b"a", b"", qos=1) * 2000)
        assert disconnect_error("city", await connection.ended).cause == "protocol"
        assert len(connection._client._out_packet) < 1100
        await connection.close()


async def test_a_broker_that_never_stops_talking_leaves_time_for_the_others() -> None:
    heard, shares = [0], [0]

    def receive(topic: str, payload: bytes) -> None:
        heard[0] += 1

    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port, receive=receive))
        await connection.subscribe(["#"])
        await broker.say(publish_packet(b"a", b"x") * 5000)
        while sum(shares) < 5000:
            await asyncio.sleep(0)
            shares.append(heard[0])
            heard[0] = 0
        await connection.close()
    assert sum(shares) == 5000
    assert max(shares) < 100


async def test_a_defect_ends_the_connection_and_is_reported() -> None:
    reported: list[object] = []

    def receive(topic: str, payload: bytes) -> None:
        raise ZeroDivisionError

    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: reported.append(context["exception"])
    )
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port, receive=receive))
        await connection.subscribe(["#"])
        await broker.say(publish_packet(b"a", b"x"))
        assert await connection.ended is None
        await connection.close()
    assert isinstance(reported[0], ZeroDivisionError)


@pytest.mark.parametrize("when", ["connack", "later"])
async def test_a_packet_beyond_all_measure_is_not_read(when: str) -> None:
    """Neither is memory set aside for what it claims to be, nor is it kept piece by piece."""
    huge = bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F])  # 256 MiB
    tracemalloc.start()
    try:
        async with FakeBroker() as broker:
            if when == "connack":
                broker.connack = huge
                with pytest.raises(BrokerUnreachable) as told:
                    await open_connection(settings(broker.port))
                error = told.value
            else:
                connection = await open_connection(settings(broker.port))
                await broker.say(huge + bytes(1_000_000))
                error = disconnect_error("city", await connection.ended)
                await connection.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.cause == "oversized"
    assert "268435455" in error.detail
    assert peak < 8_000_000


async def test_the_largest_packet_that_is_allowed_is_heard() -> None:
    heard: list[int] = []
    async with FakeBroker() as broker:
        connection = await open_connection(
            settings(broker.port, receive=lambda _, data: heard.append(len(data)))
        )
        await connection.subscribe(["#"])
        await broker.say(publish_packet(b"a", bytes(MAX_PACKET_BYTES - 20)))
        await until(lambda: heard == [MAX_PACKET_BYTES - 20])
        await connection.close()


async def test_what_connect_asks_for() -> None:
    """Clean start, no session, bounded packets, the will; a password needs no user name."""
    async with FakeBroker() as broker:
        for changes in (
            {"username": "box", "password": "secret"},
            {"password": "token"},
            {"will": None},
            {"will": Will("dead", b"", retain=False), "protocol_5": False},
        ):
            with contextlib.suppress(BrokerUnreachable):  # it answers in MQTT 5 only
                await (await open_connection(settings(broker.port, **changes))).close()
    both, token, without, old = broker.connects
    properties = bytes([8, 0x27]) + MAX_PACKET_BYTES.to_bytes(4, "big") + bytes([0x21, 0, 32])
    assert both[:10] == b"\0\4MQTT\5" + bytes([0b1110_1110, 0, 30])
    assert sorted(both[10:19]) == sorted(properties)
    assert both.endswith(b"\0\x03box\0\x06secret")
    assert token[7] == 0b1110_1110
    assert token.endswith(b"\0\0\0\5token")
    assert without[7] == 0b0000_0010
    assert without.endswith(b"\0\3one")
    assert old == b"\0\4MQTT\4" + bytes([0b0000_1110, 0, 30]) + b"\0\3one\0\4dead\0\0"


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_user_name_and_password(tmp_path: Path, protocol: str) -> None:
    file = mosquitto_password_file(tmp_path / "passwords", {"box": "right"})
    version_5 = protocol == "5"
    lines = [f"password_file {file}"]
    async with Mosquitto(tmp_path, lines=lines, anonymous=False) as broker:
        keys = {"username": "box", "protocol_5": version_5}
        connection = await open_connection(settings(broker.port, password="right", **keys))
        assert await connection.send("a", b"1") in {0, 0x10}
        await connection.close()
        with pytest.raises(BrokerRefused) as wrong:
            await open_connection(settings(broker.port, password="wrong-canary", **keys))
    assert wrong.value.cause == "login"
    assert "canary" not in str(wrong.value)


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_nothing_of_a_connection_is_left_in_the_broker(tmp_path: Path, protocol: str) -> None:
    """Session expiry 0, or a clean session: what is published meanwhile does not come."""
    heard: list[bytes] = []
    keys = {"receive": lambda _, data: heard.append(data), "protocol_5": protocol == "5"}
    async with Mosquitto(tmp_path) as broker:
        connection = await open_connection(settings(broker.port, **keys))
        await connection.subscribe(["a"])
        await connection.close()
        other = await open_connection(settings(broker.port, client_id="two"))
        await other.send("a", b"meanwhile")
        again = await open_connection(settings(broker.port, **keys))
        await other.send("a", b"later")
        await again.subscribe(["a"])
        await other.send("a", b"now")
        await until(lambda: heard)
        await again.close()
        await other.close()
    assert heard == [b"now"]


async def test_a_message_beyond_the_maximum_packet_size_is_not_sent() -> None:
    body = bytes([0, 0, 5, 0x27, 0, 0, 4, 0])
    async with FakeBroker(connack=packet(0x20, body)) as broker:
        connection = await open_connection(settings(broker.port))
        fits = 1024 - 9 - len("topic") - 1
        assert await connection.send("topic", bytes(fits)) == 0
        assert await connection.send("topic", bytes(fits + 1)) == 0x95
        assert await connection.send("topic", bytes(fits), qos=0) == 0
        assert await connection.send("topic", bytes(2000), qos=0) == 0x95
        await until(lambda: len(broker.published) == 2)
        await connection.close()


@pytest.mark.parametrize(
    "limit", [bytes([0x21, 0, 0]), bytes([0x27, 0, 0, 0, 0])], ids=["window", "packet"]
)
async def test_limits_of_zero_are_refused(limit: bytes) -> None:
    """The standard forbids them; a window of nothing would stand still for ever."""
    async with FakeBroker(connack=packet(0x20, bytes([0, 0, len(limit)]) + limit)) as broker:
        with pytest.raises(BrokerUnreachable) as refused:
            await open_connection(settings(broker.port))
    assert refused.value.cause == "protocol"


def moved(code: int, reference: bytes) -> bytes:
    properties = b"\x1c" + len(reference).to_bytes(2, "big") + reference
    return bytes([code, len(properties)]) + properties


@pytest.mark.parametrize("code", [0x9C, 0x9D])
@pytest.mark.parametrize("when", ["connack", "disconnect"])
async def test_a_server_that_sends_us_elsewhere_is_not_followed(code: int, when: str) -> None:
    told = moved(code, b"user:canary@mqtt2.example.org:8883?token=canary\n")
    connack = packet(0x20, b"\0" + (told if when == "connack" else b"\0\0"))
    async with FakeBroker(connack=connack) as broker:
        if when == "connack":
            with pytest.raises(BrokerUnreachable) as refused:
                await open_connection(settings(broker.port))
            error = refused.value
        else:
            connection = await open_connection(settings(broker.port))
            await broker.say(packet(0xE0, told))
            error = disconnect_error("city", await connection.ended)
            await connection.close()
        assert broker.connections == 1
    assert error.cause == "moved"
    assert error.detail.endswith(f'0x{code:02X}, it names the server "mqtt2.example.org:8883"')
    assert "canary" not in str(error)


async def test_a_long_or_strange_server_name_stays_short_and_printable() -> None:
    reference = "mqtt\x1b[31m.例え".encode() + b"x" * 5000
    async with FakeBroker(connack=packet(0x20, b"\0" + _moved_long(reference))) as broker:
        with pytest.raises(BrokerUnreachable) as refused:
            await open_connection(settings(broker.port))
    assert len(refused.value.detail) < 200
    assert refused.value.detail.isascii()
    assert refused.value.detail.isprintable()


def _moved_long(reference: bytes) -> bytes:
    properties = b"\x1c" + len(reference).to_bytes(2, "big") + reference
    length = bytes([len(properties) & 0x7F | 0x80, len(properties) >> 7])
    return bytes([0x9C]) + length + properties


@pytest.mark.parametrize(
    ("connack", "protocol_5", "hint"),
    [
        (b"\0\1", True, 'set protocol = "3.1.1"'),
        (b"\0\x84\0", True, 'set protocol = "3.1.1"'),
        (b"\0\1", False, 'set protocol = "5"'),
    ],
    ids=["old-broker", "broker-says-so", "new-broker"],
)
async def test_a_version_that_the_broker_does_not_speak_is_told(
    connack: bytes, *, protocol_5: bool, hint: str
) -> None:
    async with FakeBroker(connack=packet(0x20, connack)) as broker:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(settings(broker.port, protocol_5=protocol_5))
    assert refused.value.cause == "mqtt_version"
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "cause", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not_mqtt", "HTTP"),
        (b"220 mail.example.org ESMTP\r\n", "not_mqtt", "something else"),
        (b"\x15\x03\x01\0\x02\x02\x46", "tls_expected", "TLS"),
        (b"", "closed", "hung up"),
    ],
    ids=["web-server", "mail-server", "tls-alert", "nothing"],
)
async def test_what_answers_instead_of_a_broker_is_told(
    answer: bytes, cause: str, words: str
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    async with server:
        try:
            await open_connection(settings(server.sockets[0].getsockname()[1]))
        except (BrokerRefused, BrokerUnreachable) as error:
            told = error
    assert told.cause == cause
    assert words in told.detail


def test_causes_are_a_closed_set_whatever_a_broker_sends() -> None:
    causes = {connack_error("x", code).cause for code in range(256)}
    causes |= {disconnect_error("x", code).cause for code in [None, *range(256)]}
    causes |= {network_error("x", OSError(number, "")).cause for number in range(140)}
    causes |= {disconnect_error("x", code).cause for code in range(0x100, 0x110)}
    causes |= {network_error("x", error).cause for error in TLS_ERRORS}
    assert causes == {
        *("administrative", "banned", "busy", "client_id", "closed", "connack", "dns"),
        *("keepalive", "login", "lost", "moved", "mqtt_version", "no_qos1", "no_retain"),
        *("not_authorised", "not_tls", "oversized", "payload_refused", "protocol", "quota"),
        *("rate", "receive_maximum", "refused", "shutdown", "silent", "taken_over", "timeout"),
        *("tls", "tls_chain", "tls_client", "tls_version", "too_large", "topic_refused"),
        *("unavailable", "unreachable", "websocket", "will_payload", "will_too_large"),
        "will_topic",
    }
    assert causes <= EXPLANATIONS.keys()


def test_every_cause_has_an_explanation_and_none_explains_nothing() -> None:
    """All words that the code can say: those above, and those that stand where it raises."""
    package = Path(gateway.forward.__file__).parent
    said = set()
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ERRORS:
                said |= {arg.value for arg in node.args[1:2] if isinstance(arg, ast.Constant)}
    tables = (_CONNACK_REFUSED, _CONNACK_UNREACHABLE, _DISCONNECT)
    said |= {cause for table in tables for cause in table.values()}
    said |= {cause for _, cause in _NETWORK}
    said |= {"not_tls", "closed", "tls", "tls_chain", "tls_client", "tls_expired", "tls_name"}
    said |= {"tls_version", "connack", "unreachable"}
    assert said - EXPLANATIONS.keys() == set()
    assert EXPLANATIONS.keys() - said == set()
    for cause, text in EXPLANATIONS.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", cause)
        assert re.fullmatch(r"[A-Z][^\n]{30,220}\.", text), cause
