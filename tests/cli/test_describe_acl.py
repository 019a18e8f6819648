"""The rules for mosquitto: a real broker takes what is described, and nothing else."""

import asyncio
from pathlib import Path

import aiomqtt
import pytest

from gateway.cli import main
from gateway.cli.describe.channels import Channels, channels
from gateway.cli.describe.leaving import leaving
from gateway.config.load import load
from gateway.forward.formats import format_names
from tests.brokers import LOOPBACK, Mosquitto, mosquitto_password_file

pytestmark = pytest.mark.mosquitto

CONFIG = Path(__file__).parent / "describe" / "every_format.toml"
USERS = {"dokk1": "gateway-password", "city": "city-password"}
END = "end/of/test"
STRANGE = "city/aarhus/somebody-else/air/json"


def described(name: str) -> Channels:
    (found,) = leaving(load(CONFIG), name)
    return channels(found)


def client(port: int, user: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        LOOPBACK,
        port,
        username=user,
        password=USERS[user],
        protocol=aiomqtt.ProtocolVersion.V5,
        identifier=f"test-{user}",
    )


def protected_broker(folder: Path, acl: str) -> Mosquitto:
    """Make a broker where the gateway may do what the rules say, and a city everything."""
    folder.mkdir()
    rules = folder / "acl"
    everything = f"{acl}\ntopic readwrite {END}\nuser city\ntopic readwrite #\n"
    rules.write_text(everything, encoding="utf-8")
    passwords = mosquitto_password_file(folder / "passwords", USERS)
    rules.chmod(0o600)
    passwords.chmod(0o600)
    lines = [f"acl_file {rules}", f"password_file {passwords}"]
    return Mosquitto(folder, lines=lines, anonymous=False)


@pytest.mark.parametrize("name", format_names())
@pytest.mark.timeout(30)
async def test_exactly_the_described_topics_are_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    found = await asyncio.to_thread(described, name)
    arguments = ["describe", "--config", str(CONFIG), "--broker", name, "--mosquitto-acl"]
    assert await asyncio.to_thread(main, arguments) == 0
    broker = await asyncio.to_thread(protected_broker, tmp_path / "broker", capsys.readouterr().out)
    published = {sample.message.topic for sample in found.samples}
    subscribed = set(found.subscriptions)
    async with (
        broker,
        client(broker.port, "city") as city,
        client(broker.port, "dokk1") as gateway,
    ):
        await city.subscribe("#", qos=1)
        for topic in [STRANGE, *sorted(published), END]:
            await gateway.publish(topic, b"x", qos=1)
        written = await until_end(city)
        await city.unsubscribe("#")
        for topic in [STRANGE, *sorted(subscribed), END]:
            await gateway.subscribe(topic, qos=1)
        for topic in [STRANGE, *sorted(published | subscribed), END]:
            await city.publish(topic, b"x", qos=1)
        heard = await until_end(gateway)
    assert written == published
    assert heard == subscribed


async def until_end(client: aiomqtt.Client) -> set[str]:
    """Return the topics that arrived before the end of the test."""
    arrived = set()
    async for message in client.messages:
        if str(message.topic) == END:
            break
        arrived.add(str(message.topic))
    return arrived
