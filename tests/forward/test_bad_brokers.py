"""Brokers that misbehave in ways no real one can be asked for; the ring never suffers."""

import asyncio
import json

import pytest

from gateway.clock import Clock
from gateway.forward.formats.json_lines import JsonLines
from tests.forward.fake_broker import FakeBroker, Published
from tests.forward.fakes import (
    Catalogue,
    FakeReader,
    broker_section,
    eventually,
    make_link,
    running,
)


@pytest.fixture
def moving_clock() -> tuple[Clock, list[int]]:
    """Return a clock and the boot time in ns that it tells, to be moved by hand."""
    now_ns = [1_000_000_000]
    return Clock(trusted=True, boottime_ns=lambda: now_ns[0]), now_ns


def a_reader(count: int) -> tuple[FakeReader, Catalogue]:
    reader, catalogue = FakeReader(), Catalogue()
    series = catalogue.add("a", "air.pm25")
    for number in range(count):
        reader.append(series, float(number))
    reader.notify()
    return reader, catalogue


def first_sequence(message: Published) -> int:
    return int(json.loads(message.payload.splitlines()[0])["sequence"])


async def test_a_broker_that_never_acknowledges_is_left_after_the_ack_timeout() -> None:
    reader, catalogue = a_reader(30)
    patience = {"left": 2}

    def answer(message: Published) -> int | None:
        return 0 if message.connection > patience["left"] else None

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, ack_timeout=1.0, batch_readings=10)
        link = make_link(section, reader, catalogue)
        async with running(link):
            await eventually(lambda: link.stats.disconnects.get("ack_timeout") == 1)
            assert reader.pending == 30
            assert reader.settles == []
            await eventually(lambda: reader.acknowledged == 30)
    data = [m for m in broker.published if m.topic.endswith("/json")]
    for connection in (1, 2, 3):
        starts = [first_sequence(m) for m in data if m.connection == connection]
        assert starts == [100, 110, 120], "each connection begins again at the cursor"
    assert link.stats.repeated_readings == 60
    assert link.stats.disconnects == {"ack_timeout": 2}


async def test_the_receive_maximum_of_the_broker_bounds_the_window() -> None:
    reader, catalogue = a_reader(200)
    waiting: list[Published] = []

    def answer(message: Published) -> int | None:
        waiting.append(message)
        return None

    async with FakeBroker.with_receive_maximum(3, answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=5, in_flight=20)
        link = make_link(section, reader, catalogue)
        async with running(link):
            await eventually(lambda: len(waiting) == 3)
            await asyncio.sleep(0.1)
            assert len(waiting) == 3
            assert link.stats.in_flight == 3
    assert broker.most_unanswered == 3


async def test_the_window_is_bounded_by_the_configuration() -> None:
    reader, catalogue = a_reader(200)
    async with FakeBroker(answer=lambda _: None) as broker:
        section = broker_section(broker.port, batch_readings=5, in_flight=7)
        link = make_link(section, reader, catalogue)
        async with running(link):
            await eventually(lambda: len(broker.published) == 7)
            await asyncio.sleep(0.1)
    assert len([m for m in broker.published if not m.topic.endswith("/status")]) == 6


async def test_acknowledgements_out_of_order_settle_only_what_was_acknowledged() -> None:
    reader, catalogue = a_reader(40)

    def answer(message: Published) -> int | None:
        if message.topic.endswith("/json") and first_sequence(message) == 100:
            return None
        return 0

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port, batch_readings=10), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 30)
            assert reader.cursor == 100
            assert reader.settled == set(range(110, 140))


async def test_quota_pauses_and_loses_nothing() -> None:
    reader, catalogue = a_reader(100)
    refused: list[Published] = []

    def answer(message: Published) -> int | None:
        if message.topic.endswith("/json") and len(refused) < 5:
            refused.append(message)
            return 0x97
        return 0

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port, batch_readings=20), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 100)
    assert reader.dropped == {}
    assert link.stats.connects == 1
    assert len(refused) == 5


@pytest.mark.parametrize("code", [0x87, 0x90, 0x95, 0x99])
async def test_each_refusing_code_sets_a_message_aside_at_the_second_time(code: int) -> None:
    reader, catalogue = a_reader(30)

    def answer(message: Published) -> int | None:
        poison = message.topic.endswith("/json") and first_sequence(message) == 110
        return code if poison else 0

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port, batch_readings=10), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.pending == 0)
    tries = [m for m in broker.published if m.topic.endswith("/json") and first_sequence(m) == 110]
    assert len(tries) == 2
    assert reader.dropped == {"rejected": 10}
    assert reader.acknowledged == 20
    gaps = [json.loads(m.payload) for m in broker.published if m.topic.endswith("/gap")]
    assert gaps == [
        {
            "gateway": "dokk1-03",
            "epoch": 1,
            "from": 110,
            "to": 119,
            "count": 10,
            "reason": "rejected",
            "sensors": ["a"],
        }
    ]


async def test_a_broker_that_refuses_everything_costs_little_of_the_ring() -> None:
    """The pauses grow: a city that shut its door by mistake does not empty the ring."""
    reader, catalogue = a_reader(1000)

    def answer(message: Published) -> int | None:
        return 0 if message.topic.endswith(("/status", "/gap")) else 0x87

    async with FakeBroker(answer=answer) as broker:
        section = broker_section(broker.port, batch_readings=10, backoff_max=60.0)
        link = make_link(section, reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.dropped.get("rejected", 0) >= 10)
            await asyncio.sleep(2.0)
            assert reader.dropped["rejected"] <= 100


