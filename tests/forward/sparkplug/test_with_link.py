"""The real link with the real format over a real broker, seen by somebody else's host."""

import asyncio
import dataclasses
from pathlib import Path

import aiomqtt
import pytest

from gateway.forward.formats.base import FormatContext, SensorFacts
from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions
from tests.brokers import Mosquitto
from tests.forward.fakes import CONTEXT, Catalogue, FakeReader, broker_section, make_link, running
from tests.forward.sparkplug.conversation import HOST, Event, rebirth_request, state
from tests.forward.sparkplug.rules import RULES, Trace
from tests.forward.sparkplug.test_broker import COMMAND, STATE, Recorder

PROTOCOL = aiomqtt.ProtocolVersion.V5
FACTS = SensorFacts(driver="sds011", title="particles", domain="air", interval_s=1.0, privacy="P0")
ON_THE_WIRE = [
    tck_id
    for tck_id, rule in RULES.items()
    if tck_id.startswith(("payloads-", "topics-", "topic-"))
    and not rule.needs_host
    and not rule.needs_aliases
    and not any(word in tck_id for word in ("publisher", "bdseq", "timestamp", "UTC"))
]
"""What a recorder can judge: it sees no CONNECT, and the readings here are from long ago."""


@pytest.fixture
def encoder() -> SparkplugB:
    return SparkplugB(SparkplugOptions(primary_host=HOST))


def identity(*sensors: str) -> FormatContext:
    return dataclasses.replace(CONTEXT, topic="", sensors=dict.fromkeys(sensors, FACTS))


@pytest.mark.mosquitto
@pytest.mark.timeout(60)
async def test_a_city_with_a_primary_host(encoder: SparkplugB, tmp_path: Path) -> None:
    catalogue, reader = Catalogue(), FakeReader()
    ids = [catalogue.add("air-roof", "air.pm25", unit="ug/m3"), catalogue.add("radar", "air.pm10")]
    states = {"air-roof": {"state": "fresh"}, "radar": {"state": "fresh"}}
    for at in range(20):
        reader.append(ids[at % 2], at)
    now_ms = 1_000
    async with (
        Mosquitto(tmp_path / "broker") as broker,
        Recorder().on(broker.port, PROTOCOL) as recorder,
    ):

        async def host(*, online: bool) -> None:
            nonlocal now_ms
            now_ms += 1
            payload = state(online=online, timestamp_ms=now_ms)
            await recorder.host.publish(STATE, payload, qos=1, retain=True)

        link = make_link(
            broker_section(broker.port, format="sparkplug-b", status_topic="", gap_topic=""),
            reader,
            catalogue,
            context=identity("air-roof", "radar"),
            status=lambda: {"sensors": states},
            encoder=encoder,
            directory=tmp_path,
        )
        async with running(link):
            await asyncio.sleep(0.3)
            assert recorder.heard == []
            assert reader.pending == 20
            await host(online=True)
            await recorder.until(lambda: reader.pending == 0)
            await recorder.host.publish(COMMAND, rebirth_request())
            await recorder.until(lambda: recorder.types().count("NBIRTH") == 2)
            reader.append(ids[0], 1.0)
            reader.notify()
            await recorder.until(lambda: reader.pending == 0)
            await host(online=False)
            await recorder.until(lambda: "NDEATH" in recorder.types())
            reader.append(ids[0], 2.0)
            reader.notify()
            await host(online=True)
            await recorder.until(lambda: reader.pending == 0)
        await recorder.until(lambda: recorder.types().count("NDEATH") == 2)
    assert reader.acknowledged == 22
    trace = Trace(
        [
            Event(
                "publish",
                0,
                message.topic.value,
                bytes(message.payload),
                message.qos,
                bool(message.retain),
            )
            for message in recorder.heard
            if isinstance(message.payload, bytes)
        ],
        primary_host=True,
    )
    broken = {
        tck_id: what
        for tck_id in ON_THE_WIRE
        for right, what in RULES[tck_id].check(trace)
        if not right
    }
    assert broken == {}
    numbers = [
        sent.metric("bdSeq").value for sent in trace.sent if sent.type in ("NBIRTH", "NDEATH")
    ]
    first = numbers[0]
    assert isinstance(first, int)
    assert numbers == [first] * 3 + [first + 1] * 2
    historical = [metric.is_historical for sent in trace.of("DDATA") for metric in sent.metrics]
    assert historical == [True] * 20 + [False, True], "what came while the host was there is new"
