"""A client of MQTT 3.1.1 that costs next to nothing, so that it is not what is measured.

It trusts the broker, and knows only what the drain benchmarks need: subscribe at QoS 0, publish at
QoS 1 with so many messages on their way.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from tests.brokers import LOOPBACK

__all__ = ["Wire", "dial", "publish_all"]

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK = 0x10, 0x20, 0x30, 0x40, 0x82, 0x90
QOS_1 = 0x02
CLEAN_SESSION = 0x02
PACKET_IDS = 65_535
_short = struct.Struct(">H")


def packet(kind: int, body: bytes) -> bytes:
    """Return a packet: kind and flags, length, body."""
    length, size = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        size.append(digit | 0x80 if length else digit)
        if not length:
            return bytes((kind,)) + bytes(size) + body


def text(words: str) -> bytes:
    """Return a string with its length in front."""
    utf8 = words.encode()
    return _short.pack(len(utf8)) + utf8


class Wire(asyncio.Protocol):
    """One connection."""

    def __init__(self, receive: Callable[[str, bytes], None]) -> None:
        self.answered = asyncio.Event()
        """CONNACK or SUBACK is there."""
        self._receive = receive
        self._rest = bytearray()
        self._transport: asyncio.Transport | None = None
        self._left: Iterator[tuple[int, tuple[str, bytes]]] = iter(())
        self._unanswered = 0
        self._all_published = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._send(packet(CONNECT, text("MQTT") + bytes((4, CLEAN_SESSION, 0, 0)) + text("")))

    def data_received(self, data: bytes) -> None:
        rest = self._rest
        rest += data
        at, end = 0, len(rest)
        while end - at >= 2:
            length, body, shift = 0, at + 1, 0
            while body < end and rest[body] & 0x80:
                length |= (rest[body] & 0x7F) << shift
                body, shift = body + 1, shift + 7
            if body >= end:
                break
            length |= rest[body] << shift
            body += 1
            if end < body + length:
                break
            self._take(rest[at] & 0xF0, bytes(rest[body : body + length]))
            at = body + length
        del rest[:at]

    async def subscribe(self, topic: str) -> None:
        """Return when the broker has granted it."""
        self.answered.clear()
        self._send(packet(SUBSCRIBE, _short.pack(1) + text(topic) + b"\0"))
        await self.answered.wait()

    async def publish(self, messages: Sequence[tuple[str, bytes]], in_flight: int) -> None:
        """Publish in order; return when the broker has acknowledged all."""
        self._all_published.clear()
        self._left = enumerate(messages)
        for _ in range(in_flight):
            self._next()
        await self._all_published.wait()

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, kind: int, body: bytes) -> None:
        if kind == PUBLISH:
            begin = 2 + _short.unpack_from(body)[0]
            self._receive(body[2:begin].decode(), body[begin:])
        elif kind == PUBACK:
            self._unanswered -= 1
            self._next()
        elif kind in (CONNACK, SUBACK):
            self.answered.set()

    def _next(self) -> None:
        for number, (topic, payload) in self._left:
            packet_id = _short.pack(number % PACKET_IDS + 1)
            self._send(packet(PUBLISH | QOS_1, text(topic) + packet_id + payload))
            self._unanswered += 1
            return
        if not self._unanswered:
            self._all_published.set()

    def _send(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


@contextlib.asynccontextmanager
async def dial(port: int, receive: Callable[[str, bytes], None]) -> AsyncIterator[Wire]:
    """Connect to a broker on loopback."""
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(lambda: Wire(receive), LOOPBACK, port)
    try:
        await wire.answered.wait()
        yield wire
    finally:
        wire.close()


async def publish_all(port: int, messages: Sequence[tuple[str, bytes]], in_flight: int) -> None:
    """Publish at QoS 1, so many at a time, in order; return when all are acknowledged."""
    async with dial(port, lambda *_: None) as wire:
        await wire.publish(messages, in_flight)
