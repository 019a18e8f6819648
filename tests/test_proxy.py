"""The proxies do what they say: tests that fail only on a bad way have to be able to trust it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from tests.brokers import LOOPBACK, free_port
from tests.proxy import Balancer, GateProxy, Way

SOON_S = 0.2
"""For something that must not come."""


@contextlib.asynccontextmanager
async def echo(greeting: bytes = b"") -> AsyncIterator[int]:
    """Serve an echo on a free port, after a greeting; yields the port."""
    writers = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        writer.write(greeting)
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def connected(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_rough_way_holds_up_and_changes_nothing(seed: int) -> None:
    data = random.Random(seed).randbytes(30_000)
    way = Way(delay_s=0.005, loss=0.1, seed=seed)
    async with echo() as port, GateProxy(port, way=way) as proxy, connected(proxy.port) as ends:
        reader, writer = ends
        began = asyncio.get_running_loop().time()
        writer.write(data)
        assert await reader.readexactly(len(data)) == data
        took = asyncio.get_running_loop().time() - began
        assert took >= 2 * way.delay_s, "nothing is faster than the delay"


async def test_a_black_hole_takes_everything_and_answers_nothing() -> None:
    async with (
        echo(b"hello") as port,
        GateProxy(port, way=Way(black_hole=True)) as proxy,
        connected(proxy.port) as (reader, writer),
    ):
        writer.write(bytes(1_000_000))
        await writer.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SOON_S)


async def test_the_mute_say_one_thing() -> None:
    async with (
        echo(b"hello") as port,
        GateProxy(port, way=Way(first_answer_only=True)) as proxy,
        connected(proxy.port) as (reader, writer),
    ):
        assert await reader.readexactly(5) == b"hello"
        writer.write(b"are you there?")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), SOON_S)


async def test_a_reset_is_one() -> None:
    async with (
        echo() as port,
        GateProxy(port, way=Way(reset_every_s=0.1)) as proxy,
        connected(proxy.port) as (reader, _),
    ):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_the_balancer_goes_to_the_first_that_lives() -> None:
    async with echo(b"one") as one, echo(b"two") as two:
        dead = (LOOPBACK, free_port())
        async with Balancer([dead, (LOOPBACK, one), (LOOPBACK, two)]) as balancer:
            async with connected(balancer.port) as (reader, _):
                assert await reader.readexactly(3) == b"one"
            balancer.targets.remove((LOOPBACK, one))
            async with connected(balancer.port) as (reader, _):
                assert await reader.readexactly(3) == b"two"
            balancer.targets = [dead]
            async with connected(balancer.port) as (reader, _):
                assert await reader.read() == b""
