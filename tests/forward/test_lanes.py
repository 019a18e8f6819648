"""New readings and the backlog beside each other: holes never, repeats at most, new ones first."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Batch, Buffer, BufferSettings, Reader
from gateway.clock import Clock
from gateway.errors import ConfigError
from gateway.forward import FormatContext, Message
from gateway.forward.formats.base import SeriesLookup
from gateway.forward.formats.json_lines import JsonLines
from gateway.forward.gate import Pace, Share
from gateway.reading import SeriesKey
from tests.brokers import Mosquitto
from tests.forward.fake_broker import FakeBroker, Published
from tests.forward.fakes import (
    Catalogue,
    Listener,
    accounted,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.proxy import GateProxy

mosquitto = pytest.mark.mosquitto
CLOCK = Clock(trusted=True)


class Recorder(JsonLines):
    """Notes which sequences it was told are history; ``histories`` allows everything."""

    histories = ("in-order", "beside")

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[int, bool] = {}

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,
    ) -> list[Message]:
        self.told |= dict.fromkeys((batch.first + i for i in selected), history)
        return super().encode(batch, selected, series, context, history=history)


class LatestOnly(JsonLines):
    history = "latest"
    histories = ("latest",)


@contextlib.asynccontextmanager
async def ring(folder: Path) -> AsyncIterator[Buffer]:
    """Open the ring of that folder, and close it in good order."""
    settings = BufferSettings(
        directory=folder / "ring", runtime_directory=folder / "run", size_bytes=4 << 20
    )
    buffer = await Buffer.open(settings, CLOCK)
    try:
        yield buffer
    finally:
        await buffer.close()


def add(buffer: Buffer, count: int, sensor: str = "a") -> range:
    """Append readings; return their sequences."""
    series_id = buffer.series_id(SeriesKey(sensor, "air.pm25"), unit="ug/m3", privacy="P0")
    first = buffer.next_sequence
    for number in range(count):
        buffer.append(series_id, CLOCK.now_ns(), float(number), 0)
    buffer.notify()
    return range(first, first + count)


def beside(port: int, **changes: Any) -> Any:
    return broker_section(port, history="beside", **changes)


@mosquitto
async def test_new_readings_overtake_a_throttled_backlog(tmp_path: Path) -> None:
    city, encoder = Listener(), Recorder()
    async with ring(tmp_path) as buffer, Mosquitto(tmp_path / "mq") as broker:
        reader = buffer.reader("city")
        old = add(buffer, 2000)
        section = beside(broker.port, history_rate=100, batch_readings=50)
        link = make_link(section, reader, buffer.series, encoder=encoder)
        async with city.on(broker.port), running(link), accounted(reader):
            await eventually(lambda: link.stats.state == "online")
            await eventually(lambda: reader.boundary == 2000)
            new = add(buffer, 300)
            await eventually(lambda: set(new) <= city.sequences())
            assert reader.pending > 1000
            assert reader.cursor < old[-1], "the cursor is the lowest that is not settled"
    assert link.stats.history_readings < 2000
    assert {n for n, history in encoder.told.items() if history} <= set(old)
    assert {n for n, history in encoder.told.items() if not history} == set(new)


@mosquitto
async def test_in_order_the_backlog_is_told_apart_too(tmp_path: Path) -> None:
    city, encoder = Listener(), Recorder()
    async with ring(tmp_path) as buffer, Mosquitto(tmp_path / "mq") as broker:
        reader = buffer.reader("city")
        old = add(buffer, 330)
        link = make_link(broker_section(broker.port), reader, buffer.series, encoder=encoder)
        async with city.on(broker.port), running(link), accounted(reader):
            await eventually(lambda: reader.boundary == 330)
            new = add(buffer, 100)
            await eventually(lambda: len(city.sequences()) == 430)
    assert [line["sequence"] for line in city.lines()] == [*old, *new]
    assert encoder.told == dict.fromkeys(old, True) | dict.fromkeys(new, False)
    assert link.stats.history_readings == 330


@mosquitto
@pytest.mark.timeout(90)
@pytest.mark.parametrize("mode", ["in-order", "beside"])
async def test_the_backlog_keeps_its_rate(tmp_path: Path, mode: str) -> None:
    """A slow machine is slower still, so this can only fail by being too fast."""
    async with ring(tmp_path) as buffer, Mosquitto(tmp_path / "mq") as broker:
        reader, loop = buffer.reader("city"), asyncio.get_running_loop()
        add(buffer, 300)
        section = broker_section(broker.port, history=mode, history_rate=100, batch_readings=200)
        began = loop.time()
        async with running(make_link(section, reader, buffer.series)):
            await eventually(lambda: reader.pending == 0, 20)
        assert loop.time() - began >= 2.0, "the last hundred may leave in the third second"


async def test_a_pace_never_lets_more_through_than_its_rate() -> None:
    pace, loop = Pace(1000), asyncio.get_running_loop()
    began = loop.time()
    for _ in range(5):
        await pace.take(50)
    assert loop.time() - began >= 0.19
    assert pace.at_most(5000) == 1000


def test_history_takes_less_when_answers_are_held_up_and_more_when_they_are_not() -> None:
    share = Share(200, 15)
    assert share.readings == 400
    for _ in range(100):
        share.answered(200, 0.01, 0)
    assert share.readings == 3000, "and never more than the window leaves it"
    share.answered(200, 0.6, 1000)
    assert share.readings == 2100
    share.answered(200, 0.6, 800)
    assert share.readings == 2100, "what was sent before the cut says nothing about it"
    for _ in range(200):
        share.answered(10, 5.0, 0)
    assert share.readings == 10
    assert share.batch_readings == 10


@mosquitto
@pytest.mark.timeout(60)
async def test_outages_restarts_and_a_crash_during_catch_up_leave_no_hole(tmp_path: Path) -> None:
    """Repeats are allowed, holes are not; new readings arrive in each life."""
    city = Listener()
    expected: set[int] = set()
    async with (
        Mosquitto(tmp_path / "mq") as broker,
        GateProxy(broker.port) as way,
        city.on(broker.port),
    ):
        section = beside(way.port, history_rate=400, batch_readings=20)
        async with ring(tmp_path) as buffer:
            reader = buffer.reader("city")
            expected |= set(add(buffer, 1500))
            for _ in range(3):
                link = make_link(section, reader, buffer.series)
                async with running(link), accounted(reader):
                    await eventually(lambda: link.stats.state == "online")  # noqa: B023
                    new = add(buffer, 60)
                    expected |= set(new)
                    await eventually(lambda: set(new) <= city.sequences())  # noqa: B023
                    way.shut()
                    await eventually(lambda: link.stats.state == "waiting")  # noqa: B023
                    expected |= set(add(buffer, 60))
                    way.open()
            await buffer.flush(cursors=True)
            assert reader.pending > 0
            crashed = reader.cursor
            await abandon(buffer)
        async with ring(tmp_path) as buffer:
            reader = buffer.reader("city")
            assert reader.cursor <= crashed, "what was settled above it comes again"
            expected |= set(add(buffer, 60))
            link = make_link(beside(way.port), reader, buffer.series)
            async with running(link), accounted(reader):
                await eventually(lambda: reader.pending == 0, 20)
                await eventually(lambda: city.sequences() == expected, 20)
    assert sum(reader.dropped.values()) == 0


async def abandon(buffer: Buffer) -> None:
    """Let go of the files without the last flush, as a killed process does."""
    buffer._closed = True
    await buffer._worker.call(buffer._release)
    await buffer._worker.close()


@mosquitto
async def test_latest_sends_nothing_of_before_and_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    city = Listener()
    caplog.set_level(logging.INFO)
    async with ring(tmp_path) as buffer, Mosquitto(tmp_path / "mq") as broker:
        reader = buffer.reader("city")
        add(buffer, 500)
        section = broker_section(broker.port, history=None)
        link = make_link(section, reader, buffer.series, encoder=LatestOnly())
        async with city.on(broker.port), running(link), accounted(reader):
            await eventually(lambda: reader.dropped["policy"] == 500)
            new = add(buffer, 20)
            await eventually(lambda: reader.pending == 0)
            await eventually(lambda: city.sequences() == set(new))
    assert reader.acknowledged == 20
    told = [r.getMessage() for r in caplog.records if "before the connection" in r.getMessage()]
    assert len(told) == 1
    assert "500 readings" in told[0]


def test_a_treatment_of_history_that_the_format_cannot_keep_is_refused() -> None:
    with pytest.raises(ConfigError, match="in-order"):
        make_link(beside(1883), object(), Catalogue(), encoder=InOrderOnly())


class InOrderOnly(JsonLines):
    history = "in-order"
    histories = ("in-order",)


@pytest.mark.timeout(90)
@pytest.mark.parametrize("refused", ["history", "live"])
async def test_a_refused_message_stops_its_own_lane_alone(tmp_path: Path, refused: str) -> None:
    """Quota exceeded for one lane: refused again and again, but never set aside."""
    seen: list[Published] = []
    shut = {"on": True}

    def answer(message: Published) -> int | None:
        seen.append(message)
        is_history = b'"sensor":"old"' in message.payload
        if message.topic.endswith("/json") and is_history == (refused == "history"):
            return 0x97 if shut["on"] else 0
        return 0

    async with ring(tmp_path) as buffer, FakeBroker(answer=answer) as broker:
        reader = buffer.reader("city")
        old = add(buffer, 400, "old")
        section = beside(broker.port, batch_readings=40, history_rate=400)
        link = make_link(section, reader, buffer.series)
        async with running(link), accounted(reader):
            await eventually(lambda: reader.boundary == 400)
            for _ in range(5):
                add(buffer, 10, "new")
                await asyncio.sleep(0.05)
            free = 50 if refused == "history" else len(old)
            await eventually(lambda: reader.acknowledged == free)
            shut["on"] = False
            await eventually(lambda: reader.pending == 0)
    assert reader.dropped["rejected"] == 0
    assert link.stats.refused_messages > 0


async def test_a_suspicious_message_of_the_backlog_holds_up_what_is_new_for_a_second_at_most(
    tmp_path: Path,
) -> None:
    """It ended a connection, goes out alone on the next, and is never answered there."""

    def answer(message: Published) -> int | None:
        if b'"sensor":"old"' not in message.payload:
            return 0
        if message.connection == 1:
            raise ConnectionResetError
        return None

    async with ring(tmp_path) as buffer, FakeBroker(answer=answer) as broker:
        reader = buffer.reader("city")
        add(buffer, 100, "old")
        link = make_link(beside(broker.port, batch_readings=10), reader, buffer.series)
        async with running(link), accounted(reader):
            await eventually(lambda: link.stats.connects == 2)
            await eventually(lambda: reader.boundary >= 100 and link.stats.in_flight >= 1)
            for _ in range(5):
                add(buffer, 10, "new")
                await asyncio.sleep(0.05)
            await eventually(lambda: reader.acknowledged == 50)
            assert reader.cursor == 0
            assert link.stats.connects == 2


async def test_history_leaves_room_in_the_window_for_what_is_new(tmp_path: Path) -> None:
    """Nothing of the backlog is ever acknowledged, and new readings leave all the same."""
    acknowledged: list[Published] = []

    def answer(message: Published) -> int | None:
        if b'"sensor":"old"' in message.payload:
            return None
        acknowledged.append(message)
        return 0

    async with ring(tmp_path) as buffer, FakeBroker(answer=answer) as broker:
        reader: Reader = buffer.reader("city")
        add(buffer, 1000, "old")
        link = make_link(beside(broker.port, batch_readings=10, in_flight=4), reader, buffer.series)
        async with running(link), accounted(reader):
            await eventually(lambda: link.stats.in_flight >= 2)
            for _ in range(10):
                add(buffer, 5, "new")
                await asyncio.sleep(0.03)
            await eventually(lambda: reader.acknowledged == 50)
            assert link.stats.in_flight <= 3
