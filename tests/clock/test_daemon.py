"""The whole daemon on a box that wakes up without the time, until timedated says that it has it."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from dbus_fast import Variant

from gateway.clock import SYNCHRONIZED_MARK
from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, dust_sensor
from tests.end_to_end.held_line import HeldLine, Traffic
from tests.end_to_end.subscriber import Subscriber
from tests.gateway.test_timesync import FakeTimedated
from tests.transports.fake_bluez import PrivateBus

pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.dbus,
    pytest.mark.timeout(90),
    pytest.mark.skipif(SYNCHRONIZED_MARK.exists(), reason="this machine's clock is right already"),
]


class Unsure(GatewayProcess):
    """A gateway whose clock nobody vouches for."""

    hold = "1 h"

    def write_config(self, sections: str) -> None:
        super().write_config(sections)
        text = self.config.read_text(encoding="utf-8")
        text = text.replace("trusted = true", f'hold_unsynced = "{self.hold}"')
        self.config.write_text(text, encoding="utf-8")


class Impatient(Unsure):
    hold = "0 s"


@pytest.fixture
async def timedated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    bus = PrivateBus(tmp_path)
    bus.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
    fake = FakeTimedated()
    await fake.start()
    yield fake
    await fake.stop()
    bus.kill()


async def status_until(gateway: GatewayProcess, **wanted: Any) -> dict[str, Any]:
    """Return the status once its clock says so."""
    async with asyncio.timeout(60):
        while True:
            document = await gateway.status()
            if wanted.items() <= document["clock"].items():
                return document
            await asyncio.sleep(0.1)


async def test_readings_wait_for_the_clock_and_then_go_out_right(
    tmp_path: Path, timedated: FakeTimedated
) -> None:
    mosquitto = Mosquitto(tmp_path / "broker")
    sections = dust_sensor("air", tmp_path) + broker("aarhus", mosquitto.port, 'format = "json"')
    gateway = Unsure(tmp_path, sections)
    with HeldLine(tmp_path / "tty-air") as line:
        async with mosquitto, Subscriber(tmp_path, mosquitto.port) as city, gateway:
            await gateway.until("aarhus", state="online")
            await gateway.until_metric("port_open", 1)
            async with Traffic(line).flowing():
                await gateway.until_metric("link_held_readings", 20, link="aarhus")
            document = await status_until(gateway, synced=False, source="none", bound_s=None)
            assert document["links"]["aarhus"]["held"] == document["links"]["aarhus"]["pending"]
            assert document["links"]["aarhus"]["state"] == "online"
            await city.subscribed()
            assert city.readings() == []
            timedated.answer = Variant("b", True)
            await status_until(gateway, synced=True, source="timedated", bound_s=16.0)
            await gateway.until("aarhus", pending=0)
            await city.subscribed()
            marked = [each for each in city.readings() if "clock_unsynced" in each.get("flags", ())]
            assert marked == []
            assert len(city.readings()) >= 20
            assert city.messages("/time-fix") == []
            assert "clock synced: it is right now, says timedated" in gateway.log


async def test_what_did_not_wait_is_marked_and_mended(
    tmp_path: Path, timedated: FakeTimedated
) -> None:
    mosquitto = Mosquitto(tmp_path / "broker")
    sections = dust_sensor("air", tmp_path) + broker("aarhus", mosquitto.port, 'format = "json"')
    gateway = Impatient(tmp_path, sections)
    with HeldLine(tmp_path / "tty-air") as line:
        async with mosquitto, Subscriber(tmp_path, mosquitto.port) as city, gateway:
            await gateway.until("aarhus", state="online")
            await gateway.until_metric("port_open", 1)
            async with Traffic(line).flowing():
                await city.until(lambda city: len(city.readings()) >= 20)
            document = await gateway.status()
            assert document["health"]["state"] == "degraded"
            assert any("clock" in reason for reason in document["health"]["reasons"])
            timedated.answer = Variant("b", True)
            await gateway.until_metric("link_time_fixed_readings_total", 20, link="aarhus")
            await city.subscribed()
            fixes = [json.loads(each.payload) for each in city.messages("/time-fix")]
            for reading in city.readings():
                is_mended = any(
                    fix["from"] <= reading["sequence"] <= fix["to"]
                    and fix["epoch"] == reading["epoch"]
                    for fix in fixes
                )
                assert is_mended is ("clock_unsynced" in reading.get("flags", ()))
            assert all(abs(fix["correction_s"]) < 1.0 for fix in fixes)
