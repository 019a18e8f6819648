"""A sensor may have a shorter retention than its privacy class (PRIV-10)."""

from pathlib import Path

import pytest

from gateway.buffer import Batch, Buffer
from gateway.reading import PrivacyClass, SeriesKey
from tests.buffer.support import HandClock, drain, open_buffer, settle

LINK = "aarhus"
HOUR_NS = 3600 * 1_000_000_000


def put(buffer: Buffer, clock: HandClock, sensor: str, privacy: PrivacyClass) -> None:
    series = buffer.series_id(SeriesKey(sensor, "air.pm25"), unit="ug/m3", privacy=privacy)
    buffer.append(series, clock.now_ns(), float(buffer.next_sequence), 0)


def pass_hours(clock: HandClock, hours: float) -> None:
    clock.boot_ns += int(hours * HOUR_NS)
    clock.real_ns += int(hours * HOUR_NS)


async def readable(buffer: Buffer) -> list[int]:
    link = buffer.reader(LINK)
    items = [item for item in await drain(link) if isinstance(item, Batch)]
    settle(link, items)
    assert link.pending == 0
    return [item.first + index for item in items for index in range(len(item))]


@pytest.mark.parametrize(
    ("hours", "left"),
    [(1, [0, 1, 2, 3]), (3, [0, 2, 3]), (30, [0, 3]), (73, [0])],
)
async def test_priv_10_the_shorter_limit_counts(
    tmp_path: Path, hours: float, left: list[int]
) -> None:
    clock = HandClock()
    limits = {"flat-1": 2 * 3600.0, "flat-2": 24 * 3600.0, "flat-3": 99 * 3600.0}
    buffer = await open_buffer(tmp_path, clock=clock, sensor_retention_s=limits)
    buffer.reader(LINK)
    put(buffer, clock, "roof", "P0")
    for name in limits:
        put(buffer, clock, name, "P3")
    await buffer.flush()
    pass_hours(clock, hours)
    assert await readable(buffer) == left
    assert buffer.reader(LINK).dropped["expired"] == 4 - len(left)
    await buffer.close()


async def test_priv_10_a_limit_can_change_while_the_daemon_runs(tmp_path: Path) -> None:
    clock = HandClock()
    buffer = await open_buffer(tmp_path, clock=clock, sensor_retention_s={"roof": 3600.0})
    buffer.reader(LINK)
    for _ in range(2):
        put(buffer, clock, "roof", "P0")
        put(buffer, clock, "yard", "P0")
        await buffer.flush()
        pass_hours(clock, 2)
    buffer.limit_sensors({"yard": 3 * 3600.0})
    assert await readable(buffer) == [0, 2, 3]
    await buffer.close()
