"""A link against a real broker: nothing is lost, nothing is settled too early."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from gateway.forward.formats.json_lines import JsonLines
from tests.brokers import Mosquitto, free_port, mosquitto_password_file
from tests.forward.fakes import (
    DEFAULTS,
    Catalogue,
    FakeReader,
    Listener,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.proxy import GateProxy

mosquitto = pytest.mark.mosquitto


@pytest.fixture(params=["in-order", "beside"], autouse=True)
def mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every promise of a link holds in every mode."""
    name: str = request.param
    monkeypatch.setitem(DEFAULTS, "history", name)
    return name


def fill(reader: FakeReader, series_ids: list[int], count: int) -> None:
    for number in range(count):
        reader.append(series_ids[number % len(series_ids)], float(number))
    reader.notify()


def assert_order_per_series(lines: list[dict[str, Any]]) -> None:
    """First arrivals of each series come in the order of measurement, if there is one lane."""
    if DEFAULTS["history"] != "in-order":
        return
    seen: set[int] = set()
    newest: dict[tuple[str, str], int] = {}
    for line in lines:
        if line["sequence"] in seen:
            continue
        seen.add(line["sequence"])
        key = (line["sensor"], line["quantity"])
        assert line["sequence"] > newest.get(key, -1)
        newest[key] = line["sequence"]


@mosquitto
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_publishes_settles_and_says_who_it_is(tmp_path: Path, protocol: str) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("air-roof", "air.pm25"), catalogue.add("air-roof", "air.pm10")]
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port, protocol=protocol), reader, catalogue)
        async with running(link):
            fill(reader, series, 1000)
            await eventually(lambda: reader.acknowledged == 1000)
            await eventually(lambda: len(city.lines()) == 1000)
            states: list[str] = [link.stats.state]
    states.append(link.stats.state)
    assert states == ["online", "stopped"]
    assert city.sequences() == set(range(100, 1100))
    assert_order_per_series(city.lines())
    assert reader.pending == 0
    assert reader.dropped == {}
    assert link.stats.acknowledged_messages == link.stats.sent_messages
    message = next(m for m in city.messages if m.topic.value.endswith("/json"))
    assert message.topic.value == "city/aarhus/dokk1-03/air-roof/json"
    if protocol == "5":
        properties = vars(message.properties)
        assert properties["ContentType"] == "application/x-ndjson"
        first = json.loads(bytes(message.payload).splitlines()[0])
        last = json.loads(bytes(message.payload).splitlines()[-1])
        assert dict(properties["UserProperty"]) == {
            "gateway": "dokk1-03",
            "epoch": "1",
            "from": str(first["sequence"]),
            "to": str(last["sequence"]),
            "schema": JsonLines.schema,
        }


