"""What the makes do differently, as docs/cluster.md tells it; a new version may change its mind."""

from pathlib import Path
from typing import Any

import pytest

from tests.brokers import BrokerProcess, Mosquitto, mosquitto_password_file
from tests.end_to_end.subscriber import Subscriber
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.other_brokers.nats_server import NatsServer
from tests.other_brokers.rabbitmq import RabbitMq
from tests.subscribing import Archive

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(60)]

SECRET = "correct horse"
NATS_USERS = """
authorization { users: [
  {
    user: gateway
    password: "correct horse"
    permissions: { publish: { deny: "city.*.*.*.json" } }
  }
  { user: everybody, password: "correct horse" }
] }
"""
MOSQUITTO_RULES = """\
user gateway
topic city/+/+/status
topic city/+/+/gap
user everybody
topic #
"""
RABBITMQ = [pytest.mark.rabbitmq, pytest.mark.slow, pytest.mark.timeout(120)]
BIG = 20_000
"""Readings; a quarter of them in one message is more than half a megabyte of our JSON."""


def some_readings(count: int) -> tuple[FakeReader, Catalogue]:
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("air", "air.pm25")
    for number in range(count):
        reader.append(series, float(number))
    reader.notify()
    return reader, catalogue


def archive(folder: Path, broker: BrokerProcess, *login: str) -> Archive:
    return Archive(folder, broker.port, login=login)


def sequences(city: Subscriber) -> set[int]:
    return {reading["sequence"] for reading in city.readings()}


def dropped(reader: FakeReader) -> dict[str, int]:
    return {str(reason): count for reason, count in reader.dropped.items() if count}


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        pytest.param(NatsServer, "mqtt_version", id="nats", marks=pytest.mark.nats),
        pytest.param(RabbitMq, "closed", id="rabbitmq", marks=RABBITMQ),
    ],
)
async def test_mqtt_5_where_it_is_not_spoken(tmp_path: Path, make: Any, cause: str) -> None:
    """The cause says so where the broker does; nothing is lost, and 3.1.1 mends it."""
    reader, catalogue = some_readings(10)
    async with make(tmp_path / "broker") as broker:
        link = make_link(broker_section(broker.port), reader, catalogue)
        async with running(link):
            await eventually(lambda: link.stats.disconnects)
            assert link.stats.last_error_cause == cause
        assert reader.pending == 10
        mended = make_link(broker_section(broker.port, protocol="3.1.1"), reader, catalogue)
        async with running(mended):
            await eventually(lambda: reader.acknowledged == 10)


@pytest.mark.parametrize("make", ["mosquitto", pytest.param("nats", marks=pytest.mark.nats)])
async def test_mqtt_3_has_no_word_for_not_allowed(tmp_path: Path, make: str) -> None:
    """The broker acknowledges and throws away: no gateway can know. MQTT 5 has the word."""
    reader, catalogue = some_readings(10)
    broker: BrokerProcess
    if make == "nats":
        broker = NatsServer(tmp_path / "broker", lines=[NATS_USERS])
    else:
        broker = mosquitto_with_rules(tmp_path)
    login = ("-u", "everybody", "-P", SECRET)
    async with broker, archive(tmp_path, broker, *login) as city:
        section = broker_section(broker.port, protocol="3.1.1", username="gateway")
        link = make_link(section, reader, catalogue, password=SECRET)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 10)
            await city.subscribed()
        assert city.readings() == []
        assert dropped(reader) == {}


def mosquitto_with_rules(folder: Path) -> Mosquitto:
    (folder / "rules").write_text(MOSQUITTO_RULES, encoding="ascii")
    (folder / "rules").chmod(0o700)
    users = mosquitto_password_file(folder / "users", {"gateway": SECRET, "everybody": SECRET})
    lines = [f"acl_file {folder / 'rules'}", f"password_file {users}"]
    return Mosquitto(folder / "broker", anonymous=False, lines=lines)


