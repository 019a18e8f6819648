"""MQTT over WebSocket: a real mosquitto, and servers that are none or misbehave."""

import asyncio
import contextlib
import socket
import struct
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import disconnect_error
from gateway.forward.mqtt import Connection, open_connection
from gateway.forward.websocket import MAX_FRAME_BYTES, WebSocketStream
from tests.brokers import LOOPBACK
from tests.forward.fake_broker import packet, publish_packet, settings
from tests.forward.pki import WAYS, FourDoors, make_pki, serving
from tests.observe.waiting import until

CONNACK = packet(0x20, bytes(3))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


class Talk:
    """The server's side of one WebSocket connection, without any restraint."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.protocol = ServerProtocol(subprotocols=[Subprotocol("mqtt")], max_size=None)
        self.reader, self.writer = reader, writer
        self.frames: list[Frame] = []
        self.received = bytearray()

    async def begin(self, connack: bytes = CONNACK) -> None:
        """Shake hands, and answer CONNECT."""
        while self.protocol.state is not State.OPEN:
            self.protocol.receive_data(await self.reader.read(65536))
            for event in self.protocol.events_received():
                assert isinstance(event, Request)
                self.protocol.send_response(self.protocol.accept(event))
            self.flush()
        await self.hear(1)
        self.say(Frame(Opcode.BINARY, connack))

    async def hear(self, count: int) -> None:
        """Return once ``count`` bytes of MQTT have come."""
        while len(self.received) < count:
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionResetError
            self.protocol.receive_data(data)
            for event in self.protocol.events_received():
                assert isinstance(event, Frame)
                self.frames.append(event)
                if event.opcode in (Opcode.BINARY, Opcode.CONT):
                    self.received += event.data
            self.flush()

    def say(self, *frames: Frame) -> None:
        for frame in frames:
            self.writer.write(frame.serialize(mask=False))

    def flush(self) -> None:
        for part in self.protocol.data_to_send():
            if part:
                self.writer.write(part)


@pytest.mark.mosquitto
@pytest.mark.timeout(90)
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("way", ["ws", "wss"])
async def test_publish_outage_and_return(
    tmp_path: Path, pki: Path, way: str, protocol: str
) -> None:
    heard: list[bytes] = []
    version_5 = protocol == "5"
    async with FourDoors(tmp_path, pki) as city:
        keys = city.through(way, client_id="a", protocol_5=version_5)
        first = await open_connection(keys)
        assert await first.send("a", b"1") in {0, 0x10}
        await city.kill()
        error = disconnect_error("city", await first.ended)
        assert error.cause == "lost"
        await first.close()
        with pytest.raises(BrokerUnreachable) as away:
            await open_connection(keys)
        assert away.value.cause == "refused"
        await city.start()
        listening = city.through(way, client_id="b", receive=lambda _, data: heard.append(data))
        other = await open_connection(listening)
        await other.subscribe(["#"])
        second = await open_connection(keys)
        assert await second.send("a", b"2") == 0
        assert await second.send("a", b"3", qos=0) == 0
        await until(lambda: heard == [b"2", b"3"])
        await second.disconnect()
        assert await second.ended is None
        await second.close()
        await other.close()
    assert "disconnected" in city.log


@pytest.mark.mosquitto
@pytest.mark.timeout(90)
@pytest.mark.parametrize("way", ["ws", "wss"])
async def test_a_full_window_of_large_messages(tmp_path: Path, pki: Path, way: str) -> None:
    """More than any buffer on the way holds: frames are cut, and sent again where they stopped.

    The listener takes them directly: mosquitto 2.0 never gets large messages out by WebSocket.
    """
    heard: list[bytes] = []
    payloads = [bytes([number]) * (20_000 + 3000 * number) for number in range(64)]
    async with FourDoors(tmp_path, pki) as city:
        other = await open_connection(
            city.through("mqtt", client_id="b", receive=lambda _, data: heard.append(data))
        )
        await other.subscribe(["large"])
        connection = await open_connection(city.through(way))
        answers = [connection.send("large", payload) for payload in payloads]
        assert [await answer for answer in answers] == [0] * 64
        await until(lambda: len(heard) == 64)
        await connection.close()
        await other.close()
    assert heard == payloads


@pytest.mark.mosquitto
async def test_without_goodbye_the_last_will_is_published(tmp_path: Path, pki: Path) -> None:
    """The close of the WebSocket is no goodbye of MQTT."""
    heard: list[tuple[str, bytes]] = []
    async with FourDoors(tmp_path, pki) as city:
        other = await open_connection(
            city.through(
                "ws",
                client_id="b",
                receive=lambda *what: heard.append(what),
            )
        )
        await other.subscribe(["city/will"])
        polite = await open_connection(city.through("ws"))
        await polite.disconnect()
        await polite.close()
        rude = await open_connection(city.through("ws"))
        await rude.close()
        await until(lambda: heard)
        await other.close()
    assert heard == [("city/will", b"gone")]


@pytest.mark.mosquitto
@pytest.mark.parametrize("client", ["", "stranger"])
async def test_a_missing_client_certificate_is_told(tmp_path: Path, pki: Path, client: str) -> None:
    async with FourDoors(tmp_path, pki, "require_certificate true") as city:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(city.through("wss", tls=city.tls(client)))
    assert refused.value.cause == "tls_client"


@pytest.mark.mosquitto
async def test_websocket_and_tls_and_plain_mqtt_mixed_up(tmp_path: Path, pki: Path) -> None:
    causes = {}
    async with FourDoors(tmp_path, pki) as city:
        for spoken in WAYS:
            for there, port in city.ports.items():
                try:
                    await (await open_connection(city.through(spoken, port=port))).close()
                except (BrokerRefused, BrokerUnreachable) as error:
                    causes[f"{spoken} to {there}"] = error.cause
    assert causes == {
        "mqtt to mqtts": "tls_expected",
        "mqtt to ws": "not_mqtt",
        "mqtt to wss": "tls_expected",
        "mqtts to mqtt": "not_tls",
        "mqtts to ws": "not_tls",
        "mqtts to wss": "not_mqtt",
        "ws to mqtt": "closed",
        "ws to mqtts": "tls_expected",
        "ws to wss": "tls_expected",
        "wss to mqtt": "not_tls",
        "wss to mqtts": "closed",
        "wss to ws": "not_tls",
    }


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000\r\n\r\n", "HTTP status 404"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\n", "HTTP status 403"),
        (
            b"HTTP/1.1 301 Moved\r\nlocation: https://u:canary@example.org/x?canary\r\n\r\n",
            'HTTP status 301 to "example.org/x", not followed',
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "HTTP status 200"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "Connection"),
        (b"HTTP/1.1 101 Switching Protocols\r\nbroken\r\n\r\n", "HTTP response"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 200 " + b"x" * 100_000, "no end"),
    ],
    ids=["404", "403", "redirect", "page", "no-upgrade", "broken-headers", "ssh", "endless"],
)
async def test_other_answers_than_a_websocket(answer: bytes, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(answer)
        await reader.read(1000)  # a web server keeps the connection open

    async with serving(serve) as port:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(settings(port, websocket_path="/mqtt"))
    assert refused.value.cause == "websocket"
    assert words in refused.value.detail
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("offered", [None, "mqttv3.1"])
async def test_another_subprotocol_is_refused(offered: str | None) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        talk.protocol.receive_data(await reader.read(65536))
        (request,) = talk.protocol.events_received()
        assert isinstance(request, Request)
        response = talk.protocol.accept(request)
        del response.headers["Sec-WebSocket-Protocol"]
        if offered:
            response.headers["Sec-WebSocket-Protocol"] = offered
        talk.protocol.send_response(response)
        talk.flush()
        await reader.read(1000)

    async with serving(serve) as port:
        with pytest.raises(BrokerRefused) as refused:
            await open_connection(settings(port, websocket_path="/mqtt"))
    assert refused.value.cause == "websocket"
    assert "subprotocol" in refused.value.detail


async def test_the_request_asks_for_what_was_configured() -> None:
    asked = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(1000))

    async with serving(serve) as port:
        with pytest.raises(BrokerUnreachable) as closed:
            await open_connection(settings(port, websocket_path="/a b/ø?x=1\r\nEvil: 1"))
    assert closed.value.cause == "closed"
    lines = asked[0].decode("ascii").split("\r\n")
    assert lines[0] == "GET /a%20b/%C3%B8%3Fx=1%0D%0AEvil:%201 HTTP/1.1"
    assert f"Host: {LOOPBACK}:{port}" in lines
    assert "Sec-WebSocket-Protocol: mqtt" in lines
    assert not any(line.startswith(("Evil", "Sec-WebSocket-Extensions")) for line in lines)


@contextlib.asynccontextmanager
async def talking(
    then: Callable[[Talk], Awaitable[None]], **changes: object
) -> AsyncIterator[Connection]:
    """Connect to a server that does as it likes after CONNACK."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = Talk(reader, writer)
        await talk.begin()
        await then(talk)

    async with serving(serve) as port:
        connection = await open_connection(settings(port, websocket_path="/mqtt", **changes))
        yield connection
        await connection.close()


