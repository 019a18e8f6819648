"""A new technician's path, from nothing to data at a city's broker: ``scripts/first-steps``."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from drivers.sds011.simulated import SimulatedSds011
from tests.brokers import free_port
from tests.cli.simulated_ports import plugged

SCRIPT = Path(__file__).parents[2] / "scripts" / "first-steps"
WAIT_S = 240.0
"""A hang, not a promise: it starts Python seven times on a machine that does other things, too."""

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(280)]


async def run_script(folder: Path, *arguments: str) -> str:
    """Run it to its end as somebody would who has installed the package; what it said."""
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "FOLDER": str(folder),
        "BROKER_PORT": str(free_port()),
        "HTTP_PORT": str(free_port()),
        "LISTEN": "2 s",
    }
    process = await asyncio.create_subprocess_exec(
        *(str(SCRIPT), *arguments),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    finally:
        if process.returncode is None:
            process.terminate()  # its trap stops what it has started
            await process.wait()
    said = output.decode()
    assert process.returncode == 0, said
    return said


def look_at(said: str, folder: Path) -> None:
    steps = dict(re.findall(r"(?ms)^== (\d)\. [^\n]*\n(.*?)(?=\n== |\Z)", said))
    assert list(steps) == [str(number) for number in range(8)]
    assert f"{folder}/etc/gateway.toml is written" in " ".join(steps["1"].split())
    assert "gateway.toml: fine" in steps["2"]
    assert '"sensor":"air-roof","quantity":"air.pm' in steps["4"]
    assert re.search(r"(?m)^testlab +online", steps["5"])
    assert re.search(r"(?m)^air-roof +fresh", steps["5"])
    assert not re.search(r"(?m)^fail", steps["6"]), steps["6"]
    assert re.search(r"(?m)^ok +broker testlab", steps["6"])
    assert "stopped; everything is flushed" in steps["7"]
    assert re.search(r"(?m)^readings +[1-9]", steps["7"])
    password = (folder / "password").read_text().strip()
    assert len(password) >= 16
    everything = said + (folder / "gateway.log").read_text()
    assert password not in everything + (folder / "etc/gateway.toml").read_text()


async def test_with_a_recording_in_the_place_of_a_sensor(tmp_path: Path) -> None:
    said = await run_script(tmp_path)
    await asyncio.to_thread(look_at, said, tmp_path)


async def test_with_a_sensor_at_a_port(tmp_path: Path) -> None:
    device = SimulatedSds011(1)
    device.interval_s = 0.05
    port = tmp_path / "tty-air"
    async with plugged({port: device}):
        said = await run_script(tmp_path, str(port))
    await asyncio.to_thread(look_at, said, tmp_path)
