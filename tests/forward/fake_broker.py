"""A broker that misbehaves on request: a few bytes of MQTT over asyncio, for what no real one does.

It understands CONNECT, PUBLISH, SUBSCRIBE, PINGREQ and DISCONNECT of MQTT 5, just enough to
answer; and ``settings`` makes a connection to it.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from gateway.forward.mqtt import ConnectionSettings, Will

__all__ = ["FakeBroker", "Published", "packet", "publish_packet", "settings"]

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 1, 2, 3, 4, 8, 9
PINGREQ, PINGRESP, DISCONNECT = 12, 13, 14
SUBSCRIBE_OPTIONS_BYTES = 1


class Published(NamedTuple):
    connection: int
    topic: str
    payload: bytes
    packet_id: int
    """0 with QoS 0."""


def settings(port: int, **changes: object) -> ConnectionSettings:
    """Return the settings of a connection to this machine."""
    keys: dict[str, object] = {
        "broker": "city",
        "host": "127.0.0.1",
        "port": port,
        "client_id": "one",
        "will": Will("city/will", b"gone"),
        "connect_timeout_s": 5.0,
    }
    return ConnectionSettings(**(keys | changes))  # type: ignore[arg-type]


def _length(number: int) -> bytes:
    out = bytearray()
    while True:
        number, digit = divmod(number, 128)
        out.append(digit | (0x80 if number else 0))
        if not number:
            return bytes(out)


def packet(first: int, body: bytes) -> bytes:
    """Return a whole packet; ``first`` is its first byte."""
    return bytes([first]) + _length(len(body)) + body


def publish_packet(topic: bytes, payload: bytes, *, qos: int = 0, version_5: bool = True) -> bytes:
    """Return a PUBLISH of the broker's."""
    body = len(topic).to_bytes(2, "big") + topic
    if qos:
        body += bytes([0, 7])
    return packet(PUBLISH << 4 | qos << 1, body + (b"\0" if version_5 else b"") + payload)


def _answer_success(message: Published) -> int | None:
    return 0


def _grant(filters: list[str]) -> bytes | None:
    return bytes([1] * len(filters))


class FakeBroker:
    """``answer`` gives the PUBACK reason code of a message, None for silence.

    A negative answer -c ends the connection with DISCONNECT c. ``connack`` is the packet after
    CONNECT, empty for silence. ``granted`` gives the codes of a SUBACK, None for silence.
    ``context`` makes it speak TLS.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Published], int | None] = _answer_success,
        connack: bytes = bytes([CONNACK << 4, 3, 0, 0, 0]),
        granted: Callable[[list[str]], bytes | None] = _grant,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.answer = answer
        self.connack = connack
        self.granted = granted
        self.context = context
        self.connections = 0
        self.connects: list[bytes] = []
        """What stood in each CONNECT."""
        self.published: list[Published] = []
        self.subscribed: list[str] = []
        self.pings = 0
        self.most_unanswered = 0
        self.port = 0
        self.writer: asyncio.StreamWriter | None = None
        """Of the connection that came last."""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def with_receive_maximum(cls, limit: int, **more: Callable[[Published], int | None]) -> Self:
        properties = bytes([0x21]) + limit.to_bytes(2, "big")
        body = bytes([0, 0, len(properties)]) + properties
        return cls(connack=bytes([CONNACK << 4, len(body)]) + body, **more)  # type: ignore[arg-type]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def say(self, data: bytes) -> None:
        """Send these bytes on the connection that came last."""
        assert self.writer is not None
        self.writer.write(data)
        with contextlib.suppress(OSError):
            await self.writer.drain()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.writer = writer
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, OSError):
                await self._talk(self.connections, reader, writer)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    async def _talk(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        unanswered = 0
        while True:
            first, body = await _packet(reader)
            kind = first >> 4
            if kind == DISCONNECT:
                return
            if kind != PUBLISH:
                writer.write(self._answer_to(kind, body))
                continue
            message = _published(number, first >> 1 & 3, body)
            self.published.append(message)
            if not message.packet_id:
                continue
            unanswered += 1
            self.most_unanswered = max(self.most_unanswered, unanswered)
            code = self.answer(message)
            if code is None:
                continue
            unanswered -= 1
            if code < 0:
                writer.write(bytes([DISCONNECT << 4, 2, -code, 0]))
                await writer.drain()
                return
            packet_id = message.packet_id.to_bytes(2, "big")
            writer.write(bytes([PUBACK << 4, 4]) + packet_id + bytes([code, 0]))

    def _answer_to(self, kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            self.connects.append(body)
            return self.connack
        if kind == PINGREQ:
            self.pings += 1
            return bytes([PINGRESP << 4, 0])
        if kind == SUBSCRIBE:
            filters = _filters(body)
            self.subscribed += filters
            codes = self.granted(filters)
            return b"" if codes is None else packet(SUBACK << 4, body[:2] + b"\0" + codes)
        return b""


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return first, await reader.readexactly(length)


def _filters(body: bytes) -> list[str]:
    filters, at = [], 3  # after packet id and an empty list of properties
    while at < len(body):
        end = at + 2 + int.from_bytes(body[at : at + 2], "big")
        filters.append(body[at + 2 : end].decode())
        at = end + SUBSCRIBE_OPTIONS_BYTES
    return filters


def _published(number: int, qos: int, body: bytes) -> Published:
    end = 2 + int.from_bytes(body[:2], "big")
    at = end + (2 if qos else 0)
    packet_id = int.from_bytes(body[end:at], "big")
    length = shift = 0
    while True:
        digit = body[at]
        at += 1
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            break
    return Published(number, body[2:end].decode(), body[at + length :], packet_id)