async def test_mqtt_5_says_what_is_not_allowed(tmp_path: Path) -> None:
    reader, catalogue = some_readings(10)
    login = ("-u", "everybody", "-P", SECRET)
    async with mosquitto_with_rules(tmp_path) as broker, archive(tmp_path, broker, *login) as city:
        link = make_link(
            broker_section(broker.port, username="gateway"), reader, catalogue, password=SECRET
        )
        async with running(link):
            await eventually(lambda: dropped(reader) == {"rejected": 10})
        await city.until(lambda city: bool(city.messages("/gap")))
        assert city.readings() == []


async def ends_with(link: Any, reader: FakeReader, cause: str) -> None:
    """The connection ends each time, and nothing is settled: it may as well be an outage."""
    async with running(link):
        await eventually(lambda: link.stats.disconnects.get(cause, 0) >= 1)
        assert reader.acknowledged == 0


async def test_mosquitto_hangs_up_on_what_is_too_large(tmp_path: Path) -> None:
    """MQTT 3.1.1 has no other word for it."""
    reader, catalogue = some_readings(1000)
    async with Mosquitto(tmp_path / "broker", lines=["max_packet_size 20000"]) as broker:
        section = broker_section(broker.port, protocol="3.1.1", batch_readings=1000)
        await ends_with(make_link(section, reader, catalogue), reader, "lost")
        smaller = broker_section(broker.port, protocol="3.1.1", batch_readings=50)
        async with running(make_link(smaller, reader, catalogue)):
            await eventually(lambda: reader.acknowledged == 1000)


async def test_mqtt_5_tells_how_large_a_message_may_be(tmp_path: Path) -> None:
    reader, catalogue = some_readings(1000)
    async with (
        Mosquitto(tmp_path / "broker", lines=["max_packet_size 20000"]) as broker,
        archive(tmp_path, broker) as city,
    ):
        link = make_link(broker_section(broker.port, batch_readings=1000), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 1000)
        assert link.stats.disconnects == {}
        await city.until(lambda city: len(sequences(city)) == 1000)


@pytest.mark.nats
async def test_nats_takes_large_messages_whatever_its_limit(tmp_path: Path) -> None:
    """``max_payload`` is for NATS's own clients."""
    reader, catalogue = some_readings(BIG)
    async with (
        NatsServer(tmp_path / "broker", lines=["max_payload: 20000"]) as broker,
        archive(tmp_path, broker) as city,
    ):
        section = broker_section(broker.port, protocol="3.1.1", batch_readings=5000)
        async with running(make_link(section, reader, catalogue)):
            await eventually(lambda: reader.acknowledged == BIG)
        await city.until(lambda city: len(sequences(city)) == BIG)
        assert max(len(message.payload) for message in city.messages("/json")) > 500_000


@pytest.mark.nats
async def test_nats_hangs_up_on_a_dot_in_a_topic(tmp_path: Path) -> None:
    reader, catalogue = some_readings(10)
    async with NatsServer(tmp_path / "broker") as broker:
        section = broker_section(broker.port, protocol="3.1.1", topic="v1.0/{sensor}/json")
        await ends_with(make_link(section, reader, catalogue), reader, "lost")


@pytest.mark.rabbitmq
@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_rabbitmq_takes_large_messages_makes_slashes_of_dots_and_hangs_up_on_no(
    tmp_path: Path,
) -> None:
    reader, catalogue = some_readings(BIG)
    async with (
        RabbitMq(tmp_path / "broker") as broker,
        archive(tmp_path, broker) as city,
    ):
        section = broker_section(
            broker.port,
            protocol="3.1.1",
            topic="v1.0/{sensor}/json",
            batch_readings=5000,
        )
        async with running(make_link(section, reader, catalogue)):
            await eventually(lambda: reader.acknowledged == BIG)
        await city.until(lambda city: len(sequences(city)) == BIG)
        assert {message.topic for message in city.messages("/json")} == {"v1/0/air/json"}
        assert max(len(message.payload) for message in city.messages("/json")) > 500_000

        allowed = r"^city\..*\.(status|gap)$"
        await broker.control("set_topic_permissions", "guest", "amq.topic", allowed, ".*")
        reader, catalogue = some_readings(10)
        link = make_link(broker_section(broker.port, protocol="3.1.1"), reader, catalogue)
        await ends_with(link, reader, "lost")
