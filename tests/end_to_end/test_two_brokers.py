"""A broker that is dead from the start costs the other city nothing, and gets everything later."""

import random
from pathlib import Path

import pytest

from tests.brokers import Mosquitto, free_port
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic, number_of
from tests.end_to_end.subscriber import Subscriber, first_arrivals
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

MIN_READINGS = 2000


@pytest.mark.parametrize(("alive", "late"), [("5", "3.1.1"), ("3.1.1", "5")])
@pytest.mark.timeout(120)
async def test_the_dead_one_catches_up(tmp_path: Path, alive: str, late: str) -> None:
    late_port = free_port()
    async with Mosquitto(tmp_path / "alive") as aarhus:
        sections = (
            dust_sensor("air", tmp_path)
            + broker("aarhus", aarhus.port, f'format = "json"\nprotocol = "{alive}"')
            + broker("vejle", late_port, f'format = "json"\nprotocol = "{late}"')
        )
        with HeldLine(tmp_path / "tty-air") as line:
            async with (
                Subscriber(tmp_path, aarhus.port) as city,
                GatewayProcess(tmp_path, sections) as gateway,
            ):
                await gateway.until_metric("port_open", 1)
                traffic = Traffic(line)
                async with traffic.flowing():
                    await gateway.until_metric("sensor_readings_total", MIN_READINGS)
                    await traffic.pause()
                total = 2 * traffic.next_number
                await gateway.until("aarhus", acknowledged=total, pending=0)
                dead = await gateway.until("vejle", pending=total)
                assert (dead.accepted, dead.acknowledged, dead.connects) == (total, 0, 0)
                assert (await gateway.metrics()).total("link_disconnects_total", link="vejle") > 0
                await city.until(lambda city: len(city.readings()) >= total)
                assert [reading["sequence"] for reading in city.readings()] == list(range(total))

                async with (
                    Mosquitto(tmp_path / "late") as vejle,
                    Subscriber(tmp_path, vejle.port) as other_city,
                    GateProxy(vejle.port, port=late_port),
                ):
                    caught_up = await gateway.until("vejle", pending=0)
                    assert caught_up.acknowledged == caught_up.accepted == total
                    await other_city.subscribed()
                    await gateway.stop()
    ours = first_arrivals(city.readings())
    theirs = first_arrivals(other_city.readings())
    assert list(theirs) == sorted(ours)
    for name, reading in theirs.items():
        assert {**reading, "time": ""} == {**ours[name], "time": ""}
    values = [reading["value"] for reading in theirs.values()]
    numbers = [number_of(*pair) for pair in zip(values[::2], values[1::2], strict=True)]
    assert numbers == list(range(traffic.next_number))
    assert other_city.messages("/gap") == city.messages("/gap") == []


@pytest.mark.parametrize("seed", [1])
@pytest.mark.timeout(120)
async def test_what_waits_survives_a_restart_of_the_daemon(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    late_port = free_port()
    sections = dust_sensor("air", tmp_path) + broker("vejle", late_port, 'format = "json"')
    gateway = GatewayProcess(tmp_path, sections)
    owed = 0
    with HeldLine(tmp_path / "tty-air") as line:
        traffic = Traffic(line)
        for _ in range(3):
            async with gateway:
                assert (await gateway.link("vejle")).accepted == owed
                await gateway.until_metric("port_open", 1)
                sent = rng.randrange(50, 400)
                async with traffic.flowing():
                    await gateway.until_metric("sensor_readings_total", 2 * sent)
                    await traffic.pause()
                await gateway.until("vejle", pending=2 * traffic.next_number)
                owed = 2 * traffic.next_number
        async with (
            Mosquitto(tmp_path / "late") as vejle,
            Subscriber(tmp_path, vejle.port) as city,
            GateProxy(vejle.port, port=late_port),
            gateway,
        ):
            await gateway.until("vejle", acknowledged=owed, pending=0)
            await city.subscribed()
    arrived = first_arrivals(city.readings())
    assert [sequence for _, sequence in arrived] == list(range(owed))
    assert len({epoch for epoch, _ in arrived}) == 3
