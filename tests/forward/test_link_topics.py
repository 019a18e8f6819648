"""Status and gap topics as configured, message expiry, positions, intervals, certificates."""

import asyncio
import logging
import shutil
from pathlib import Path

import pytest

from gateway.buffer import Batch
from gateway.config.model import SelectSection
from gateway.forward.policy import Policy
from tests.brokers import LOOPBACK, Mosquitto
from tests.forward.fake_broker import FakeBroker
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
from tests.forward.pki import listener, make_pki

mosquitto = pytest.mark.mosquitto


@mosquitto
async def test_status_and_gaps_go_where_the_configuration_says(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust = catalogue.add("a", "air.pm25")
    for _ in range(20):
        reader.append(dust, 1.0)
    reader.lose(100, 109, "overwritten")
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(
            broker.port, status_topic="s/{tenant}", gap_topic="g/{gateway}", message_expiry=90.0
        )
        async with running(make_link(section, reader, catalogue)), accounted(reader):
            await eventually(lambda: reader.pending == 0)
            await eventually(lambda: len(city.lines()) == 10)
    assert {"s/aarhus", "g/dokk1-03"} < set(city.topics())
    data = next(m for m in city.messages if m.topic.value.endswith("/json"))
    status = next(m for m in city.messages if m.topic.value == "s/aarhus")
    assert 80 < vars(data.properties)["MessageExpiryInterval"] <= 90
    assert "MessageExpiryInterval" not in vars(status.properties)


async def test_without_topics_there_is_no_status_no_will_and_no_gap() -> None:
    catalogue, reader = Catalogue(), FakeReader()
    dust = catalogue.add("a", "air.pm25")
    for _ in range(20):
        reader.append(dust, 1.0)
    reader.append(4711, 1.0)
    reader.append(dust, float("nan"))
    reader.lose(100, 109, "overwritten")

    def answer(message: object) -> int | None:
        return 0

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, status_topic="", gap_topic="", batch_readings=5)
        async with running(make_link(section, reader, catalogue)), accounted(reader):
            await eventually(lambda: reader.pending == 0)
    assert reader.dropped == {"overwritten": 10, "corrupt": 1, "rejected": 1}
    assert {m.topic for m in broker.published} == {"city/aarhus/dokk1-03/a/json"}
    will_flag, flags_at = 0x04, 7
    assert not broker.connects[0][flags_at] & will_flag


async def test_without_a_gap_topic_a_refused_message_is_counted_all_the_same() -> None:
    catalogue, reader = Catalogue(), FakeReader()
    dust = catalogue.add("a", "air.pm25")
    for _ in range(10):
        reader.append(dust, 1.0)
    async with FakeBroker(answer=lambda m: 0x99 if m.topic.endswith("/json") else 0) as broker:
        section = broker_section(broker.port, gap_topic="")
        async with running(make_link(section, reader, catalogue)), accounted(reader):
            await eventually(lambda: reader.pending == 0)
    assert reader.dropped == {"rejected": 10}


S = 1_000_000_000


def thinned(batch: Batch, interval: str, catalogue: Catalogue) -> list[int]:
    policy = Policy(SelectSection.model_validate({"interval": interval}), catalogue)
    return policy.select(batch)[0]


def test_at_most_one_reading_of_each_series_in_an_interval() -> None:
    catalogue = Catalogue()
    one, two = catalogue.add("a", "air.pm25"), catalogue.add("b", "air.pm25")
    batch = Batch(
        epoch=1,
        boot=1,
        first=0,
        series=[one, two, one, one, two, one],
        times_ns=[0, 1 * S, 5 * S, 10 * S, 10 * S, 19 * S],
    )
    assert thinned(batch, "10 s", catalogue) == [0, 1, 3, 4]
    assert thinned(batch, "0 s", catalogue) == [0, 1, 2, 3, 4, 5]


def test_what_counts_since_the_last_reading_is_never_thinned() -> None:
    catalogue = Catalogue()
    cars, dust = catalogue.add("r", "traffic.count"), catalogue.add("r", "air.pm25")
    batch = Batch(epoch=1, boot=1, first=0, series=[cars, dust] * 3, times_ns=[0, 0, 1, 1, 2, 2])
    assert thinned(batch, "10 s", catalogue) == [0, 1, 2, 4]


def test_each_boot_has_its_own_time() -> None:
    catalogue = Catalogue()
    dust = catalogue.add("a", "air.pm25")
    policy = Policy(SelectSection.model_validate({"interval": "10 s"}), catalogue)
    kept = [
        policy.select(Batch(epoch=1, boot=boot, first=0, series=[dust], times_ns=[time_ns]))[0]
        for boot, time_ns in ((1, 500 * S), (2, 3 * S), (2, 4 * S), (2, 13 * S))
    ]
    assert kept == [[0], [0], [], [0]]


@mosquitto
async def test_what_the_interval_withholds_is_dropped_by_policy(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    dust = catalogue.add("a", "air.pm25")
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port, select={"interval": "1 s"})
        async with running(make_link(section, reader, catalogue)), accounted(reader):
            for number in range(100):
                reader.append(dust, 1.0, time_ns=number * S // 10)
            reader.notify()
            await eventually(lambda: reader.pending == 0)
            await eventually(lambda: len(city.lines()) == 10)
    assert (reader.acknowledged, reader.dropped) == (10, {"policy": 90})


@mosquitto
@pytest.mark.timeout(90)
async def test_renewed_certificates_are_used_at_once_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder, mine = tmp_path / "pki", tmp_path / "mine"
    folder.mkdir()
    mine.mkdir()
    pki = await asyncio.to_thread(make_pki, folder)
    for ending in ("pem", "key"):
        shutil.copy(pki / f"gateway.{ending}", mine / f"client.{ending}")
    catalogue, reader = Catalogue(), FakeReader()
    dust = catalogue.add("a", "air.pm25")
    lines = listener(pki, "server", "require_certificate true")
    async with Mosquitto(tmp_path / "mq", lines=lines) as broker:
        section = broker_section(
            broker.port,
            url=f"mqtts://{LOOPBACK}:{broker.port}",
            insecure=False,
            status_interval=1.0,
            tls={
                "ca_file": str(pki / "city-ca.pem"),
                "cert_file": str(mine / "client.pem"),
                "key_file": str(mine / "client.key"),
            },
        )
        link = make_link(section, reader, catalogue)
        async with running(link), accounted(reader):
            for _ in range(500):
                reader.append(dust, 1.0)
            reader.notify()
            await eventually(lambda: reader.acknowledged == 500)
            await eventually(lambda: link.stats.certificate_expires_s is not None)
            for ending in ("key", "pem"):
                shutil.copy(pki / f"renewed.{ending}", mine / f"client.{ending}")
            await eventually(lambda: link.stats.connects == 2, 20)
            for _ in range(500):
                reader.append(dust, 1.0)
            reader.notify()
            await eventually(lambda: reader.acknowledged == 1000)
            assert link.stats.disconnects == {}
            assert link._backoff.attempts == 0
    told = [r for r in caplog.records if "certificate files changed" in r.getMessage()]
    assert len(told) == 1
