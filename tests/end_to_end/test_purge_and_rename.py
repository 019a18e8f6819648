"""What the ring can do on request, through the real daemon: forget a sensor, rename a broker."""

from pathlib import Path

import pytest

from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, Traffic
from tests.end_to_end.subscriber import Subscriber
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

SECRET_NAME = "wohnung-7"


def holds(folder: Path, text: str) -> list[str]:
    """Return the files in which a text stands."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]


@pytest.mark.timeout(120)
async def test_priv_11_a_purged_sensor_is_gone_and_may_come_back(tmp_path: Path) -> None:
    port = free_port()
    with (
        HeldLine(tmp_path / "tty-stays") as stays,
        HeldLine(tmp_path / f"tty-{SECRET_NAME}") as goes,
    ):
        sections = (
            dust_sensor("stays", tmp_path)
            + dust_sensor(SECRET_NAME, tmp_path)
            + broker("aarhus", port, 'format = "json"')
        )
        async with GatewayProcess(tmp_path, sections) as gateway:
            kept, purged = Traffic(stays), Traffic(goes)
            async with kept.flowing(), purged.flowing():
                await gateway.until_metric("sensor_readings_total", 300, sensor="stays")
                await gateway.until_metric("sensor_readings_total", 300, sensor=SECRET_NAME)
                await kept.pause()
                await purged.pause()
                page = await gateway.metrics()
                stored = int(page.value("sensor_readings_total", sensor=SECRET_NAME))
                other = int(page.value("sensor_readings_total", sensor="stays"))
                assert "series.json" in " ".join(holds(gateway.state, SECRET_NAME))

                answer = await run_command(
                    *("buffer", "purge", "--sensor", SECRET_NAME, "--yes"),
                    *("--config", str(gateway.config)),
                )
                assert answer.code == 0, answer
                assert str(stored) in answer.output, answer
                assert holds(gateway.state, SECRET_NAME) == []
                await gateway.link("aarhus")  # the identity holds

                purged.resume()
                await gateway.until_metric("sensor_readings_total", stored + 50, sensor=SECRET_NAME)
                await purged.pause()
                again = (
                    int(
                        (await gateway.metrics()).value("sensor_readings_total", sensor=SECRET_NAME)
                    )
                    - stored
                )
                async with (  # the subscriber is there before the gateway gets in
                    Mosquitto(tmp_path / "broker") as mosquitto,
                    Subscriber(tmp_path, mosquitto.port) as city,
                    GateProxy(mosquitto.port, port=port),
                ):
                    await gateway.until("aarhus", pending=0)
                    await city.until(lambda city: len(city.readings()) >= other + again)
                    by_sensor = [reading["sensor"] for reading in city.readings()]
                    assert by_sensor.count(SECRET_NAME) == again
                    assert by_sensor.count("stays") == other
                    page = await gateway.metrics()
                    assert (
                        page.value("link_dropped_readings_total", link="aarhus", reason="purged")
                        == stored
                    )


@pytest.mark.timeout(120)
async def test_a_renamed_broker_goes_on_where_it_was(tmp_path: Path) -> None:
    dead = free_port()
    with HeldLine(tmp_path / "tty-air") as line:
        sensor = dust_sensor("air", tmp_path)
        async with GatewayProcess(tmp_path, sensor + broker("aarhus", dead)) as gateway:
            async with Traffic(line).flowing() as traffic:
                await gateway.until_metric("sensor_readings_total", 200)
                await traffic.pause()
                pending = (await gateway.link("aarhus")).pending
                assert pending >= 200
                gateway.write_config(sensor + broker("odense", dead, 'previous_name = "aarhus"'))
                answer = await run_command("reload", "--config", str(gateway.config))
                assert answer.code == 0, answer
                assert (await gateway.link("odense")).pending == pending
            assert await gateway.stop() == 0
            await gateway.start()
            assert (await gateway.link("odense")).pending == pending
