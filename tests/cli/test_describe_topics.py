"""What the running daemon publishes, in every format, is what ``describe`` said before."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from gateway.cli.describe.channels import channels
from gateway.cli.describe.leaving import leaving
from gateway.config.load import load
from gateway.driver import Stream, driver_class, simulator_class
from gateway.forward.formats import format_names
from gateway.transports.recording import format_advert, format_bytes
from tests.brokers import Mosquitto
from tests.end_to_end.gateway_process import GatewayProcess, broker, run_command
from tests.end_to_end.subscriber import Subscriber

pytestmark = pytest.mark.mosquitto

STREAMS = {"air": "sds011", "street": "ops243", "power": "p1"}
ADDRESS = "C4:7F:51:00:00:01"
EMISSIONS = 40
SEED = 3
FORMATS = format_names()
FOR_THE_TEST = "topic read #\ntopic write probe/#\n"


def record(folder: Path) -> None:
    """Write what the simulated devices send, a second apart."""
    for sensor, name in STREAMS.items():
        device, driver = simulator_class(name)(SEED), driver_class(name)
        assert driver is not None
        settings = cast("Stream", driver(driver.Options())).on_open()
        sent = [b"".join(map(device.receive, settings)), *(device.emit() for _ in range(EMISSIONS))]
        lines = [format_bytes(at, sensor, data) for at, data in enumerate(sent)]
        (folder / sensor).write_bytes(b"".join(lines))
    tag = simulator_class("ruuvi")(SEED, ADDRESS)
    adverts = b"".join(format_advert(at, tag.emit()) for at in range(EMISSIONS))
    (folder / "adverts").write_bytes(adverts)


def sections(folder: Path, port: int) -> str:
    text = f'[bluetooth]\nreplay = "{folder}/adverts"\nreplay_speed = 0\n'
    for sensor, driver in STREAMS.items():
        text += (
            f'[[sensor]]\nname = "{sensor}"\ndriver = "{driver}"\nreplay = "{folder}/{sensor}"\n'
        )
        text += 'replay_speed = 0\nprivacy = "P1"\n'
    text += f'[[sensor]]\nname = "hall"\ndriver = "ruuvi"\naddress = "{ADDRESS}"\n'
    return text + "".join(broker(name, port, f'format = "{name}"') for name in FORMATS)


def described_topics(config: Path) -> set[str]:
    """Return all topics that all brokers get."""
    samples = [each for one in leaving(load(config)) for each in channels(one).samples]
    return {sample.message.topic for sample in samples}


async def rules(folder: Path, config: Path) -> str:
    described = await run_command("describe", "--config", str(config), "--mosquitto-acl")
    assert described.code == 0, described.errors
    path = folder / "acl"
    path.write_text(described.output + FOR_THE_TEST, encoding="utf-8")
    path.chmod(0o600)
    return f"acl_file {path}"


@pytest.mark.timeout(60)
async def test_every_published_topic_is_described_and_allowed(tmp_path: Path) -> None:
    await asyncio.to_thread(record, tmp_path)
    city = Mosquitto(tmp_path / "city")
    gateway = GatewayProcess(tmp_path, sections(tmp_path, city.port))
    city.lines.append(await rules(tmp_path, gateway.config))
    topics = await asyncio.to_thread(described_topics, gateway.config)
    api = await run_command("describe", "--config", str(gateway.config), "--asyncapi")
    addresses = {each["address"] for each in json.loads(api.output)["channels"].values()}
    async with gateway:
        pass  # a broker is owed what comes once the ring knows it, and a recording plays at once
    async with city, Subscriber(tmp_path, city.port) as reader, gateway:
        await reader.until(lambda reader: len({each["sensor"] for each in reader.readings()}) == 4)
        for name in FORMATS:
            await gateway.until(name, pending=0)
        await gateway.stop()
        await reader.subscribed()
        published = {message.topic for message in reader.messages()}
    assert published <= topics <= addresses
    assert "Denied" not in city.log
