"""Fixtures of this room: a sink, a clock, running transports, a private bus with our own BlueZ."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from tests.transports.fake_bluez import FakeBlueZ, PrivateBus
from tests.transports.parts import Recorder, TemperatureBeacon, until

Start = Callable[[Callable[[], Awaitable[None]]], "asyncio.Task[None]"]


@pytest.fixture
async def sink() -> Recorder:
    return Recorder()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Run transports as the daemon does, stop them, and fail on a task that they leave behind."""
    before = asyncio.all_tasks()
    escaped: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: escaped.append(context))
    started: list[asyncio.Task[None]] = []

    def start_one(run: Callable[[], Awaitable[None]]) -> "asyncio.Task[None]":
        async def keep() -> None:
            await run()

        started.append(asyncio.create_task(keep()))
        return started[-1]

    yield start_one
    for task in started:
        task.cancel()
    ends = await asyncio.gather(*started, return_exceptions=True)
    failures = [end for end in ends if isinstance(end, Exception)]
    assert not failures
    left = {
        task
        for task in asyncio.all_tasks() - before - {asyncio.current_task()}
        # bleak's own watch of its bus connection, which lives as long as the bus
        if "_monitor_bus_disconnect" not in repr(task)
    }
    assert not left
    assert not escaped, "callbacks failed and nobody was told"


@dataclass
class Bench:
    """Where a scanner is tested: what it delivers to, and who runs it."""

    sink: Recorder
    clock: Clock
    beacon: TemperatureBeacon
    start: Start


@pytest.fixture
def bench(sink: Recorder, clock: Clock, start: Start, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("gateway.transports.adapter_scan.FIRST_WAIT_S", 0.02)
    monkeypatch.setattr("gateway.transports.adapter_scan.MAX_WAIT_S", 0.1)
    monkeypatch.setattr("gateway.transports.bluez_bus.OFF_S", 0.02)
    monkeypatch.setattr("gateway.transports.bleak_scan.BUSY_WAIT_S", 0.02)
    return Bench(sink, clock, TemperatureBeacon(), start)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's path (108 bytes)."""
    with tempfile.TemporaryDirectory(prefix="gw") as name:
        yield Path(name)


@pytest.fixture
async def private_bus(
    short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[PrivateBus]:
    bus = PrivateBus(short_directory)
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    monkeypatch.delenv("BLEAK_DBUS_AUTH_UID", raising=False)
    bus.start()
    yield bus
    bus.kill()
    # bleak keeps its connection for the life of the process; with the bus gone it lets go.
    await until(lambda: not any("_monitor_bus" in repr(task) for task in asyncio.all_tasks()))


@pytest.fixture
async def bluez(private_bus: PrivateBus) -> AsyncIterator[FakeBlueZ]:
    fake = FakeBlueZ()
    await fake.start()
    yield fake
    await fake.stop()
