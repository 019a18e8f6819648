"""Announcements, conversations and QoS 0: what a link does for a format that needs more."""

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from gateway.config.model import Position
from gateway.forward import FormatContext, Link, Message, SensorFacts
from gateway.forward.connection_number import ConnectionNumber
from gateway.forward.formats.base import Heard, Session
from gateway.forward.formats.json_lines import JsonLines
from gateway.reading import Series
from tests.brokers import LOOPBACK, Mosquitto
from tests.forward.fake_broker import FakeBroker, Published
from tests.forward.fakes import (
    CONTEXT,
    Catalogue,
    FakeReader,
    Listener,
    accounted,
    broker_section,
    eventually,
    make_link,
    running,
)

mosquitto = pytest.mark.mosquitto


def facts(interval_s: float = 1.0, privacy: Any = "P0") -> SensorFacts:
    return SensorFacts(
        driver="test", title="Test", domain="air", interval_s=interval_s, privacy=privacy
    )


def context(*sensors: str, **changes: Any) -> FormatContext:
    return dataclasses.replace(CONTEXT, sensors={name: facts() for name in sensors}, **changes)


class Announcing(JsonLines):
    """Announces each sensor with its quantities and its place, and withdraws it."""

    histories = ("in-order", "beside")

    def announce(
        self, sensor: str, series: Sequence[Series], context: FormatContext, wall_ns: int
    ) -> list[Message]:
        place = context.location_of(sensor)
        told = {
            "quantities": sorted(one.key.quantity for one in series),
            "lon": None if place is None else place.lon,
        }
        return [Message(f"here/{sensor}", json.dumps(told).encode(), retain=True)]

    def withdraw(self, sensor: str, context: FormatContext, wall_ns: int) -> list[Message]:
        return [Message(f"gone/{sensor}", b"")]


class Talk(Session):
    """Counts what goes out, begins when told to, and keeps what it was given."""

    subscriptions = ("host/state",)

    def __init__(self, number: int, *, waits: bool) -> None:
        self.will = Message("talk/dead", b"%d" % number)
        self.number = number
        self.begins_at_once = not waits
        self.count = 0

    def greet(self, wall_ns: int) -> list[Message]:
        return [Message("talk/born", b"%d" % self.number)]

    def hear(self, topic: str, payload: bytes) -> Heard:
        words: Mapping[bytes, Heard] = {
            b"online": "begin",
            b"again": "begin-again",
            b"offline": "leave",
        }
        return words.get(payload, "nothing")

    def leave(self, wall_ns: int) -> list[Message]:
        return [Message("talk/dead", b"%d" % self.number)]

    def complete(self, payload: bytes) -> bytes:
        self.count += 1
        return b"%d|" % (self.count - 1) + payload


class Talking(Announcing):
    def __init__(self, *, waits: bool = False) -> None:
        super().__init__()
        self.waits = waits
        self.sessions: list[Talk] = []

    def session(self, context: FormatContext, connection_number: int, wall_ns: int) -> Session:
        self.sessions.append(Talk(connection_number, waits=self.waits))
        return self.sessions[-1]


class Unacknowledged(Announcing):
    qos = 0


def fill(reader: FakeReader, series_id: int, count: int) -> None:
    for number in range(count):
        reader.append(series_id, float(number))
    reader.notify()


@contextlib.asynccontextmanager
async def host(port: int, said: str) -> AsyncIterator[aiomqtt.Client]:
    """Be the consumer; ``said`` is the retained state that the gateway finds."""
    async with aiomqtt.Client(LOOPBACK, port, identifier="host") as client:
        if said:
            await client.publish("host/state", said, qos=1, retain=True)
        yield client


@mosquitto
async def test_each_sensor_is_announced_before_its_data_and_again_when_it_grows(
    tmp_path: Path,
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust, heat = catalogue.add("a", "air.pm25"), catalogue.add("b", "air.temperature")
    secret = catalogue.add("meter", "power.active", privacy="P3")
    here = dataclasses.replace(
        context("a", "quiet"), sensors={"a": facts(), "quiet": facts(), "meter": facts(1, "P3")}
    )
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port)
        link = make_link(section, reader, catalogue, encoder=Announcing(), context=here)
        async with running(link):
            await eventually(lambda: len(city.topics()) == 3)
            assert {t for t in city.topics() if t.startswith("here")} == {"here/a", "here/quiet"}
            fill(reader, dust, 3)
            fill(reader, heat, 3)
            fill(reader, secret, 3)
            await eventually(lambda: len(city.lines()) == 6)
            order = city.topics()
            assert "here/meter" not in order
            assert order.index("here/b") < order.index("city/aarhus/dokk1-03/b/json")
            assert order.count("here/a") == 1
            wet = catalogue.add("a", "air.humidity")
            fill(reader, wet, 3)
            await eventually(lambda: len(city.lines()) == 9)
    told = [json.loads(p) for p in city.payloads("here/a")]
    assert told[-1]["quantities"] == ["air.humidity", "air.pm25"]
    assert city.topics().count("here/a") == 2
    assert reader.dropped == {"policy": 3}


