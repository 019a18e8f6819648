"""A broker that hangs up at one message without a word; and everything that only looks like it."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from gateway.backoff import Backoff
from gateway.forward import Link, conversation
from tests.brokers import Mosquitto
from tests.forward.fake_broker import FakeBroker, Published
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    Listener,
    accounted,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.proxy import GateProxy

pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 50.0


def hang_up() -> int:
    """End the connection without a DISCONNECT, as brokers of MQTT 3.1.1 do."""
    raise ConnectionResetError


def impatient(link: Link) -> Link:
    """Pauses do not matter here, and there are many."""
    link._backoff = Backoff(first_s=0.01, max_s=0.02)
    return link


def a_reader(count: int, sensors: tuple[str, ...] = ("a",)) -> tuple[FakeReader, Catalogue]:
    reader, catalogue = FakeReader(), Catalogue()
    series = [catalogue.add(sensor, "air.pm25") for sensor in sensors]
    for number in range(count):
        reader.append(series[number % len(series)], float(number))
    reader.notify()
    return reader, catalogue


def sequences(message: Published) -> set[int]:
    if not message.topic.endswith("/json"):
        return set()
    return {json.loads(line)["sequence"] for line in message.payload.splitlines()}


MODES = pytest.mark.parametrize("mode", ["in-order", "beside"])


@MODES
async def test_a_message_at_which_the_broker_hangs_up_is_set_aside(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    reader, catalogue = a_reader(100)
    told: list[Published] = []

    def answer(message: Published) -> int | None:
        if 133 in sequences(message):
            return hang_up()
        if message.topic.endswith("/gap"):
            told.append(message)
        return 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=10, history=mode)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.dropped == {"rejected": 10}
    assert reader.acknowledged == 90
    assert [json.loads(gap.payload)["reason"] for gap in told] == ["rejected"]
    assert json.loads(told[0].payload)["sensors"] == ["a"]
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert "readings 130 to 139" in errors[0].getMessage()
    assert link.stats.disconnects == {"lost": 4}, "one in company, three alone"


async def test_without_a_status_a_long_life_is_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else is acknowledged before the message, so its own first end proves nothing."""
    monkeypatch.setattr(conversation, "KEEPALIVES_PROVEN", 0.1)
    reader, catalogue = a_reader(30)

    def answer(message: Published) -> int | None:
        return hang_up() if 100 in sequences(message) else 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(
            broker.port, batch_readings=10, status_topic="", keepalive=5.0, gap_topic=""
        )
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.dropped == {"rejected": 10}
    assert reader.acknowledged == 20
    assert link.stats.disconnects == {"lost": 5}, "one in company, one unproven, three proven"


async def test_a_gap_report_at_which_the_broker_hangs_up_does_not_block_the_link_either() -> None:
    reader, catalogue = a_reader(30)
    reader.lose(100, 109, "overwritten")

    def answer(message: Published) -> int | None:
        return hang_up() if message.topic.endswith("/gap") else 0

    async with FakeBroker(answer=answer) as broker:
        link = impatient(make_link(broker_section(broker.port), reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.dropped == {"overwritten": 10}
    assert reader.acknowledged == 20


async def test_readings_leave_although_the_broker_hangs_up_at_the_status() -> None:
    reader, catalogue = a_reader(30)

    def answer(message: Published) -> int | None:
        return hang_up() if message.topic.endswith("/status") else 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=30)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.acknowledged == 30


@MODES
@pytest.mark.parametrize("every", [3, 4, 5, 9])
async def test_a_way_that_breaks_at_every_nth_message_costs_nothing(every: int, mode: str) -> None:
    reader, catalogue = a_reader(60)
    seen: dict[int, int] = {}

    def answer(message: Published) -> int | None:
        seen[message.connection] = seen.get(message.connection, 0) + 1
        return hang_up() if seen[message.connection] % every == 0 else 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=5, history=mode)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.acknowledged == 60