async def test_frames_need_not_end_where_packets_do() -> None:
    """Single bytes in fragments, empty frames and pings between them, two packets in one."""
    heard: list[bytes] = []
    pongs: list[bytes] = []

    async def then(talk: Talk) -> None:
        one, rest = publish_packet(b"a", b"first"), publish_packet(b"a", b"2") * 2
        talk.say(Frame(Opcode.BINARY, one[:1], fin=False))
        for byte in one[1:]:
            talk.say(Frame(Opcode.CONT, bytes([byte]), fin=False), Frame(Opcode.PING, b"?"))
            await talk.writer.drain()
            await asyncio.sleep(0)
        talk.say(Frame(Opcode.CONT, b""), Frame(Opcode.PONG, b"nobody asked"))
        talk.say(Frame(Opcode.BINARY, b""), Frame(Opcode.BINARY, rest))
        talk.received.clear()
        await talk.hear(2)
        pongs.extend(bytes(frame.data) for frame in talk.frames if frame.opcode is Opcode.PONG)

    async with talking(then, receive=lambda _, data: heard.append(data)) as connection:
        await until(lambda: len(heard) == 3)
        connection.send("a", b"done", qos=0)
        await until(lambda: pongs)
    assert heard == [b"first", b"2", b"2"]
    assert set(pongs) == {b"?"}


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\x81\x010", "text frame"),
        (b"\x80\x010", "unexpected continuation"),
        (b"\xc2\x010", "reserved bits"),
        (b"\x88\x08" + struct.pack("!H", 1011) + b"canary", "code 1011"),
    ],
    ids=["text", "continuation", "reserved", "close-1011"],
)
async def test_broken_frames_end_the_connection(frame: bytes, words: str) -> None:
    async def then(talk: Talk) -> None:
        talk.writer.write(frame)
        await talk.hear(1_000_000)

    async with talking(then) as connection:
        error = disconnect_error("city", await connection.ended)
    assert error.cause == "websocket"
    assert words in error.detail
    assert "canary" not in str(error)


