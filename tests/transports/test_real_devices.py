"""The drivers of this repository behind real ports, fed by their own simulated devices."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drivers.ops243 import Ops243
from drivers.ops243.simulated import SimulatedOps243
from drivers.p1 import P1
from drivers.p1.simulated import SimulatedP1
from drivers.ruuvi import Ruuvi, RuuviOptions
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.sds011 import Sds011
from drivers.sds011.simulated import SimulatedSds011
from gateway.transports import (
    AdvertReplay,
    AdvertSimulator,
    FaultPlan,
    PtySimulator,
    SerialLineTransport,
)
from tests.transports.conftest import Start
from tests.transports.parts import CLOCK, Recorder

ADDRESS = "C4:7F:51:00:00:01"
SERIAL_DEVICES = [(Sds011, SimulatedSds011), (Ops243, SimulatedOps243), (P1, SimulatedP1)]
CLEAN = FaultPlan()
DIRTY = FaultPlan(seed=11, dropped_byte=0.1, noise_burst=0.1, duplicated_chunk=0.1)


@pytest.mark.parametrize("plan", [CLEAN, DIRTY], ids=["clean", "dirty"])
@pytest.mark.parametrize(("driver", "device"), SERIAL_DEVICES, ids=["sds011", "ops243", "p1"])
async def test_a_serial_device_is_read(
    driver: Any, device: Callable[[int], Any], plan: FaultPlan, tmp_path: Path, start: Start
) -> None:
    sink = Recorder()
    model = device(20_26)
    model.interval_s = 0.005
    simulator = PtySimulator(model, tmp_path / "port", faults=plan)
    transport = SerialLineTransport(
        sensor="one",
        port=str(tmp_path / "port"),
        driver=driver(driver.Options()),
        lines=driver.info.lines,
        sink=sink,
        clock=CLOCK,
        silence_timeout_s=3600.0,
    )
    start(simulator.run)
    await simulator.ready.wait()
    start(transport.run)
    await sink.until(lambda: len(sink.values()) >= 60)
    if plan is DIRTY:
        await sink.until(lambda: bool(sink.faults()))
    assert transport.stats.opens == 1


async def test_a_beacon_is_read(tmp_path: Path, start: Start) -> None:
    sink = Recorder()
    model = SimulatedRuuvi(20_26, ADDRESS)
    model.interval_s = 0.01
    replay = AdvertReplay(
        path=tmp_path / "adverts",
        beacons={ADDRESS: ("tag", Ruuvi(RuuviOptions()))},
        sink=sink,
        clock=CLOCK,
    )
    start(AdvertSimulator([model], tmp_path / "adverts").run)
    start(replay.run)
    await sink.until(lambda: len(sink.values("tag")) >= 40)
    assert replay.stats.adapters["replay"].malformed_lines == 0
