"""A broker that hangs or a way that swallows everything is noticed within 1.5 keep-alives."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from gateway.forward.causes import disconnect_error
from gateway.forward.mqtt import Connection, open_connection
from tests.forward.fake_broker import FakeBroker, packet, settings
from tests.forward.pki import WAYS, FourDoors, make_pki
from tests.observe.waiting import until

SHORTEST_S = 5.0
"""Keep-alive of the tests with real time; the shortest that the configuration allows."""
HANG_S = 25.0
"""Far beyond 1.5 keep-alives, which the tests with a clock of their own are exact about."""


class Clock:
    """Time for the library, moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(paho, "time_func", clock)
    return clock


def look(connection: Connection) -> None:
    """Do what the library's own task does every second."""
    connection._client.loop_misc()


async def stop_looking(connection: Connection) -> None:
    """End that task: in these tests a second passes when the test says so."""
    assert connection._misc_task is not None
    connection._misc_task.cancel()
    await asyncio.wait({connection._misc_task})


@pytest.mark.parametrize("keepalive_s", [1, 2, 3, 5, 8, 10, 30, 60, 600])
@pytest.mark.parametrize("how", ["idle", "busy", "late"])
async def test_a_silent_broker_is_left_within_one_and_a_half_keepalives(
    clock: Clock, keepalive_s: int, how: str
) -> None:
    """The library looks once a second at the latest; "late": it just missed each moment."""
    async with FakeBroker(answer=lambda _: None) as broker:
        connection = await open_connection(settings(broker.port, keepalive_s=keepalive_s))
        await stop_looking(connection)
        assert broker.writer is not None
        broker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        began = clock.now
        clock.now += 0.999 if how == "late" else 0.0
        while not connection.ended.done():
            look(connection)
            if how == "busy" and not connection.ended.done():
                connection.send("a", b"1", qos=0)
                await asyncio.sleep(0)
            clock.now += 1.0
            assert clock.now - began < 4000
        noticed_s = clock.now - 1.0 - began
        assert disconnect_error("city", connection.ended.result()).cause == "silent"
        await connection.close()
    if keepalive_s < SHORTEST_S:  # only a broker can ask for it; two looks take up to four seconds
        assert noticed_s <= 4
    else:
        assert noticed_s <= 1.5 * keepalive_s
        assert noticed_s >= 0.8 * keepalive_s, "nor is a slow broker left too early"


@pytest.mark.parametrize("keepalive_s", [5, 30])
async def test_a_broker_that_answers_pings_is_kept(clock: Clock, keepalive_s: int) -> None:
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port, keepalive_s=keepalive_s))
        await stop_looking(connection)
        for _ in range(10 * keepalive_s):
            clock.now += 1.0
            pings = broker.pings
            look(connection)
            if connection._client._out_packet:
                await until(lambda: broker.pings > pings)  # noqa: B023
                await until(lambda: connection._client._ping_t == 0)
            assert not connection.ended.done()
        await connection.close()
    assert 10 <= broker.pings <= 25, "no more often than needed, no rarer than the broker wants"


async def test_a_busy_connection_is_kept(clock: Clock) -> None:
    async with FakeBroker() as broker:
        connection = await open_connection(settings(broker.port, keepalive_s=10))
        await stop_looking(connection)
        for _ in range(100):
            look(connection)
            assert not connection.ended.done()
            await connection.send("a", b"1")
            clock.now += 1.0
        await connection.close()
    assert broker.pings <= 20


async def test_the_keepalive_of_the_broker_wins(clock: Clock) -> None:
    body = bytes([0, 0, 3, 0x13, 0, 10])
    async with FakeBroker(connack=packet(0x20, body)) as broker:
        connection = await open_connection(settings(broker.port, keepalive_s=600))
        await stop_looking(connection)
        assert broker.writer is not None
        broker.writer.transport.pause_reading()  # type: ignore[attr-defined]
        began = clock.now
        while not connection.ended.done():
            look(connection)
            clock.now += 1.0
        await connection.close()
    assert clock.now - 1.0 - began <= 15


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("pki"))


class SilentWay:
    """A TCP proxy that stops to carry anything when told, as a pulled cable does."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.carries = asyncio.Event()
        self.carries.set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator["SilentWay"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        pumps = (self._pump(reader, far_writer), self._pump(far_reader, writer))
        tasks = [asyncio.create_task(pump) for pump in pumps]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in (writer, far_writer):
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(16_384):
                await self.carries.wait()
                writer.write(data)
                await writer.drain()


async def publish_steadily(connection: Connection) -> None:
    """Keep messages in flight, and bytes flowing, for as long as the connection lasts."""
    while not connection.ended.done():
        connection.send("busy", b"x" * 2000, qos=0)
        connection.send("busy", b"x" * 2000)
        await asyncio.sleep(0.2)


async def all_notice(connections: list[Connection]) -> list[str]:
    """Return the causes, once all connections have ended."""
    async with asyncio.timeout(HANG_S):
        codes = await asyncio.gather(*(connection.ended for connection in connections))
    for connection in connections:
        await connection.close()
    return [disconnect_error("city", code).cause for code in codes]


@pytest.mark.mosquitto
@pytest.mark.timeout(60)
async def test_a_stopped_broker_is_noticed_on_every_way_idle_and_busy(
    tmp_path: Path, pki: Path
) -> None:
    async with FourDoors(tmp_path, pki) as broker:
        idle, busy = [], []
        for way in WAYS:
            keys = {"keepalive_s": SHORTEST_S, "client_id": f"idle-{way}"}
            idle.append(await open_connection(broker.through(way, **keys)))
            keys["client_id"] = f"busy-{way}"
            busy.append(await open_connection(broker.through(way, **keys)))
        async with asyncio.TaskGroup() as group:
            for connection in busy:
                group.create_task(publish_steadily(connection))
            await asyncio.sleep(0.5)
            broker.freeze()
            causes = await all_notice(idle + busy)
        broker.thaw()
    assert causes == ["silent"] * 8


@pytest.mark.mosquitto
@pytest.mark.timeout(60)
async def test_a_way_that_swallows_everything_is_noticed_idle_and_busy(
    tmp_path: Path, pki: Path
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        broker = await stack.enter_async_context(FourDoors(tmp_path, pki))
        idle, busy, ways = [], [], []
        for way in WAYS:
            ways.append(await stack.enter_async_context(SilentWay(broker.ports[way]).open()))
            keys = {"keepalive_s": SHORTEST_S, "client_id": f"idle-{way}", "port": ways[-1].port}
            idle.append(await open_connection(broker.through(way, **keys)))
            keys["client_id"] = f"busy-{way}"
            busy.append(await open_connection(broker.through(way, **keys)))
        async with asyncio.TaskGroup() as group:
            for connection in busy:
                group.create_task(publish_steadily(connection))
            await asyncio.sleep(0.5)
            for path in ways:
                path.carries.clear()
            causes = await all_notice(idle + busy)
    assert causes == ["silent"] * 8