async def test_an_ordinary_close_is_a_lost_connection() -> None:
    closes: list[Frame] = []

    async def then(talk: Talk) -> None:
        talk.say(Frame(Opcode.CLOSE, struct.pack("!H", 1001)))
        with contextlib.suppress(OSError):
            await talk.hear(1_000_000)
        closes.extend(frame for frame in talk.frames if frame.opcode is Opcode.CLOSE)

    async with talking(then) as connection:
        assert disconnect_error("city", await connection.ended).cause == "lost"
        await until(lambda: closes)
        assert connection.send("a", b"late").cancelled()


@pytest.mark.parametrize(
    "header",
    [b"\x82\x7f" + (2**62).to_bytes(8, "big"), b"\x02\x7f" + (2**21).to_bytes(8, "big")],
    ids=["one-frame", "fragments"],
)
async def test_oversized_frames_are_not_read(header: bytes) -> None:
    async def then(talk: Talk) -> None:
        talk.writer.write(header + bytes(4_000_000))
        await talk.writer.drain()

    tracemalloc.start()
    try:
        async with talking(then) as connection:
            error = disconnect_error("city", await connection.ended)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.cause == "websocket"
    assert "broken frames" in error.detail
    assert peak < 12_000_000


async def test_an_oversized_packet_in_small_frames_is_not_read() -> None:
    async def then(talk: Talk) -> None:
        talk.say(Frame(Opcode.BINARY, bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F])))
        await talk.hear(1_000_000)

    async with talking(then) as connection:
        assert disconnect_error("city", await connection.ended).cause == "oversized"


async def test_pings_that_nobody_reads_the_answers_of_are_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(self: socket.socket, data: bytes, flags: int = 0) -> int:
        raise BlockingIOError

    async def then(talk: Talk) -> None:
        for _ in range(100):
            talk.say(*[Frame(Opcode.PING, b"x" * 125)] * 100)
            await talk.writer.drain()
        await talk.hear(1_000_000)

    async with talking(then) as connection:
        stream = connection._ready
        assert isinstance(stream, WebSocketStream)
        monkeypatch.setattr(type(stream._sock), "send", full)
        error = disconnect_error("city", await connection.ended)
        assert error.cause == "websocket"
        assert "pings" in error.detail
        monkeypatch.undo()


@pytest.mark.parametrize("seed", range(10), ids=lambda seed: f"seed{seed}")
async def test_nothing_is_lost_or_doubled_when_writes_stop_anywhere(
    monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Each write takes a few bytes or none; pings come in between."""
    import random  # noqa: PLC0415

    chance = random.Random(seed)
    payloads = [chance.randbytes(chance.choice([0, 10, 3000, MAX_FRAME_BYTES])) for _ in range(20)]
    expected = b"".join(publish_packet(b"t", payload) for payload in payloads)
    got = bytearray()

    async def then(talk: Talk) -> None:
        talk.received.clear()
        while len(talk.received) < len(expected):
            await talk.hear(len(talk.received) + 1)
            talk.say(Frame(Opcode.PING, chance.randbytes(20)))
        got.extend(talk.received)

    def reluctant(self: socket.socket, data: bytes, flags: int = 0) -> int:
        if chance.random() < 0.3:
            raise BlockingIOError
        return socket.socket.send(self, bytes(data[: chance.randint(1, 40_000)]))

    async with talking(then) as connection:
        stream = connection._ready
        assert isinstance(stream, WebSocketStream)
        monkeypatch.setattr(type(stream._sock), "send", reluctant)
        answers = [connection.send("t", payload, qos=0) for payload in payloads]
        assert await asyncio.gather(*answers) == [0] * 20
        await until(lambda: got)
        monkeypatch.undo()
    assert got == expected


async def test_an_attempt_can_be_given_up_in_the_handshake() -> None:
    asked = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        asked.set()
        await reader.read(1000)

    async with serving(serve) as port:
        task = asyncio.create_task(open_connection(settings(port, websocket_path="/mqtt")))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(BrokerUnreachable) as silent:
            await open_connection(settings(port, websocket_path="/", connect_timeout_s=0.3))
    assert silent.value.cause == "timeout"