@mosquitto
@pytest.mark.timeout(90)
@pytest.mark.parametrize("way", ["kill", "stop"])
async def test_a_broker_that_dies_under_traffic_costs_nothing(tmp_path: Path, way: str) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add(name, "air.pm25") for name in ("a", "b", "c")]
    broker = Mosquitto(tmp_path)
    await broker.start()
    link = make_link(broker_section(broker.port, batch_readings=10, in_flight=5), reader, catalogue)
    total = 6000

    async def traffic() -> None:
        for _ in range(total // 10):
            fill(reader, series, 10)
            await asyncio.sleep(0.001)

    async with running(link):
        feeding = asyncio.create_task(traffic())
        async with city.on(broker.port):
            await eventually(lambda: len(city.lines()) > 500)
            await (broker.kill() if way == "kill" else broker.stop())
        await eventually(lambda: link.stats.state == "waiting")
        await broker.start()
        async with city.on(broker.port):
            await eventually(lambda: link.stats.connects >= 2)
            await feeding
            await eventually(lambda: reader.acknowledged == total, 20)
            await eventually(lambda: max(city.sequences()) == 100 + total - 1)
    await broker.stop()
    # What was acknowledged while nobody listened went to nobody: the listener of these tests has
    # no session. Everything else must have arrived, and whatever it got is in order.
    assert reader.pending == 0
    assert reader.dropped == {}
    assert_order_per_series(city.lines())
    assert sum(link.stats.disconnects.values()) >= 1
    assert set(link.stats.disconnects) <= {"lost", "refused", "shutdown"}


@mosquitto
@pytest.mark.timeout(90)
async def test_nothing_is_missing_after_two_deaths_of_the_broker(tmp_path: Path) -> None:
    """The city keeps a session and the broker a store, so every acknowledged reading shows."""
    catalogue, reader = Catalogue(), FakeReader()
    series = [catalogue.add(name, "air.pm25") for name in ("a", "b")]
    # Mosquitto writes its store only now and then, so "stop" (which saves) stands for the death
    # whose losses are not ours: the promise of a link ends at the PUBACK.
    broker = Mosquitto(
        tmp_path,
        lines=["persistence true", f"persistence_location {tmp_path}/", "max_queued_messages 0"],
    )
    await broker.start()
    link = make_link(broker_section(broker.port, batch_readings=7), reader, catalogue)
    got: list[dict[str, Any]] = []
    async with running(link):
        for _ in range(3):
            city = Listener()
            async with city.on(broker.port):
                await eventually(lambda: link.stats.state == "online")
                fill(reader, series, 700)
                await eventually(lambda: reader.pending == 0)
                await eventually(city.lines)
                await eventually(
                    lambda: city.sequences() >= {reader.next_sequence - 1}  # noqa: B023
                )
            got += city.lines()
            await broker.stop()
            await eventually(lambda: link.stats.state == "waiting")
            await broker.start()
        await eventually(lambda: link.stats.state == "online")
    await broker.stop()
    assert {line["sequence"] for line in got} == set(range(100, 100 + 2100))
    assert_order_per_series(got)


@mosquitto
async def test_a_backlog_drains_in_full_batches_and_the_first_reading_leaves_at_once(
    tmp_path: Path,
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("a", "air.pm25")]
    fill(reader, series, 1000)
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port, linger=3600.0, batch_readings=100)
        async with running(make_link(section, reader, catalogue)):
            await eventually(lambda: reader.acknowledged == 1000)
            fill(reader, series, 150)
            await eventually(lambda: reader.acknowledged == 1100)
            await asyncio.sleep(0.1)
            assert reader.pending == 50, "half a batch waits for the linger time"
        sizes = [len(payload.splitlines()) for payload in city.payloads("/json")]
        assert sizes == [100] * 11
        # a new link is a quiet link: the half batch goes now
        async with running(make_link(section, reader, catalogue)):
            await eventually(lambda: reader.acknowledged == 1150)


@mosquitto
async def test_partial_batches_wait_for_the_linger_time(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("a", "air.pm25")]
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port, linger=0.5), reader, catalogue)
        async with running(link):
            fill(reader, series, 1)
            await eventually(lambda: reader.acknowledged == 1)
            for _ in range(19):
                fill(reader, series, 1)
                await asyncio.sleep(0.01)
            await eventually(lambda: reader.acknowledged == 20)
    sizes = [len(payload.splitlines()) for payload in city.payloads("/json")]
    assert sizes[0] == 1, "a quiet link sends at once"
    assert len(sizes) < 10, "the others gather, however slow the machine is"


