"""Connect, QoS 1, outage, reconnect, retained status and last will, on every make of broker."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic
from tests.end_to_end.subscriber import first_arrivals
from tests.other_brokers.makes import MAKES, Make
from tests.proxy import GateProxy
from tests.subscribing import retained

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(120)]

STATUS = "city/testlab/test-box/status"


@pytest.mark.parametrize("make", MAKES)
async def test_nothing_acknowledged_is_missing_after_kills(tmp_path: Path, make: Make) -> None:
    """The broker is killed in the middle of traffic, and started on what its disk holds."""
    async with make.start(tmp_path / "broker") as server, GateProxy(server.port) as gate:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", gate.port, f'format = "json"\nprotocol = "{make.protocol}"'
        )
        with HeldLine(tmp_path / "tty-air") as line:
            async with (
                make.archive(tmp_path, server.port) as city,
                GatewayProcess(tmp_path, sections) as gateway,
            ):
                await gateway.until("aarhus", state="online")
                await gateway.until_metric("port_open", 1)
                traffic = Traffic(line)
                async with traffic.flowing():
                    for _ in range(make.outages):
                        seen = (await gateway.link("aarhus")).acknowledged
                        await gateway.until_metric("link_acknowledged_readings_total", seen + 200)
                        await server.kill()
                        gate.shut()
                        before = (await gateway.link("aarhus")).accepted
                        await gateway.until_metric("link_accepted_readings_total", before + 200)
                        await server.start()
                        await city.subscribed()
                        gate.open()
                        await gateway.until("aarhus", state="online")
                    await traffic.pause()
                await gateway.until_metric("sensor_readings_total", 2 * traffic.next_number)
                end = await gateway.until("aarhus", pending=0)
                assert end.accepted == end.acknowledged == 2 * traffic.next_number
                assert end.connects == 1 + make.outages
                await city.until(lambda city: len(first_arrivals(city.readings())) >= end.accepted)
    arrived = first_arrivals(city.readings())
    assert sorted(sequence for _, sequence in arrived) == list(range(end.accepted))
    assert city.messages("/gap") == []


async def until_state(port: int, what: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the retained status once it is so; each look is a new subscriber's."""
    async with asyncio.timeout(30):
        while True:
            status = json.loads(await retained(port, STATUS) or b"{}")
            assert isinstance(status, dict)
            if what(status):
                return status


@pytest.mark.parametrize("make", MAKES)
async def test_who_comes_later_reads_the_state_of_the_gateway(tmp_path: Path, make: Make) -> None:
    """Online, lost (the last will of a killed gateway), online again, stopped: all retained."""
    async with make.start(tmp_path / "broker") as server:
        sections = dust_sensor("air", tmp_path) + broker(
            "aarhus", server.port, f'format = "json"\nprotocol = "{make.protocol}"'
        )
        gateway = GatewayProcess(tmp_path, sections)
        with HeldLine(tmp_path / "tty-air"):
            async with gateway.by_hand():
                await gateway.start()
                await gateway.until("aarhus", state="online")
                await until_state(server.port, lambda status: status.get("state") == "online")
                await gateway.kill()
                lost = await until_state(server.port, lambda status: status["state"] != "online")
                assert (lost["state"], lost["reason"]) == ("offline", "lost")

                await gateway.start()
                await until_state(server.port, lambda status: status["state"] == "online")
                assert await gateway.stop() == 0
                stopped = await until_state(server.port, lambda status: status["state"] != "online")
                assert (stopped["state"], stopped["reason"]) == ("offline", "stopped")