@mosquitto
async def test_a_silent_sensor_is_withdrawn_and_announced_again_when_it_speaks(
    tmp_path: Path,
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust = catalogue.add("a", "air.pm25")
    states = {"a": {"state": "silent"}, "b": {"state": "silent"}}
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port, status_interval=1.0)
        link = make_link(
            section,
            reader,
            catalogue,
            encoder=Announcing(),
            context=context("a", "b"),
            status=lambda: {"sensors": states},
        )
        async with running(link):
            fill(reader, dust, 1)
            states["a"] = {"state": "fresh"}
            await eventually(lambda: len(city.lines()) == 1)
            states["a"] = {"state": "stale"}
            await eventually(lambda: "gone/a" in city.topics())
            states["a"] = {"state": "fresh"}
            fill(reader, dust, 1)
            await eventually(lambda: len(city.lines()) == 2)
    order = [t for t in city.topics() if t.endswith(("/a", "a/json"))]
    data = "city/aarhus/dokk1-03/a/json"
    assert order == ["here/a", data, "gone/a", "here/a", data]
    assert "gone/b" not in city.topics(), "it gets the time that it needs for its first reading"


@mosquitto
async def test_a_new_context_reaches_a_running_link(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust = catalogue.add("a", "air.pm25")
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port, select={"location_decimals": 2})
        before = context("a", "b", "stays")
        link = make_link(section, reader, catalogue, encoder=Announcing(), context=before)
        async with running(link):
            await eventually(lambda: "here/stays" in city.topics())
            place = Position(lon=12.34567, lat=56.0)
            link.update_context(context("a", "c", "stays", locations={"a": place}))
            await eventually(lambda: "here/c" in city.topics())
            await eventually(lambda: "gone/b" in city.topics())
            link.update_context(context("a", "c", "stays", locations={"a": place}))
            fill(reader, dust, 2)
            await eventually(lambda: len(city.lines()) == 2)
        assert [json.loads(p)["lon"] for p in city.payloads("here/a")] == [10.21, 12.35]
        assert city.topics().count("here/stays") == 1
        assert link.stats.connects == 1


@mosquitto
async def test_a_conversation_greets_counts_repeats_and_says_goodbye(tmp_path: Path) -> None:
    catalogue, reader, city, encoder = Catalogue(), FakeReader(), Listener(), Talking()
    dust = catalogue.add("a", "air.pm25")
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        link = make_link(
            broker_section(broker.port),
            reader,
            catalogue,
            encoder=encoder,
            context=context("a"),
            directory=tmp_path,
        )
        async with running(link), host(broker.port, "") as consumer:
            fill(reader, dust, 2)
            await eventually(lambda: reader.acknowledged == 2)
            await consumer.publish("host/state", "again", qos=1)
            await eventually(lambda: city.topics().count("here/a") == 2)
            fill(reader, dust, 2)
            await eventually(lambda: reader.acknowledged == 4)
    ours = [m for m in city.messages if m.topic.value != "host/state"]
    topics = [m.topic.value for m in ours]
    data = "city/aarhus/dokk1-03/a/json"
    assert topics == ["talk/born", "here/a", data, "talk/born", "here/a", data, "talk/dead"]
    numbers = [int(bytes(m.payload).split(b"|")[0]) for m in ours]
    assert numbers == list(range(7)), "each carries its place in the order of sending"
    assert [talk.number for talk in encoder.sessions] == [0]
    assert not [topic for topic in topics if topic.endswith("/status")]
    again = Talking()
    async with Mosquitto(tmp_path / "2") as broker:
        link = make_link(
            broker_section(broker.port), reader, catalogue, encoder=again, directory=tmp_path
        )
        async with running(link):
            await eventually(lambda: link.stats.connects == 1)
    assert [talk.number for talk in again.sessions] == [1], "it goes on over a restart"