@mosquitto
async def test_what_policy_withholds_is_counted_and_stays(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    shown = catalogue.add("air-roof", "air.pm25")
    other = catalogue.add("air-roof", "air.temperature")
    private = catalogue.add("meter", "power.active", privacy="P3")
    async with Mosquitto(tmp_path) as broker, city.on(broker.port):
        section = broker_section(broker.port, select={"quantities": ["air.pm*", "power.*"]})
        link = make_link(section, reader, catalogue)
        async with running(link):
            fill(reader, [shown, other, private], 300)
            await eventually(lambda: reader.pending == 0)
            fill(reader, [private], 10)  # a batch of which nothing may leave
            await eventually(lambda: reader.pending == 0)
            await eventually(lambda: len(city.lines()) == 100)
    assert reader.acknowledged == 100
    assert reader.dropped == {"policy": 210}
    assert {line["quantity"] for line in city.lines()} == {"air.pm25"}
    assert not [topic for topic in city.topics() if "meter" in topic]


@mosquitto
async def test_gaps_of_the_ring_are_told_and_settled_with_their_reason(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("a", "air.pm25")]
    fill(reader, series, 50)
    reader.lose(100, 119, "overwritten")
    reader.lose(130, 131, "corrupt")
    async with (
        Mosquitto(tmp_path) as broker,
        city.on(broker.port),
        running(make_link(broker_section(broker.port), reader, catalogue)),
    ):
        await eventually(lambda: reader.pending == 0)
        await eventually(lambda: len(city.lines()) == 28)
    assert reader.dropped == {"overwritten": 20, "corrupt": 2}
    assert city.gaps() == [
        {
            "gateway": "dokk1-03",
            "from": 100,
            "to": 119,
            "count": 20,
            "reason": "overwritten",
            "first_time": "2026-11-22T09:00:00.000Z",
            "last_time": "2026-11-22T09:00:01.000Z",
        },
        {
            "gateway": "dokk1-03",
            "from": 130,
            "to": 131,
            "count": 2,
            "reason": "corrupt",
            "first_time": "2026-11-22T09:00:00.000Z",
            "last_time": "2026-11-22T09:00:01.000Z",
        },
    ]


@mosquitto
async def test_a_reading_without_series_and_one_that_no_format_can_carry_are_told_as_gaps(
    tmp_path: Path,
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    known = catalogue.add("a", "air.pm25")
    reader.append(known, 1.0)
    reader.append(4711, 2.0)
    reader.append(known, float("nan"))
    reader.append(known, 3.0)
    reader.notify()
    async with (
        Mosquitto(tmp_path) as broker,
        city.on(broker.port),
        running(make_link(broker_section(broker.port), reader, catalogue)),
    ):
        await eventually(lambda: reader.pending == 0)
        await eventually(lambda: len(city.gaps()) == 2)
    assert reader.acknowledged == 2
    assert reader.dropped == {"corrupt": 1, "rejected": 1}
    assert [gap["count"] for gap in city.gaps()] == [1, 1]


@mosquitto
@pytest.mark.timeout(90)
async def test_a_message_refused_twice_is_set_aside_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    allowed, denied = catalogue.add("open", "air.pm25"), catalogue.add("closed", "air.pm25")
    users = mosquitto_password_file(tmp_path / "users", {"gw": "secret", "city": "secret"})
    acl = tmp_path / "acl"
    acl.write_text(
        "user city\ntopic read #\n"
        "user gw\ntopic write city/+/+/open/json\ntopic write city/+/+/gap\n"
        "topic write city/+/+/status\n",
        encoding="ascii",
    )
    broker = Mosquitto(
        tmp_path, anonymous=False, lines=[f"password_file {users}", f"acl_file {acl}"]
    )
    async with broker, city.on(broker.port, username="city", password="secret"):
        section = broker_section(broker.port, username="gw")
        link = make_link(section, reader, catalogue, password="secret")
        async with running(link):
            fill(reader, [allowed, denied], 100)
            await eventually(lambda: reader.pending == 0)
            fill(reader, [allowed], 50)
            await eventually(lambda: reader.acknowledged == 100)
            await eventually(lambda: len(city.lines()) == 100)
    assert reader.dropped == {"rejected": 50}
    reported = city.gaps()
    assert sum(gap["count"] for gap in reported) == 50
    assert {gap["reason"] for gap in reported} == {"rejected"}
    assert {tuple(gap["sensors"]) for gap in reported} == {("closed",)}
    assert {gap["epoch"] for gap in reported} == {1}
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == len(reported)
    assert "readings 101 to 199" in errors[-1].getMessage()
    assert link.stats.refused_messages == 2 * len(reported)


@mosquitto
async def test_status_says_online_from_time_to_time_and_offline_at_a_clean_stop(
    tmp_path: Path,
) -> None:
    catalogue, reader, before = Catalogue(), FakeReader(), Listener()
    facts = {"version": "1.2.3", "sensors": {"air-roof": "fresh"}}
    async with Mosquitto(tmp_path) as broker, before.on(broker.port):
        section = broker_section(broker.port, status_interval=1.0)
        link = make_link(section, reader, catalogue, status=lambda: facts)
        task = asyncio.create_task(link.run())
        await eventually(lambda: len(before.states()) >= 2)
        online = before.states()[0]
        assert online["state"] == "online"
        assert online["gateway"] == "dokk1-03"
        assert online["version"] == "1.2.3"
        assert online["sensors"] == {"air-roof": "fresh"}
        task.cancel()
        await asyncio.wait({task})
        await eventually(lambda: before.states()[-1]["state"] == "offline")
        await asyncio.sleep(0.2)
        assert [s["reason"] for s in before.states() if s["state"] == "offline"] == ["stopped"]

    assert all(not message.retain for message in before.messages), "they came while it listened"


@mosquitto
async def test_the_last_will_speaks_for_the_dead(tmp_path: Path) -> None:
    live, late = Listener(), Listener()
    async with Mosquitto(tmp_path) as broker, GateProxy(broker.port) as way, live.on(broker.port):
        link = make_link(broker_section(way.port), FakeReader(), Catalogue())
        async with running(link):
            await eventually(lambda: [s["state"] for s in live.states()] == ["online"])
            way.shut()
            await eventually(lambda: [s["state"] for s in live.states()] == ["online", "offline"])
            assert live.states()[-1]["reason"] == "lost"
            async with late.on(broker.port):
                await eventually(late.states)
            assert late.messages[0].retain
            way.open()
            await eventually(lambda: live.states()[-1]["state"] == "online")


@mosquitto
async def test_wrong_password_is_told_apart(tmp_path: Path) -> None:
    users = mosquitto_password_file(tmp_path / "users", {"gw": "right"})
    broker = Mosquitto(tmp_path, anonymous=False, lines=[f"password_file {users}"])
    async with broker:
        for protocol in ("5", "3.1.1"):
            section = broker_section(broker.port, username="gw", protocol=protocol)
            link = make_link(section, FakeReader(), Catalogue(), password="wrong")
            async with running(link):
                await eventually(lambda: link.stats.state == "refused")  # noqa: B023
            assert link.stats.disconnects["login"] >= 1
            assert "right" not in link.stats.last_error
            assert "wrong" not in link.stats.last_error


async def test_a_broker_that_is_not_there_is_unreachable() -> None:
    reader, catalogue = FakeReader(), Catalogue()
    fill(reader, [catalogue.add("a", "air.pm25")], 10)
    link = make_link(broker_section(free_port()), reader, catalogue)
    async with running(link):
        await eventually(lambda: link.stats.disconnects.get("refused", 0) >= 2)
        assert link.stats.state in ("waiting", "connecting")
    assert reader.pending == reader.accepted == 10
    assert link.stats.connects == 0


async def test_a_name_that_does_not_exist_is_a_dns_error() -> None:
    section = broker_section(1883, url="mqtt://no-such-host.invalid:1883")
    link = make_link(section, FakeReader(), Catalogue())
    async with running(link):
        await eventually(lambda: "dns" in link.stats.disconnects)


@mosquitto
async def test_the_broker_limits_are_kept(tmp_path: Path) -> None:
    """A small packet limit splits messages; the receive maximum bounds the window."""
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("a", "air.pm25")]
    lines = ["max_packet_size 3000", "max_inflight_messages 3"]
    async with Mosquitto(tmp_path, lines=lines) as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port), reader, catalogue)
        async with running(link):
            fill(reader, series, 400)
            await eventually(lambda: reader.acknowledged == 400)
            await eventually(lambda: len(city.lines()) == 400)
    assert max(len(payload) for payload in city.payloads("/json")) <= 3000
    assert link.stats.connects == 1
    assert reader.dropped == {}


