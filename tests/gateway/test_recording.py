"""Sensors that say ``record``, through the whole daemon: what they said is in the file."""

import asyncio
import contextlib
import logging
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from drivers.mhz19.simulated import SimulatedMhz19
from drivers.ruuvi.simulated import SimulatedRuuvi
from drivers.sds011 import Sds011, Sds011Options
from drivers.sds011.simulated import SimulatedSds011
from gateway.config.model import Configuration
from gateway.control import PurgeRequest
from gateway.daemon import Daemon
from gateway.driver import SimulatedStream
from gateway.quantities import registry
from gateway.reading import Measured
from gateway.transports.recording import format_advert, parse_advert, parse_bytes
from gateway.transports.simulator import PtySimulator
from tests.transports.parts import until

OURS, NEIGHBOURS = "C4:7F:51:00:00:01", "AA:BB:CC:DD:EE:FF"


class Often(SimulatedSds011):
    """Does not take a second to speak again."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.interval_s = 0.02


@pytest.fixture
def adverts(tmp_path: Path) -> Path:
    beacons = [SimulatedRuuvi(1, OURS), SimulatedRuuvi(2, NEIGHBOURS)]
    path = tmp_path / "adverts.jsonl"
    lines = [format_advert(0.1 * n, beacons[n % 2].emit()) for n in range(8)]
    path.write_bytes(b"".join(lines))
    return path


def make(tmp_path: Path, sensors: Sequence[dict[str, Any]], **sections: Any) -> Daemon:
    registry()  # reading the configuration file has read it, outside the event loop
    configuration = Configuration.model_validate(
        {
            "gateway": {"id": "box"},
            "buffer": {
                "directory": tmp_path / "state",
                "runtime_directory": tmp_path / "run",
                "size": "1 MiB",
            },
            "clock": {"trusted": True},
            "sensor": sensors,
            **sections,
        }
    )
    return Daemon(tmp_path / "gateway.toml", configuration)


@pytest.fixture
def daemon(tmp_path: Path, adverts: Path) -> Daemon:
    """Made outside the event loop, as the command does it: it reads the boot id."""
    return make(
        tmp_path,
        [
            {"name": "dust", "driver": "sds011", "port": str(tmp_path / "dust"), "record": True},
            {"name": "quiet", "driver": "sds011", "port": str(tmp_path / "quiet")},
            {
                "name": "co2",
                "driver": "mhz19",
                "port": str(tmp_path / "co2"),
                "interval": "100 ms",
                "record": True,
            },
            {"name": "tag", "driver": "ruuvi", "address": OURS, "record": True},
        ],
        bluetooth={"replay": str(adverts), "replay_speed": 0},
    )


@contextlib.asynccontextmanager
async def running(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    with caplog.at_level(logging.INFO, "citylab_gateway"):
        task = asyncio.create_task(daemon.run())
        while "is ready" not in caplog.text:
            assert not task.done()
            await asyncio.sleep(0.01)
        try:
            yield
        finally:
            daemon._stop.set()
            await task


@contextlib.asynccontextmanager
async def plugged_in(tmp_path: Path) -> AsyncIterator[None]:
    devices: dict[str, SimulatedStream] = {
        "dust": Often(1),
        "quiet": Often(2),
        "co2": SimulatedMhz19(3),
    }
    simulators = [PtySimulator(device, tmp_path / name) for name, device in devices.items()]
    tasks = [asyncio.create_task(each.run()) for each in simulators]
    for each in simulators:
        await each.ready.wait()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_to_be_recorded_is_and_nothing_else(
    tmp_path: Path, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    async with plugged_in(tmp_path), running(daemon, caplog):
        recorder = daemon.view().recorder
        assert recorder is not None
        for name, count in {"dust": 5, "co2": 2, "tag": 4}.items():
            await until(lambda name=name, count=count: recorder.chunks[name] >= count)  # type: ignore[misc]
        await until(lambda: daemon.view().sensors["quiet"].readings > 0)
    path = tmp_path / "state" / "recordings" / "raw.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["raw.jsonl"]
    lines = path.read_bytes().splitlines()

    heard = [parse_advert(line)[1] for line in lines if b'"address"' in line]
    assert {advert.address for advert in heard} == {OURS}
    assert len(heard) == 4
    said = [parse_bytes(line) for line in lines if b'"address"' not in line]
    assert {chunk.sensor for chunk in said} == {"dust", "co2"}
    assert all(bool(chunk.request) == (chunk.sensor == "co2") for chunk in said)
    driver = Sds011(Sds011Options())
    dust = b"".join(chunk.data for chunk in said if chunk.sensor == "dust")
    assert any(isinstance(outcome, Measured) for outcome in driver.feed(dust))
    assert recorder.lost_lines == 0


async def test_priv_11_a_purge_takes_the_recording_with_it(
    tmp_path: Path, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state" / "recordings"
    async with plugged_in(tmp_path):
        async with running(daemon, caplog):
            await until(lambda: folder.is_dir() and any(folder.iterdir()))
            await daemon._sensors.remove("tag")
            result = await daemon._do_purge(PurgeRequest("1", "tag"))
            assert result.problem == ""
            recorder = daemon.view().recorder
            assert recorder is not None
            before = recorder.chunks["dust"]
            await until(lambda: recorder.chunks["dust"] > before)
        left = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"address" not in left
    assert b'"dust"' in left, "what comes after the purge is recorded again"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Daemon:
    return make(
        tmp_path,
        [{"name": "dust", "driver": "sds011", "port": str(tmp_path / "dust"), "record": True}],
        recording={"directory": str(tmp_path / "elsewhere"), "size": "64 KiB", "keep": 2},
    )


async def test_the_directory_is_the_one_that_is_configured_and_a_reload_ends_it(
    tmp_path: Path, elsewhere: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "elsewhere" / "raw.jsonl"
    text = f"""
[gateway]
id = "box"
[buffer]
directory = "{tmp_path / "state"}"
runtime_directory = "{tmp_path / "run"}"
size = "1 MiB"
[clock]
trusted = true
[recording]
directory = "{tmp_path / "elsewhere"}"
size = "64 KiB"
keep = 2
[[sensor]]
name = "dust"
driver = "sds011"
port = "{tmp_path / "dust"}"
"""
    (tmp_path / "gateway.toml").write_text(text, encoding="utf-8")
    async with plugged_in(tmp_path), running(elsewhere, caplog):
        await until(path.exists)
        elsewhere._reload.set()
        await until(lambda: elsewhere.view().recorder is None)
        kept = path.read_bytes()
        assert kept.endswith(b"\n")
        readings = elsewhere.view().sensors["dust"].readings
        await until(lambda: elsewhere.view().sensors["dust"].readings > readings)
    assert path.read_bytes() == kept
