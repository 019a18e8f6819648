"""A link on the real ring: the same promises, over broker deaths and a restart of the daemon."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.buffer import Buffer, BufferSettings
from gateway.clock import Clock
from gateway.reading import SeriesKey
from tests.brokers import Mosquitto, free_port
from tests.forward.fakes import (
    Listener,
    accounted,
    broker_section,
    eventually,
    make_link,
    running,
)
from tests.proxy import GateProxy

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(120)]

CLOCK = Clock(trusted=True)
KEYS = [SeriesKey(name, "air.pm25") for name in ("a", "b", "c")]


def settings(folder: Path, size_bytes: int = 4 << 20) -> BufferSettings:
    return BufferSettings(
        directory=folder / "ring",
        runtime_directory=folder / "run",
        size_bytes=size_bytes,
        flush_interval_s=0.2,
    )


def add(buffer: Buffer, count: int) -> None:
    for number in range(count):
        key = KEYS[number % len(KEYS)]
        series_id = buffer.series_id(key, unit="ug/m3", privacy="P0")
        buffer.append(series_id, CLOCK.now_ns(), float(number), 0)
    buffer.notify()


def assert_identity(reader: Any) -> None:
    accounted = reader.acknowledged + reader.pending + sum(reader.dropped.values())
    assert reader.accepted == accounted


MODES = pytest.mark.parametrize("mode", ["in-order", "beside"])
"""Every promise of a link holds in every mode."""


@MODES
@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_nothing_is_missing_over_lost_connections(
    tmp_path: Path, protocol: str, mode: str
) -> None:
    """The way to the broker is cut again and again; the city hears every reading, in order."""
    city, total = Listener(), 20_000
    buffer = await Buffer.open(settings(tmp_path), CLOCK)
    flusher = asyncio.create_task(buffer.run())
    reader = buffer.reader("city")
    start = buffer.next_sequence
    async with Mosquitto(tmp_path / "mq") as broker, GateProxy(broker.port) as way:
        section = broker_section(way.port, protocol=protocol, batch_readings=25, history=mode)
        link = make_link(section, reader, buffer.series)
        async with city.on(broker.port), running(link), accounted(reader):
            for cut in range(4):
                for _ in range(total // 400):
                    add(buffer, 100)
                    await asyncio.sleep(0)
                    assert_identity(reader)
                connects = link.stats.connects
                await eventually(lambda: link.stats.state == "online")
                way.shut()
                await eventually(lambda: link.stats.state == "waiting")
                assert_identity(reader)
                way.open()
                await eventually(lambda: link.stats.connects > connects)  # noqa: B023
                assert cut < 4
            await eventually(lambda: reader.acknowledged == total)
            await eventually(lambda: len(city.sequences()) == total)
        assert_identity(reader)
        assert reader.pending == 0
        assert sum(reader.dropped.values()) == 0
        assert city.sequences() == set(range(start, start + total))
        newest: dict[str, int] = {}
        seen: set[int] = set()
        for line in city.lines() if mode == "in-order" else ():
            if line["sequence"] not in seen:
                seen.add(line["sequence"])
                assert line["sequence"] > newest.get(line["sensor"], -1)
                newest[line["sensor"]] = line["sequence"]
    flusher.cancel()
    await asyncio.gather(flusher, return_exceptions=True)
    await buffer.close()


@MODES
async def test_what_was_not_acknowledged_goes_out_after_a_restart(
    tmp_path: Path, mode: str
) -> None:
    city = Listener()
    buffer = await Buffer.open(settings(tmp_path), CLOCK)
    buffer.reader("city")
    add(buffer, 3000)
    section = broker_section(free_port(), history=mode)
    link = make_link(section, buffer.readers["city"], buffer.series)
    async with running(link):
        await eventually(lambda: link.stats.disconnects)
    assert buffer.readers["city"].pending == 3000
    await buffer.close()

    buffer = await Buffer.open(settings(tmp_path), CLOCK)
    reader = buffer.reader("city")
    assert reader.pending == 3000
    add(buffer, 500)
    async with Mosquitto(tmp_path / "mq") as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port, history=mode), reader, buffer.series)
        async with running(link), accounted(reader):
            await eventually(lambda: reader.acknowledged == 3500)
            await eventually(lambda: len(city.sequences()) == 3500)
        assert_identity(reader)
    assert len({line["epoch"] for line in city.lines()}) == 2
    await buffer.close()


@MODES
async def test_what_the_ring_overwrote_is_told_as_a_gap(tmp_path: Path, mode: str) -> None:
    city = Listener()
    buffer = await Buffer.open(settings(tmp_path, size_bytes=1 << 20), CLOCK)
    reader = buffer.reader("city")
    for _ in range(60):
        add(buffer, 1000)
        await buffer.flush()
    async with Mosquitto(tmp_path / "mq") as broker, city.on(broker.port):
        link = make_link(broker_section(broker.port, history=mode), reader, buffer.series)
        async with running(link), accounted(reader):
            await eventually(lambda: reader.pending == 0)
            await eventually(lambda: len(city.sequences()) == reader.acknowledged)
        assert_identity(reader)
    lost = reader.dropped["overwritten"]
    assert lost > 0
    assert reader.acknowledged + lost == 60_000
    gaps = city.gaps()
    assert sum(gap["count"] for gap in gaps) == lost
    told = {n for gap in gaps for n in range(gap["from"], gap["to"] + 1)}
    assert not told & city.sequences()
    assert len(told | city.sequences()) == 60_000
    await buffer.close()