async def test_a_disconnect_that_names_a_message_is_tied_to_it_only_when_it_was_alone() -> None:
    reader, catalogue = a_reader(60)

    def answer(message: Published) -> int | None:
        poison = message.topic.endswith("/json") and first_sequence(message) == 120
        return -0x99 if poison else 0

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port, batch_readings=10), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.pending == 0)
    assert reader.dropped == {"rejected": 10}
    assert reader.acknowledged == 50
    assert link.stats.disconnects["payload_refused"] == 3, "one in company, two alone"


async def test_a_lost_connection_alone_never_sets_a_message_aside() -> None:
    reader, catalogue = a_reader(20)

    def answer(message: Published) -> int | None:
        return -0x80 if message.connection <= 5 and message.topic.endswith("/json") else 0

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port, batch_readings=10), reader, catalogue)
        async with running(link):
            await eventually(lambda: reader.acknowledged == 20)
    assert reader.dropped == {}
    assert link.stats.disconnects == {"lost": 5}


@pytest.mark.parametrize("minutes_up", [0, 2], ids=["flapping", "stable"])
async def test_the_pauses_grow_until_a_connection_was_stable_for_a_minute(
    moving_clock: tuple[Clock, list[int]], minutes_up: int
) -> None:
    reader, catalogue = a_reader(5)
    clock, now_ns = moving_clock

    def answer(message: Published) -> int | None:
        if not message.topic.endswith("/json"):
            return 0
        now_ns[0] += minutes_up * 60_000_000_000
        return -0x80

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port), reader, catalogue, clock=clock)
        async with running(link):
            await eventually(lambda: link.stats.disconnects == {"lost": 3})
            await eventually(lambda: link.stats.state == "waiting")
            assert link._backoff.attempts == (1 if minutes_up else 3)


async def test_taken_over_waits_and_never_fights() -> None:
    reader, catalogue = a_reader(5)

    def answer(message: Published) -> int | None:
        return -0x8E

    async with FakeBroker(answer=answer) as broker:
        link = make_link(broker_section(broker.port), reader, catalogue)
        async with running(link):
            await eventually(lambda: link.stats.disconnects == {"taken_over": 1})
            await asyncio.sleep(1.5)  # longer than any other pause of this configuration
            assert broker.connections == 1
    assert reader.pending == 5


async def test_a_broker_that_says_nothing_is_a_timeout() -> None:
    async with FakeBroker(connack=b"") as broker:
        link = make_link(
            broker_section(broker.port, connect_timeout=1.0), FakeReader(), Catalogue()
        )
        async with running(link):
            await eventually(lambda: "timeout" in link.stats.disconnects)


@pytest.mark.parametrize(
    ("code", "cause", "state"),
    [
        (0x86, "login", "refused"),
        (0x87, "login", "refused"),
        (0x84, "mqtt_version", "refused"),
        (0x85, "client_id", "refused"),
        (0x8A, "banned", "refused"),
        (0x88, "unavailable", "waiting"),
        (0x97, "quota", "waiting"),
        (0x9C, "moved", "waiting"),
        (0x9F, "rate", "waiting"),
        (0x80, "connack", "waiting"),
    ],
)
async def test_connack_codes_have_causes(code: int, cause: str, state: str) -> None:
    async with FakeBroker(connack=bytes([0x20, 3, 0, code, 0])) as broker:
        link = make_link(broker_section(broker.port), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: cause in link.stats.disconnects)
            await eventually(lambda: link.stats.state == state)
            assert link.stats.last_error_cause == cause


@pytest.mark.parametrize(
    ("packet", "cause"),
    [
        (bytes([0xE0, 2, 0x9D, 0]), "moved"),
        (bytes([0xE0, 2, 0x97, 0]), "quota"),
        (bytes([0xE0, 2, 0x87, 0]), "not_authorised"),
        (bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]), "oversized"),
        (bytes([0xF0, 0]), "protocol"),
    ],
    ids=["moved", "quota", "not-authorised", "oversized", "no-mqtt"],
)
async def test_what_ends_a_connection_has_a_cause(packet: bytes, cause: str) -> None:
    async with FakeBroker() as broker:
        link = make_link(broker_section(broker.port), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.state == "online")
            await broker.say(packet)
            await eventually(lambda: link.stats.disconnects == {cause: 1})


async def test_a_broker_that_takes_qos_0_only_is_refused() -> None:
    async with FakeBroker(connack=bytes([0x20, 5, 0, 0, 2, 0x24, 0])) as broker:
        link = make_link(broker_section(broker.port), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.last_error_cause == "no_qos1")


@pytest.mark.parametrize("seed", range(20))
async def test_noise_instead_of_mqtt_ends_the_attempt_and_not_the_link(seed: int) -> None:
    import random  # noqa: PLC0415

    noise = random.Random(seed).randbytes(64)
    async with FakeBroker(connack=noise) as broker:
        section = broker_section(broker.port, connect_timeout=1.0)
        link = make_link(section, FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: link.stats.disconnects)
    assert link.stats.connects == 0 or noise[:1] == b"\x20"


def test_the_link_and_its_formats_speak_of_the_same_schema() -> None:
    assert JsonLines.schema == "urn:citylab-gateway:reading:1"
