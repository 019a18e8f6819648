"""TCP proxies on loopback: a test decides who may connect when, and how bad the way is.

- ``GateProxy`` passes bytes to one broker; it can be shut, and can be as bad as a ``Way`` says.
- ``Balancer`` passes each connection to the first of several brokers that takes it.
"""

import asyncio
import contextlib
import random
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

__all__ = ["CLEAR", "Balancer", "GateProxy", "Way"]

LOOPBACK = "127.0.0.1"
SEGMENT_BYTES = 1448
"""What one Ethernet frame carries; a lost one holds up all that follow it."""
MAX_SEGMENTS_ON_THE_WAY = 1024
RETRANSMISSION_S = 0.2
"""How long TCP on Linux waits at least before it sends a lost segment again."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time at all: closing sends RST."""


@dataclass(frozen=True, slots=True)
class Way:
    """How bad a way is, as the two ends of a TCP connection see it.

    Loss is not seen as loss there: that direction stands still until the segment has been sent
    again (RETRANSMISSION_S, then twice that, and so on). The same ``seed`` loses the same segments
    of the same connection.
    """

    delay_s: float = 0.0
    """Each way."""
    loss: float = 0.0
    """Share of segments, each way."""
    reset_every_s: float = 0.0
    """Connections are reset so often; 0: never."""
    black_hole: bool = False
    """Connections are accepted, what comes is swallowed, and nothing is ever answered."""
    first_answer_only: bool = False
    """The far end's first segment comes back (a CONNACK), and nothing after it."""
    seed: int = 1

    @property
    def is_rough(self) -> bool:
        """Segments have to be looked at one by one."""
        return bool(self.delay_s or self.loss)


CLEAR = Way()


class GateProxy:
    """Passes bytes both ways while it is open; ``shut()`` drops every connection at once.

    ``port`` is where it listens; without one it takes a free one. ``way`` may be changed at any
    time; connections that exist keep theirs.
    """

    def __init__(self, target_port: int, *, port: int = 0, way: Way = CLEAR) -> None:
        self.targets: list[tuple[str, int]] = [(LOOPBACK, target_port)]
        self.is_open = True
        self.port = port
        self.way = way
        self.connections = 0
        """So many were passed on."""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
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
        self.shut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def open(self) -> None:
        """Let connections through again."""
        self.is_open = True

    def shut(self) -> None:
        """Drop what is connected and refuse what comes."""
        self.is_open = False
        self.drop()

    def drop(self) -> None:
        """Drop what is connected."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            if not self.is_open:
                return
            if self.way.black_hole:
                await _swallow(reader)
            else:
                await self._pass_on(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over; the streams of Python 3.11 would log it
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = await self._far_end()
        if ends is None:
            return
        far_reader, far_writer = ends
        self._writers.add(far_writer)
        self.connections += 1
        seed = self.way.seed + self.connections
        there = Direction(self.way, random.Random(f"there {seed}"))
        back = Direction(self.way, random.Random(f"back {seed}"), answers=True)
        pumps = [
            asyncio.create_task(there.run(reader, far_writer)),
            asyncio.create_task(back.run(far_reader, writer)),
        ]
        try:
            limit_s = self.way.reset_every_s or None
            await asyncio.wait(pumps, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers.discard(far_writer)
            if not any(pump.done() for pump in pumps):
                _reset(writer)
            far_writer.transport.abort()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _far_end(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for host, port in self.targets:
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(host, port)
        return None


class Balancer(GateProxy):
    """Stands for a city's load balancer: each connection goes to the first target that takes it.

    The order is that of ``targets``, and may be changed. A connection ends with its broker.
    """

    def __init__(self, targets: Sequence[tuple[str, int]], *, port: int = 0) -> None:
        super().__init__(0, port=port)
        self.targets = list(targets)


class Direction:
    """One direction of one connection."""

    def __init__(self, way: Way, rng: random.Random, *, answers: bool = False) -> None:
        self._way = way
        self._rng = rng
        self._only_first = answers and way.first_answer_only
        self._segments: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_SEGMENTS_ON_THE_WAY)

    async def run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes on until an end has gone."""
        with contextlib.suppress(OSError):
            if self._way.is_rough:
                await self._roughly(reader, writer)
                return
            while data := await reader.read(SEGMENT_BYTES * 10):
                writer.write(data)
                await writer.drain()
                if self._only_first:
                    await _swallow(reader)

    async def _roughly(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deliver = asyncio.create_task(self._deliver(writer))
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(SEGMENT_BYTES):
                due = loop.time() + self._way.delay_s + self._held_up_s()
                await self._segments.put((due, data))
            await self._segments.put((loop.time() + self._way.delay_s, b""))
            await deliver
        finally:
            deliver.cancel()
            await asyncio.gather(deliver, return_exceptions=True)

    def _held_up_s(self) -> float:
        held_up, wait_s = 0.0, RETRANSMISSION_S
        while self._rng.random() < self._way.loss:
            held_up += wait_s
            wait_s *= 2
        return held_up

    async def _deliver(self, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while True:
                due, data = await self._segments.get()
                await asyncio.sleep(max(0.0, due - loop.time()))
                if not data:
                    return
                writer.write(data)
                await writer.drain()


async def _swallow(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(SEGMENT_BYTES * 10):
            pass


def _reset(writer: asyncio.StreamWriter) -> None:
    plain = writer.get_extra_info("socket")
    if plain is not None and plain.fileno() >= 0:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
