"""Which tasks that read sensors are stuck, what health says of it, and what the watchdog does."""

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace

import pytest

from gateway.observe import Health, Progress, Standstill, View, health
from gateway.observe.metrics import MetricsPage
from gateway.observe.standstill import LONGEST_LOOK_S, STUCK_S
from gateway.supervisor import Supervisor
from tests.observe.figures import SECOND, Room

LOOK_S = 10.0
LOOKS = round(STUCK_S / LOOK_S)


class Looks:
    """Looks at a room every ten seconds, as the watchdog does."""

    def __init__(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = room
        self.standstill = Standstill()
        self.progress = Progress()
        self.now_s = 1000.0
        module = importlib.import_module("gateway.observe.health")  # the package hides it
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def view(self, steps: Mapping[str, int]) -> View:
        return replace(self.room.look(), driver_steps=steps, standstill=self.standstill)

    def look(self, steps: Mapping[str, int], *, after_s: float = LOOK_S) -> bool:
        """Return whether the watchdog is fed."""
        self.now_s += after_s
        self.room.now_ns += round(after_s * SECOND)
        self.room.loop_lag.observe(0.0, self.now_s)
        self.room.flush_watch.observe_flush(0.01)
        for sensor in self.room.sensors.values():
            sensor.last_reading_ns = self.room.now_ns
        for link in self.room.links.values():
            link.last_acknowledged_ns = self.room.now_ns
        return self.progress(self.view(steps))


@pytest.fixture
def looks(room: Room, monkeypatch: pytest.MonkeyPatch) -> Looks:
    return Looks(room, monkeypatch)


def test_all_stuck_starves_the_watchdog(looks: Looks) -> None:
    steps = {"sensor:roof": 7, "bus:1": 9}
    assert all(looks.look(steps) for _ in range(LOOKS))
    assert health(looks.view(steps)).state == "ok"
    assert not looks.look(steps)
    reason = "all that reads sensors has stood still for 5 min: sensor:roof, bus:1"
    assert looks.progress.reason == reason
    assert health(looks.view(steps)) == Health("failing", (reason,))


def test_one_step_ends_it(looks: Looks) -> None:
    for _ in range(LOOKS + 2):
        looks.look({"sensor:roof": 7})
    assert looks.progress.reason
    assert looks.look({"sensor:roof": 8})
    assert health(looks.view({"sensor:roof": 8})).state == "ok"


def test_one_of_two_stuck_is_told_and_no_more(looks: Looks) -> None:
    for number in range(3 * LOOKS):
        steps = {"sensor:roof": 7, "sensor:square": number}
        assert looks.look(steps)
    verdict = health(looks.view(steps))
    assert verdict.state == "degraded"
    assert verdict.reasons == (
        (
            "1 of 2 tasks that read sensors stand still, a restart of the daemon mends that: "
            "sensor:roof"
        ),
    )
    text = MetricsPage(lambda: looks.view(steps)).render("")[0].decode()
    assert "\ncitylab_gateway_stuck_driver_tasks 1" in text


def test_what_a_failing_disk_left_in_memory_is_not_lost_for_it(looks: Looks) -> None:
    looks.room.buffer.degraded = True
    for _ in range(2 * LOOKS):
        assert looks.look({"sensor:roof": 7})
    assert looks.standstill.all_stuck
    looks.room.buffer.degraded = False
    assert not looks.look({"sensor:roof": 7}), "now a restart loses nothing"


def test_a_gateway_without_sensors_is_not_stuck(looks: Looks) -> None:
    assert all(looks.look({}) for _ in range(2 * LOOKS))


def test_a_frozen_machine_is_not_stuck(looks: Looks) -> None:
    looks.look({"sensor:roof": 7})
    assert looks.look({"sensor:roof": 7}, after_s=100 * STUCK_S)
    assert LONGEST_LOOK_S < STUCK_S


def test_a_sensor_that_came_by_a_reload_begins_anew(looks: Looks) -> None:
    for _ in range(LOOKS + 1):
        looks.look({"sensor:roof": 7})
    assert list(looks.standstill.stuck) == ["sensor:roof"]
    looks.look({"sensor:square": 0})
    assert not looks.standstill.stuck


def test_many_names_make_one_short_sentence(looks: Looks) -> None:
    steps = {f"sensor:s{number}": 1 for number in range(40)}
    for _ in range(LOOKS + 1):
        looks.look(steps)
    assert looks.progress.reason.endswith("sensor:s4 and 35 more")


async def test_each_wait_that_ends_is_a_step_and_one_that_never_does_is_none() -> None:
    many = asyncio.Event()
    was_cancelled = asyncio.Event()

    async def retries() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
        many.set()
        try:
            await asyncio.Event().wait()
        finally:
            was_cancelled.set()

    async def hangs() -> None:
        await asyncio.get_running_loop().create_future()

    async with Supervisor() as supervisor:
        supervisor.start("retries", retries)
        supervisor.start("hangs", hangs)
        await many.wait()
        assert supervisor.steps == {"retries": 21, "hangs": 1}
        await supervisor.stop("retries")
        assert was_cancelled.is_set()
        assert supervisor.steps == {"hangs": 1}


async def test_an_error_at_a_wait_arrives_where_it_is_awaited() -> None:
    caught: list[str] = []
    done = asyncio.Event()

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError("inside")

    async def waits() -> None:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            caught.append("timeout")
        try:
            await asyncio.gather(fails())
        except ZeroDivisionError as error:
            caught.append(str(error))
        done.set()
        await asyncio.Event().wait()

    async with Supervisor() as supervisor:
        supervisor.start("waits", waits)
        await done.wait()
        assert caught == ["timeout", "inside"]
        assert supervisor.restarts == {"waits": 0}