@mosquitto
@pytest.mark.timeout(90)
async def test_a_frozen_broker_is_noticed_while_idle(tmp_path: Path) -> None:
    """SIGSTOP: the kernel still takes our bytes, but nobody answers."""
    catalogue, reader = Catalogue(), FakeReader()
    async with Mosquitto(tmp_path) as broker:
        section = broker_section(broker.port, keepalive=5.0, connect_timeout=1.0)
        link = make_link(section, reader, catalogue)
        async with running(link):
            await eventually(lambda: link.stats.acknowledged_messages == 1)
            broker.freeze()
            await eventually(lambda: link.stats.disconnects, 20)
            await eventually(lambda: "timeout" in link.stats.disconnects, 20)
            broker.thaw()
            await eventually(lambda: link.stats.state == "online", 20)
            fill(reader, [catalogue.add("a", "air.pm25")], 5)
            await eventually(lambda: reader.acknowledged == 5)


@mosquitto
async def test_links_share_nothing(tmp_path: Path) -> None:
    """A dead neighbour changes nothing."""
    catalogue, alive, dead = Catalogue(), FakeReader(), FakeReader()
    series = [catalogue.add("a", "air.pm25")]
    async with Mosquitto(tmp_path) as broker:
        good = make_link(broker_section(broker.port), alive, catalogue)
        bad = make_link(broker_section(free_port(), name="vejle"), dead, catalogue)
        async with running(good, bad):
            for reader in (alive, dead):
                fill(reader, series, 500)
            await eventually(lambda: alive.acknowledged == 500)
    assert dead.pending == 500


def test_a_wrong_topic_template_is_a_configuration_error() -> None:
    from gateway.errors import ConfigError  # noqa: PLC0415

    with pytest.raises(ConfigError, match="unknown placeholder"):
        make_link(broker_section(1883, topic="devices/{org}/4"), object(), Catalogue())


@mosquitto
async def test_mosquitto_says_too_large_in_a_puback_and_the_link_lives_on(tmp_path: Path) -> None:
    catalogue, reader, city = Catalogue(), FakeReader(), Listener()
    series = [catalogue.add("a", "air.pm25")]
    lines = ["message_size_limit 3000"]
    async with Mosquitto(tmp_path, lines=lines) as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port, batch_readings=50), reader, catalogue)
        async with running(link):
            fill(reader, series, 50)
            await eventually(lambda: reader.dropped == {"rejected": 50})
            fill(reader, series, 5)
            await eventually(lambda: reader.acknowledged == 5)
            await eventually(lambda: len(city.lines()) == 5)
    assert link.stats.connects == 1