async def test_a_way_that_breaks_at_every_second_message_sets_nothing_aside() -> None:
    """The status is the first message, so nothing ever arrives; but it might one day."""
    reader, catalogue = a_reader(20)
    seen: dict[int, int] = {}

    def answer(message: Published) -> int | None:
        seen[message.connection] = seen.get(message.connection, 0) + 1
        return hang_up() if seen[message.connection] == 2 else 0

    async with FakeBroker(answer=answer) as broker:
        link = impatient(make_link(broker_section(broker.port), reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: link.stats.connects >= 40, PATIENCE_S)
    assert reader.dropped == {}


@pytest.mark.parametrize("seed", range(4))
async def test_a_way_that_breaks_now_and_then_costs_nothing(seed: int) -> None:
    reader, catalogue = a_reader(200)
    rng = random.Random(seed)

    def answer(message: Published) -> int | None:
        return hang_up() if rng.random() < 0.2 else 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=5)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.acknowledged == 200


async def test_time_outs_of_ours_never_set_a_message_aside() -> None:
    """A broker that never answers to one message: the link repeats it and loses nothing."""
    reader, catalogue = a_reader(20)
    ended = {"left": 5}

    def answer(message: Published) -> int | None:
        if 105 in sequences(message) and message.connection <= ended["left"]:
            return None
        return 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=10, ack_timeout=1.0)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.acknowledged == 20
    assert link.stats.disconnects == {"ack_timeout": 5}


@pytest.mark.mosquitto
async def test_mosquitto_hangs_up_at_a_packet_that_is_too_large_and_the_link_goes_on(
    tmp_path: Path,
) -> None:
    """With MQTT 3.1.1 it can neither say so nor tell its limit."""
    reader, catalogue = FakeReader(), Catalogue()
    small, large = catalogue.add("small", "air.pm25"), catalogue.add("large", "air.pm25")
    for number in range(60):
        reader.append(large if number % 6 else small, 1.0)
    reader.notify()
    lines = ["max_packet_size 3000"]
    async with Mosquitto(tmp_path, lines=lines) as broker:
        section = broker_section(broker.port, protocol="3.1.1", batch_readings=30)
        link = impatient(make_link(section, reader, catalogue))
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0, PATIENCE_S)
    assert reader.dropped == {"rejected": 50}
    assert reader.acknowledged == 10


@pytest.mark.mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_a_broker_that_restarts_under_traffic_costs_nothing(
    tmp_path: Path, protocol: str
) -> None:
    reader, catalogue = a_reader(0)
    series = catalogue.add("a", "air.pm25")
    broker = Mosquitto(tmp_path)
    await broker.start()
    section = broker_section(broker.port, batch_readings=3, protocol=protocol)
    link = impatient(make_link(section, reader, catalogue))

    async def traffic() -> None:
        while True:
            for _ in range(5):
                reader.append(series, 1.0)
            reader.notify()
            await asyncio.sleep(0.002)

    async with running(link), accounted(reader):
        feeding = asyncio.create_task(traffic())
        for _ in range(5):
            before = reader.acknowledged
            await eventually(lambda: reader.acknowledged > before + 50)  # noqa: B023
            await broker.kill()
            await eventually(lambda: link.stats.state != "online")
            await broker.start()
        feeding.cancel()
        await eventually(lambda: reader.pending == 0)
    await broker.stop()
    assert reader.dropped == {}


@pytest.mark.mosquitto
async def test_a_way_that_is_cut_all_the_time_costs_nothing(tmp_path: Path) -> None:
    city = Listener()
    reader, catalogue = a_reader(3000)
    async with Mosquitto(tmp_path) as broker, GateProxy(broker.port) as way:
        section: Any = broker_section(way.port, batch_readings=10, in_flight=5)
        link = impatient(make_link(section, reader, catalogue))
        async with city.on(broker.port), running(link), accounted(reader):
            rng = random.Random(7)
            while reader.pending:
                await asyncio.sleep(rng.uniform(0.01, 0.06))
                way.shut()
                way.open()
            await eventually(lambda: len(city.sequences()) == 3000)
    assert reader.dropped == {}
