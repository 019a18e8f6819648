"""How the daemon ends, what it refuses, and what it tells systemd on the way."""

import json
import random
import shutil
import signal
import socket
from pathlib import Path

import pytest

from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor, run_command
from tests.end_to_end.held_line import HeldLine, Traffic, number_of
from tests.end_to_end.subscriber import Subscriber, first_arrivals

pytestmark = pytest.mark.timeout(120)

SENSOR = "air"
NEVER = "60 s"
"""A flush interval longer than any test: what is on the disk was brought there by the stop."""


@pytest.mark.mosquitto
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_stop_under_load_flushes_everything(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    port = free_port()
    sections = dust_sensor(SENSOR, tmp_path) + broker("aarhus", port, 'format = "json"')
    gateway = GatewayProcess(tmp_path, sections, flush_interval=NEVER)
    with HeldLine(tmp_path / "tty-air") as line:
        async with gateway:
            await gateway.until_metric("port_open", 1)
            async with Traffic(line).flowing():
                await gateway.until_metric("sensor_readings_total", 2 * rng.randrange(200, 900))
                newest = await gateway.live(SENSOR)
                assert await gateway.stop() == 0
        assert "stopped; everything is flushed" in gateway.log
        shutil.rmtree(gateway.runtime)  # as after a power cut: only the disk counts
        async with (
            Mosquitto(tmp_path / "broker", port=port) as mosquitto,
            Subscriber(tmp_path, mosquitto.port) as city,
            gateway,
        ):
            assert (await gateway.metrics()).value("buffer_recovered_readings_total") == 0
            await gateway.until("aarhus", pending=0)
            await city.subscribed()
    arrived = first_arrivals(city.readings())
    old = {sequence: reading for (epoch, sequence), reading in arrived.items() if epoch == 1}
    assert sorted(old) == list(range(len(old)))
    values = [old[sequence]["value"] for sequence in sorted(old)]
    numbers = [number_of(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
    assert numbers == list(range(len(numbers)))
    assert numbers[-1] >= number_of(newest["air.pm25"], newest["air.pm10"])


@pytest.mark.mosquitto
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_broker_is_told(tmp_path: Path, number: signal.Signals) -> None:
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = dust_sensor(SENSOR, tmp_path) + broker("aarhus", mosquitto.port)
        with HeldLine(tmp_path / "tty-air") as line:
            async with Subscriber(tmp_path, mosquitto.port) as city:
                gateway = GatewayProcess(tmp_path, sections)
                async with gateway:
                    await gateway.until("aarhus", state="online")
                    await city.until(lambda city: bool(city.messages("/status")))
                    assert city.status()["state"] == "online"
                    async with Traffic(line).flowing():
                        await gateway.until_metric("sensor_readings_total", 100)
                        assert await gateway.stop(number) == 0
                await city.subscribed()
                status = city.status()
                assert (status["state"], status["reason"]) == ("offline", "stopped")
        async with Subscriber(tmp_path, mosquitto.port) as late:
            (kept,) = late.messages()
            assert kept.retained
            assert kept.topic == "city/testlab/test-box/status"
            assert json.loads(kept.payload)["state"] == "offline"


@pytest.mark.mosquitto
async def test_the_broker_tells_of_a_death_for_which_there_was_no_time(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        gateway = GatewayProcess(tmp_path, broker("aarhus", mosquitto.port))
        async with Subscriber(tmp_path, mosquitto.port) as city, gateway.by_hand():
            await gateway.start()
            await city.until(lambda city: bool(city.messages("/status")))
            await gateway.kill()
            await city.until(lambda city: city.status()["state"] == "offline")
            assert city.status()["reason"] == "lost"
        async with Subscriber(tmp_path, mosquitto.port) as late:
            (kept,) = late.messages("/status")
            assert kept.retained


@pytest.mark.mosquitto
async def test_a_broker_that_does_not_answer_holds_up_no_stop(tmp_path: Path) -> None:
    async with Mosquitto(tmp_path / "broker") as mosquitto:
        sections = (
            dust_sensor(SENSOR, tmp_path)
            + broker("frozen", mosquitto.port)
            + broker("dead", free_port())
        )
        gateway = GatewayProcess(tmp_path, sections)
        with HeldLine(tmp_path / "tty-air") as line:
            async with gateway:
                await gateway.until("frozen", state="online")
                await gateway.until_metric("port_open", 1)
                mosquitto.freeze()
                async with Traffic(line).flowing():
                    await gateway.until_metric("link_in_flight_messages", 1, link="frozen")
                    assert await gateway.stop() == 0
    assert "stopped; everything is flushed" in gateway.log


async def test_a_second_daemon_is_refused(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, "") as first:
        (tmp_path / "second").mkdir()
        second = GatewayProcess(tmp_path / "second", "", state=first.state)
        answer = await run_command("run", "--config", str(second.config))
        assert answer.code == 1
        (sentence,) = (line for line in answer.errors.splitlines() if line.startswith("error:"))
        assert str(first.state) in sentence
        assert "Traceback" not in answer.errors
        assert (await first.status())["health"]["state"] == "ok"
    async with second:  # and the directory is free afterwards
        assert (await second.status())["gateway"] == "test-box"


async def test_check_says_what_would_run(tmp_path: Path) -> None:
    good = GatewayProcess(tmp_path, dust_sensor(SENSOR, tmp_path) + broker("aarhus", 1883))
    answer = await run_command("check", "--config", str(good.config))
    assert (answer.code, answer.errors) == (0, "")
    assert SENSOR in answer.output
    assert "aarhus" in answer.output
    answer = await run_command("check", "--json", "--config", str(good.config))
    assert answer.code == 0
    assert json.loads(answer.output)["sensor"][0]["name"] == SENSOR
    assert not good.state.exists(), "check changes nothing"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('schema = 1\n[gateway]\nid = "box"\n[[sensor]]\nname = "a"\n', "sensor[a]"),
        ('schema = 1\n[gateway]\nid = "box"\ncolour = "red"\n', "colour"),
        ("this is no TOML", "gateway.toml"),
        (None, "gateway.toml"),
    ],
    ids=["incomplete", "unknown-key", "no-toml", "no-file"],
)
@pytest.mark.parametrize("command", ["check", "run", "reload"])
async def test_a_wrong_configuration_is_exit_code_2(
    tmp_path: Path, command: str, content: str | None, said: str
) -> None:
    path = tmp_path / "gateway.toml"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    answer = await run_command(command, "--config", str(path))
    assert answer.code == 2
    assert answer.output == ""
    assert all(line.startswith("error: ") for line in answer.errors.splitlines())
    assert said in answer.errors


async def test_wrong_usage_is_exit_code_2_and_no_daemon_is_1(tmp_path: Path) -> None:
    assert (await run_command("fly")).code == 2
    assert (await run_command()).code == 2
    gateway = GatewayProcess(tmp_path, "")
    answer = await run_command("reload", "--config", str(gateway.config))
    assert answer.code == 1
    assert answer.errors.startswith("error: ")


async def test_systemd_is_told(tmp_path: Path) -> None:
    async with GatewayProcess(tmp_path, "").by_hand() as gateway:
        await gateway.start(WATCHDOG_USEC="300000")
        notified = gateway.notified
        assert notified is not None
        assert notified.lines[0] == "READY=1"
        assert notified.lines[1].startswith("STATUS=ok: ")
        await gateway.told("WATCHDOG=1", times=3)  # it is fed again and again
        gateway.hang_up()
        await gateway.told("READY=1", times=2)
        begun = notified.lines.index("RELOADING=1")
        assert notified.lines[begun + 1].startswith("MONOTONIC_USEC=")
        assert notified.lines.index("READY=1", begun) > begun
        assert await gateway.stop() == 0
        assert notified.lines[-1] == "STOPPING=1"
        assert notified.lines.count("STOPPING=1") == 1


async def test_a_name_server_that_does_not_answer_holds_up_no_stop(tmp_path: Path) -> None:
    """The look-up cannot be cancelled, so it is left behind; pytest's time-out is the limit."""
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import socket, time\nsocket.getaddrinfo = lambda *a, **k: time.sleep(600)\n",
        encoding="utf-8",
    )
    sections = broker("aarhus", free_port()).replace("127.0.0.1", "broker.example")
    gateway = GatewayProcess(tmp_path, sections)
    await gateway.start(PYTHONPATH=str(patch))
    await gateway.until("aarhus", state="connecting")
    assert await gateway.stop() == 0
    assert "stopped; everything is flushed" in gateway.log


async def test_a_port_that_is_taken_costs_the_page_and_nothing_else(tmp_path: Path) -> None:
    gateway = GatewayProcess(tmp_path, dust_sensor(SENSOR, tmp_path), flush_interval=NEVER)
    with socket.socket() as taken, HeldLine(tmp_path / "tty-air") as line:
        taken.bind(("127.0.0.1", gateway.http_port))
        taken.listen()
        await gateway.start()
        await gateway.logged("no status page and no metrics: cannot listen on 127.0.0.1")
        async with Traffic(line).flowing():
            await gateway.logged("is open at")
        assert await gateway.stop() == 0
