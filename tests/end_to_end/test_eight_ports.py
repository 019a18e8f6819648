"""Eight ports and a bus at full rate, 5 % of all bytes damaged, one after the other unplugged.

The whole left side runs in this process, as the daemon wires it: transports, drivers, intake, ring.
``CITYLAB_GATEWAY_PORTS_ROUNDS`` makes it longer: so often each device is unplugged.
"""

import asyncio
import math
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from gateway import daemon as daemon_module
from gateway.buffer.inspect import RingView
from gateway.config.load import load
from gateway.daemon import Daemon
from gateway.driver import Outcome
from gateway.intake import Intake
from gateway.reading import Fault, Measured
from tests.serial_world import PLACES, Key, SerialWorld, truth

SEEDS = [20_26]
ROUNDS = int(os.environ.get("CITYLAB_GATEWAY_PORTS_ROUNDS", "1"))
ROUND_TIMEOUT_S = 40.0
READINGS_AFTER = 4
"""A port is back when so many more readings came from it."""
PASSED_BY_A_SUM = 1 / 64
"""Of the damaged frames so many pass a sum of 8 bits at most; by chance it is 1 in 256."""
CONFIGURATION = """
schema = 1
[gateway]
id = "eight-ports"
[buffer]
directory = "{folder}/state"
runtime_directory = "{folder}/run"
size = "32 MiB"
[clock]
trusted = true
{sections}
"""


class TappedIntake(Intake):
    """The real one, and a list of what it was given."""

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.taken: dict[str, list[Key]] = {}
        self.faults: Counter[str] = Counter()

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        outcomes = list(outcomes)
        for each in outcomes:
            if isinstance(each, Measured):
                key = (each.quantity, each.dims, each.value)
                self.taken.setdefault(sensor, []).append(key)
            elif isinstance(each, Fault):
                self.faults[sensor] += 1
        super().accept(sensor, outcomes, received_ns)


@pytest.fixture
def tapped(monkeypatch: pytest.MonkeyPatch) -> list[TappedIntake]:
    """Put the tap in; the list holds it once the daemon has begun. Retries come quickly."""
    made: list[TappedIntake] = []

    def tap(store: Any) -> TappedIntake:
        made.append(TappedIntake(store))
        return made[-1]

    monkeypatch.setattr(daemon_module, "Intake", tap)
    for module in ("serial_line", "serial_bus"):
        monkeypatch.setattr(f"gateway.transports.{module}.FIRST_WAIT_S", 0.02)
        monkeypatch.setattr(f"gateway.transports.{module}.MAX_WAIT_S", 0.1)
    return made


@pytest.fixture(params=SEEDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> SerialWorld:
    return SerialWorld(tmp_path, request.param)


@pytest.fixture
def daemon(world: SerialWorld, tapped: list[TappedIntake]) -> Daemon:
    """Made outside the event loop, as the command does it."""
    del tapped
    path = world.folder / "gateway.toml"
    text = CONFIGURATION.format(folder=world.folder, sections=world.sections())
    path.write_text(text, encoding="utf-8")
    return Daemon(path, load(path))


async def until(enough: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(ROUND_TIMEOUT_S):
            while not enough():  # noqa: ASYNC110 - counters, which tell nobody
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"never: {what}") from None


async def started(daemon: Daemon, running: "asyncio.Task[None]", sensors: int) -> None:
    """Return when all sensors are there, or raise what the daemon ended with."""
    while not (hasattr(daemon, "_sensors") and len(daemon._sensors.ports) == sensors):
        if running.done():
            await running
        await asyncio.sleep(0.01)


async def all_read(world: SerialWorld, intake: TappedIntake, names: Iterable[str]) -> None:
    """Wait until each of these sensors has given some more readings."""
    want = {name: len(intake.taken.get(name, ())) + READINGS_AFTER for name in names}
    for name, count in want.items():
        await until(
            lambda name=name, count=count: len(intake.taken.get(name, ())) >= count,  # type: ignore[misc]
            f"{count} readings of {name}: {world.simulators[world.sensors[name]].sent_bytes} sent",
        )


async def pull_each(world: SerialWorld, daemon: Daemon, rng: random.Random) -> None:
    """Unplug one device after the other and plug it in again; its neighbours are read on."""
    ports = list(world.simulators)
    rng.shuffle(ports)
    for port in ports:
        simulator = world.simulators[port]
        name = next(each for each, where in world.sensors.items() if where == port)
        stats = daemon.view().ports[name]
        vanished = stats.reopens.get("vanished", 0)
        await simulator.unplug()
        await until(lambda: stats.reopens.get("vanished", 0) > vanished, f"{port} is gone")  # noqa: B023
        assert not stats.open
        await asyncio.sleep(rng.uniform(0.0, 0.05))
        await simulator.replug()


@pytest.mark.timeout(30 + 30 * ROUNDS)
async def test_what_comes_through_was_sent(
    world: SerialWorld, daemon: Daemon, tapped: list[TappedIntake]
) -> None:
    before = asyncio.all_tasks()
    rng = random.Random(len(world.simulators))
    async with world:
        running = asyncio.create_task(daemon.run())
        await until(
            lambda: bool(tapped) and len(daemon.view().ports) == len(world.sensors), "ready"
        )
        (intake,) = tapped
        await all_read(world, intake, world.sensors)
        for _ in range(ROUNDS):
            await pull_each(world, daemon, rng)
            await all_read(world, intake, world.sensors)
        view = daemon.view()
        daemon._stop.set()
        await running
    assert asyncio.all_tasks() == before
    assert set(view.task_restarts.values()) == {0}
    for name, port in world.sensors.items():
        assert view.ports[name].reopens == {"vanished": ROUNDS}, name
        assert world.simulators[port].noise.damaged > 0
        assert intake.faults[name] > 0, f"{name}: damage was counted nowhere"
    await asyncio.get_running_loop().run_in_executor(None, judge, world, intake)
    appended = view.buffer.appended_readings
    assert await asyncio.get_running_loop().run_in_executor(None, stored, world.folder) >= appended


def judge(world: SerialWorld, intake: TappedIntake) -> None:
    """Compare what was taken with what the devices sent, and with what was counted."""
    for name, stats in intake.stats.items():
        assert stats.readings == len(intake.taken[name]), name
        assert stats.refused == 0, name
        assert sum(stats.faults.values()) == intake.faults[name], name
        assert all(math.isfinite(value) for _, _, value in intake.taken[name])
    for place in PLACES:
        invented = set(intake.taken[place.driver]) - truth(
            place, bytes(world.devices[place.driver].sent)
        )
        if place.check == "crc":
            assert not invented, place.driver
        elif place.check == "sum":
            assert len(invented) <= PASSED_BY_A_SUM * intake.faults[place.driver], place.driver


def stored(folder: Path) -> int:
    with RingView(folder / "state") as ring:
        head = ring.head()
        return 0 if head is None else head.end
