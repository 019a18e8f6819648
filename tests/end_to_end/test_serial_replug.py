"""A device that is pulled out and put back: readings go on, and the daemon just counts it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.sds011.simulated import SimulatedSds011
from gateway.transports.simulator import PtySimulator
from tests.end_to_end.gateway_process import GatewayProcess

REPLUGS = 3
INTERVAL_S = 0.02


@contextlib.asynccontextmanager
async def plugged_in(simulator: PtySimulator) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(simulator.run())
        await simulator.ready.wait()
        yield
        task.cancel()


@pytest.mark.parametrize("seed", [1])
@pytest.mark.timeout(120)
async def test_readings_go_on_after_each_replug(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    devices = [SimulatedSds011(seed), SimulatedSds011(seed + 1)]
    for device in devices:
        device.interval_s = INTERVAL_S
    pulled = PtySimulator(devices[0], tmp_path / "tty-pulled")
    neighbour = PtySimulator(devices[1], tmp_path / "tty-neighbour")
    sections = "".join(
        f"""
        [[sensor]]
        name = "{name}"
        driver = "sds011"
        port = "{tmp_path}/tty-{name}"
        """
        for name in ("pulled", "neighbour")
    )
    async with (
        plugged_in(pulled),
        plugged_in(neighbour),
        GatewayProcess(tmp_path, sections) as gateway,
    ):
        pid = gateway.pid
        for replug in range(1, REPLUGS + 1):
            await gateway.until_metric("port_open", 1, sensor="pulled")
            before = (await gateway.metrics()).value("sensor_readings_total", sensor="pulled")
            await gateway.until_metric("sensor_readings_total", before + 1, sensor="pulled")
            await asyncio.sleep(rng.uniform(0.0, 0.1))
            await pulled.unplug()
            await gateway.until_metric(
                "port_reopens_total", replug, sensor="pulled", cause="vanished"
            )
            page = await gateway.metrics()
            assert page.value("port_open", sensor="pulled") == 0
            assert page.value("port_open", sensor="neighbour") == 1
            await asyncio.sleep(rng.uniform(0.0, 0.3))
            await pulled.replug()
            await gateway.until_metric("port_opens_total", 1 + replug, sensor="pulled")
        before = (await gateway.metrics()).value("sensor_readings_total", sensor="pulled")
        await gateway.until_metric("sensor_readings_total", before + 1, sensor="pulled")
        page = await gateway.metrics()
        assert gateway.pid == pid
        assert page.value("port_opens_total", sensor="pulled") == 1 + REPLUGS
        assert page.total("port_reopens_total", sensor="pulled") == REPLUGS
        assert page.value("port_opens_total", sensor="neighbour") == 1
        assert page.total("port_reopens_total", sensor="neighbour") == 0
        assert page.total("task_restarts_total") == 0
        status = await gateway.status()
        assert status["sensors"]["pulled"]["state"] == "fresh"
        assert status["sensors"]["pulled"]["port"] == "open"
    assert gateway.log.count("sensor pulled: ") >= 1 + 2 * REPLUGS


@pytest.mark.timeout(120)
async def test_a_device_that_is_missing_at_the_start_is_read_when_it_comes(tmp_path: Path) -> None:
    device = SimulatedSds011(3)
    device.interval_s = INTERVAL_S
    sections = f"""
    [[sensor]]
    name = "late"
    driver = "sds011"
    port = "{tmp_path}/tty-late"
    """
    async with GatewayProcess(tmp_path, sections) as gateway:
        assert (await gateway.status())["sensors"]["late"]["state"] == "silent"
        await gateway.logged("sensor late: ")
        async with plugged_in(PtySimulator(device, tmp_path / "tty-late")):
            await gateway.until_metric("sensor_readings_total", 4, sensor="late")
            page = await gateway.metrics()
        assert page.value("port_opens_total", sensor="late") == 1
