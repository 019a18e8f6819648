"""A runtime directory that is missing, lost or full costs what stands in it, and nothing else."""

import shutil
from pathlib import Path

import pytest

from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, dust_frame
from tests.end_to_end.subscriber import Subscriber

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(120)]


async def works(gateway: GatewayProcess, line: HeldLine, city: Subscriber) -> None:
    """A report goes all the way."""
    await gateway.until_metric("port_open", 1)
    before = len(city.readings())
    await line.write(dust_frame(11, 12))
    await city.until(lambda city: len(city.readings()) == before + 2)
    assert (await gateway.status())["health"]["state"] == "ok"


async def test_a_file_in_its_place_is_no_reason_not_to_start(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", mosquitto.port, 'format = "json"'
        )
        gateway = GatewayProcess(tmp_path, sections)
        gateway.runtime.write_text("somebody put a file here", encoding="utf-8")
        with HeldLine(tmp_path / "tty-air") as line:
            async with Subscriber(tmp_path, mosquitto.port) as city, gateway:
                await works(gateway, line, city)
                assert str(gateway.runtime) in gateway.log


async def test_a_reload_without_it_does_not_end_the_daemon(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", mosquitto.port, 'format = "json"'
        )
        with HeldLine(tmp_path / "tty-air") as line:
            async with (
                Subscriber(tmp_path, mosquitto.port) as city,
                GatewayProcess(tmp_path, sections) as gateway,
            ):
                await works(gateway, line, city)
                shutil.rmtree(gateway.runtime)
                gateway.hang_up()
                await gateway.logged("reload: nothing has changed")
                await gateway.told("READY=1", times=2)
                await works(gateway, line, city)
                answer = await run_command("reload", "--config", str(gateway.config))
                assert answer.code in (0, 1), "whatever it knows of the daemon, it says so"
                await works(gateway, line, city)
