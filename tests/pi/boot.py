"""One uptime: wait for the unit, measure, and cut the power when the plan says so."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.pi.box import Unit, unit_of
from tests.pi.city import City
from tests.pi.disk import Disk, look_at
from tests.pi.machine import Machine, Wiring
from tests.pi.ntp import TimeServer
from tests.pi.plan import Cut, clock_text
from tests.pi.sensor import DustSensor
from tests.pi.tools import Failed
from tests.pi.watch import Seen, Watcher

__all__ = ["Boot", "Place", "run_boot"]

UP_TIMEOUT_S = 300.0
FLUSH_TIMEOUT_S = 60.0
"""Hangs, not promises."""
LOOK_EVERY_S = 0.05
UNPLUGGED_S = 5.0


@dataclass(frozen=True)
class Place:
    """What outlives every uptime."""

    folder: Path
    wiring: Wiring
    token: str
    sensor: DustSensor
    city: City
    time_server: TimeServer


@dataclass
class Boot:
    """What is known of one uptime."""

    number: int
    cut: Cut
    powered_s: float = 0.0
    kernel_s: float = 0.0
    arrived_s: float = 0.0
    """When the city had its first reading; 0: not in this uptime."""
    ended_s: float = 0.0
    unit: Unit | None = None
    seen: list[Seen] = field(default_factory=list)
    unplugged_s: float = 0.0
    replugged_s: float = 0.0
    """When the adapter was pulled out, and when it was put back; 0: never."""
    disk: Disk | None = None
    problem: str = ""
    """Why it could not go on as planned."""


@contextlib.asynccontextmanager
async def powered(place: Place, boot: Boot) -> AsyncIterator[tuple[Machine, Watcher]]:
    """Switch on, and off without a warning at the end; the disk is looked at then."""
    folder = place.folder / f"boot-{boot.number:02}"
    folder.mkdir()
    clock = clock_text(boot.cut.clock, boot.cut.clock_days)
    machine = Machine(place.wiring, folder, hardware_clock=clock)
    watcher = Watcher(place.wiring.http_port, place.token)
    boot.seen = watcher.seen
    place.sensor.forget()
    place.time_server.is_on = boot.cut.time_server
    tasks = [
        asyncio.create_task(watcher.run()),
        asyncio.create_task(_note_first_arrival(place.city, boot)),
    ]
    try:
        await machine.power_on()
        boot.powered_s, boot.kernel_s = machine.powered_s, machine.kernel_s
        yield machine, watcher
    finally:
        boot.ended_s = time.monotonic()
        await machine.cut()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):
            raise end
    boot.disk = await look_at(place.wiring.disk, folder)


async def _note_first_arrival(city: City, boot: Boot) -> None:
    """Note when the city gets the first reading that was taken in this uptime."""
    looked = len(city.listener.readings())
    before = max((row["epoch"] for row in city.listener.readings()), default=0)
    while True:
        rows = city.listener.readings()
        if any(row["epoch"] > before for row in rows[looked:]):
            boot.arrived_s = time.monotonic()
            return
        looked = len(rows)
        await asyncio.sleep(LOOK_EVERY_S)


async def until(true: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return when it is so; TimeoutError says what did not come."""
    try:
        async with asyncio.timeout(timeout_s):
            while not true():  # noqa: ASYNC110 - it happens in another machine
                await asyncio.sleep(LOOK_EVERY_S)
    except TimeoutError:
        raise TimeoutError(f"{what} within {timeout_s:.0f} s") from None


async def until_up(boot: Boot, machine: Machine, watcher: Watcher) -> None:
    """Return when the unit has come up by itself and readings flow."""
    await until(lambda: bool(watcher.seen), UP_TIMEOUT_S, "the unit did not come up by itself")
    await until(
        lambda: watcher.seen[-1].appended > 0, UP_TIMEOUT_S, "no reading came into the buffer"
    )
    boot.unit = await unit_of(machine)


async def run_boot(place: Place, boot: Boot, *, replug: bool = False) -> None:
    """Live through one uptime that ends with a power cut; ``replug`` the adapter before."""
    try:
        async with (
            powered(place, boot) as (machine, watcher),
            place.city.coming_back(boot.cut.back_s),
        ):
            if boot.cut.moment == "booting":
                await asyncio.sleep(boot.cut.after_s)
                return
            await until_up(boot, machine, watcher)
            if replug:
                await pull_and_replug(boot, machine, watcher)
            await moment(place, boot, watcher)
    except (OSError, Failed) as error:  # TimeoutError is an OSError
        boot.problem = str(error)


async def pull_and_replug(boot: Boot, machine: Machine, watcher: Watcher) -> None:
    """Pull the adapter out and put it back; return when the port is open again."""
    boot.unplugged_s = time.monotonic()
    await machine.unplug()
    await until(lambda: not watcher.seen[-1].port_open, UP_TIMEOUT_S, "the port did not close")
    await asyncio.sleep(UNPLUGGED_S)
    boot.replugged_s = time.monotonic()
    await machine.replug()
    await until(lambda: watcher.seen[-1].port_open, UP_TIMEOUT_S, "the port did not open again")
    appended = watcher.seen[-1].appended
    await until(
        lambda: watcher.seen[-1].appended > appended, UP_TIMEOUT_S, "no readings after the replug"
    )


async def moment(place: Place, boot: Boot, watcher: Watcher) -> None:
    """Return at the moment of the cut."""
    if boot.cut.moment == "broker away" and not place.city.is_away:
        await place.city.go_away()
    if boot.cut.moment == "flushed":
        flushes = watcher.seen[-1].flushes
        await until(lambda: watcher.seen[-1].flushes > flushes, FLUSH_TIMEOUT_S, "no flush ended")
    await asyncio.sleep(boot.cut.after_s)