@mosquitto
async def test_the_will_of_a_conversation_is_its_own(tmp_path: Path) -> None:
    city = Listener()
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        encoder = Talking()
        link = make_link(broker_section(broker.port), FakeReader(), Catalogue(), encoder=encoder)
        async with running(link):
            await eventually(lambda: "talk/born" in city.topics())
            assert link._conversation is not None
            link._conversation._outbox.window._connection.abort()
            await eventually(lambda: "talk/dead" in city.topics())
            dead = next(m for m in city.messages if m.topic.value == "talk/dead")
            assert (dead.payload, dead.retain) == (b"0", False)


@mosquitto
@pytest.mark.timeout(90)
async def test_nothing_is_published_before_the_consumer_is_there_nor_after_it_left(
    tmp_path: Path,
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust = catalogue.add("a", "air.pm25")
    encoder = Talking(waits=True)
    async with (
        Mosquitto(tmp_path) as broker,
        city.on(broker.port),
        host(broker.port, "offline?") as consumer,
    ):
        link = make_link(broker_section(broker.port), reader, catalogue, encoder=encoder)
        async with running(link), accounted(reader):
            fill(reader, dust, 5)
            await eventually(lambda: link.stats.state == "online")
            await asyncio.sleep(0.3)
            assert {t for t in city.topics() if t != "host/state"} == set()
            await consumer.publish("host/state", "online", qos=1, retain=True)
            await eventually(lambda: reader.acknowledged == 5)
            assert reader.boundary == 105, "what waited for the consumer is history"
            await consumer.publish("host/state", "offline", qos=1, retain=True)
            await eventually(lambda: "consumer_away" in link.stats.disconnects)
            await eventually(lambda: city.topics()[-1] == "talk/dead")
            await consumer.publish("host/state", "online", qos=1, retain=True)
            fill(reader, dust, 5)
            await eventually(lambda: reader.acknowledged == 10, 15)
    assert [talk.number for talk in encoder.sessions[:2]] == [0, 0], "nowhere to keep the number"


async def test_a_subscription_that_is_refused_ends_the_attempt() -> None:
    async with FakeBroker(granted=lambda filters: bytes([0x87] * len(filters))) as broker:
        link = make_link(broker_section(broker.port), FakeReader(), Catalogue(), encoder=Talking())
        async with running(link):
            await eventually(lambda: link.stats.disconnects.get("subscribe"))
            assert link.stats.state in ("refused", "connecting", "online")


async def test_readings_at_qos_0_count_as_acknowledged_once_they_were_sent() -> None:
    reader, catalogue = FakeReader(), Catalogue()
    dust = catalogue.add("a", "air.pm25")
    quality: dict[str, bool] = {}

    def answer(message: Published) -> int | None:
        return 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=10)
        link = make_link(section, reader, catalogue, encoder=Unacknowledged(), context=context("a"))
        async with running(link), accounted(reader):
            fill(reader, dust, 100)
            await eventually(lambda: reader.acknowledged == 100)
            await eventually(lambda: len(broker.published) >= 12)
    quality = {m.topic: bool(m.packet_id) for m in broker.published}
    assert not quality["city/aarhus/dokk1-03/a/json"]
    assert not quality["here/a"]
    assert quality["city/aarhus/dokk1-03/status"]


async def test_the_number_of_connections_survives_whatever_the_file_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert [await ConnectionNumber(tmp_path, "city").next() for _ in range(3)] == [0, 1, 2]
    number = ConnectionNumber(tmp_path, "city")
    assert [await number.next() for _ in range(2)] == [3, 4]
    (tmp_path / "connections-city").write_bytes(b"\xff no number")
    assert await ConnectionNumber(tmp_path, "city").next() == 0
    number.give_back()
    assert [await number.next() for _ in range(2)] == [4, 5]
    nowhere = ConnectionNumber(tmp_path / "missing", "city")
    assert [await nowhere.next() for _ in range(3)] == [0, 1, 2]
    assert len([r for r in caplog.records if "cannot be kept" in r.getMessage()]) == 1


def test_only_formats_with_a_conversation_keep_a_number(tmp_path: Path) -> None:
    def link(encoder: Any) -> Link:
        return make_link(
            broker_section(1883), FakeReader(), Catalogue(), encoder=encoder, directory=tmp_path
        )

    assert link(Announcing())._number is None
    assert link(Talking())._number is not None
