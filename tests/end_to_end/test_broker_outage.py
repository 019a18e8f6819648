"""A broker that is killed again and again: every accepted reading arrives, in order if asked."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic, number_of
from tests.end_to_end.subscriber import Subscriber, first_arrivals
from tests.proxy import GateProxy

pytestmark = pytest.mark.mosquitto

OUTAGES = 4
WAYS_TO_GO = ("kill", "stop", "freeze", "shut")


async def lose_broker(way: str, mosquitto: Mosquitto, gate: GateProxy, rng: random.Random) -> None:
    """Take the broker away in one of the ways in which brokers go; the gate is shut afterwards."""
    if way == "freeze":  # messages are on their way that nobody will ever acknowledge
        mosquitto.freeze()
        await asyncio.sleep(rng.uniform(0.1, 0.5))
    if way in ("kill", "freeze"):
        await mosquitto.kill()
    elif way == "stop":
        await mosquitto.stop()
    gate.shut()


def check_order(readings: list[dict[str, Any]]) -> None:
    """Within a series the first arrivals come in the order of measurement."""
    newest: dict[tuple[str, str], int] = {}
    for reading in readings:
        series = reading["sensor"], reading["quantity"]
        assert reading["sequence"] > newest.get(series, -1), reading
        newest[series] = reading["sequence"]


@pytest.mark.parametrize(
    ("protocol", "history", "seed"),
    [("5", "in-order", 1), ("3.1.1", "in-order", 2), ("5", "beside", 3)],
    ids=["mqtt5-seed1", "mqtt311-seed2", "beside-seed3"],
)
@pytest.mark.timeout(120)
async def test_no_accepted_reading_is_missing(
    tmp_path: Path, protocol: str, history: str, seed: int
) -> None:
    rng = random.Random(seed)
    ways = [*WAYS_TO_GO]
    rng.shuffle(ways)
    async with Mosquitto(tmp_path / "broker") as mosquitto, GateProxy(mosquitto.port) as gate:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus",
            gate.port,
            f'format = "json"\nprotocol = "{protocol}"\nhistory = "{history}"',
        )
        with HeldLine(tmp_path / "tty-air") as line:
            async with (
                Subscriber(tmp_path, mosquitto.port) as city,
                GatewayProcess(tmp_path, sections) as gateway,
            ):
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)
                traffic = Traffic(line)
                async with traffic.flowing():
                    for way in ways:
                        await asyncio.sleep(rng.uniform(0.1, 0.6))
                        before = await gateway.link("aarhus")
                        await lose_broker(way, mosquitto, gate, rng)
                        await asyncio.sleep(rng.uniform(0.1, 0.6))
                        await gateway.until_metric(
                            "link_accepted_readings_total", before.accepted + 1, link="aarhus"
                        )
                        if mosquitto.process is None:
                            await mosquitto.start()
                        await city.subscribed()
                        gate.open()
                        await gateway.until("aarhus", state="online")
                    await traffic.pause()
                await gateway.until_metric("sensor_readings_total", 2 * traffic.next_number)
                end = await gateway.until("aarhus", pending=0)
                assert end.connects == 1 + OUTAGES
                assert end.accepted == end.acknowledged == 2 * traffic.next_number
                arrived = await all_of(city, end.accepted)
                await gateway.stop()
    if history == "in-order":
        check_order(list(arrived.values()))
    sequences = sorted(sequence for _, sequence in arrived)
    assert sequences == list(range(sequences[0], sequences[0] + end.accepted))
    values = [arrived[key]["value"] for key in sorted(arrived)]
    assert [number_of(*pair) for pair in zip(values[::2], values[1::2], strict=True)] == list(
        range(traffic.next_number)
    )
    assert city.messages("/gap") == []


async def all_of(city: Subscriber, count: int) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the first arrivals when there are so many; fails if one of them is missing."""
    await city.until(lambda city: len(first_arrivals(city.readings())) >= count)
    arrived = first_arrivals(city.readings())
    assert len(arrived) == count
    return arrived
