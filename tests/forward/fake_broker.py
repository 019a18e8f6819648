"""A broker that misbehaves on request: a few bytes of MQTT over asyncio, for what no real one does.

It understands CONNECT, PUBLISH at QoS 1, PINGREQ and DISCONNECT of MQTT 5, just enough to answer.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

__all__ = ["FakeBroker", "Published"]

CONNECT, CONNACK, PUBLISH, PUBACK, PINGREQ, PINGRESP, DISCONNECT = 1, 2, 3, 4, 12, 13, 14


class Published(NamedTuple):
    connection: int
    topic: str
    payload: bytes
    packet_id: int


def _answer_success(message: Published) -> int | None:
    return 0


class FakeBroker:
    """``answer`` gives the PUBACK reason code of a message, None for silence.

    A negative answer -c ends the connection with DISCONNECT c. ``connack`` is the packet after
    CONNECT, empty for silence.
    """

    def __init__(
        self,
        *,
        answer: Callable[[Published], int | None] = _answer_success,
        connack: bytes = bytes([CONNACK << 4, 3, 0, 0, 0]),
    ) -> None:
        self.answer = answer
        self.connack = connack
        self.connections = 0
        self.published: list[Published] = []
        self.most_unanswered = 0
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    def with_receive_maximum(cls, limit: int, **more: Callable[[Published], int | None]) -> Self:
        properties = bytes([0x21]) + limit.to_bytes(2, "big")
        body = bytes([0, 0, len(properties)]) + properties
        return cls(connack=bytes([CONNACK << 4, len(body)]) + body, **more)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
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
            kind, body = await _packet(reader)
            if kind == CONNECT:
                writer.write(self.connack)
            elif kind == PINGREQ:
                writer.write(bytes([PINGRESP << 4, 0]))
            elif kind == DISCONNECT:
                return
            elif kind == PUBLISH:
                message = _published(number, body)
                self.published.append(message)
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


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0] >> 4
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return kind, await reader.readexactly(length)


def _published(number: int, body: bytes) -> Published:
    end = 2 + int.from_bytes(body[:2], "big")
    packet_id = int.from_bytes(body[end : end + 2], "big")
    at, length, shift = end + 2, 0, 0
    while True:
        digit = body[at]
        at += 1
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            break
    return Published(number, body[2:end].decode(), body[at + length :], packet_id)
