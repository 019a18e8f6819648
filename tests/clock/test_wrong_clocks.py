"""Clocks that are wrong in every way, through the real ring and a real link, to a city that checks.

What the box measures is the true time, so every reading itself says whether its time is right.
"""

import asyncio
import errno
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import gateway.forward.time_fixes
from gateway.buffer import Batch
from gateway.buffer.inspect import BootTimes, RingView
from gateway.cli.buffer.figures import columns
from gateway.forward.formats.home_assistant import HomeAssistant
from tests.brokers import Mosquitto, free_port
from tests.buffer.support import balanced
from tests.clock.box import (
    HOUR_S,
    TRUE_NS,
    YEAR_S,
    Box,
    BoxClock,
    City,
    settle,
)
from tests.forward.fakes import PATIENCE_S, eventually
from tests.proxy import GateProxy

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(60)]

NS = 1_000_000_000
IN_1970_NS = 5 * NS
HOUR_BEHIND_NS = TRUE_NS - 3600 * NS
EXACT_S = 0.001
BOUND_S = 16.0
"""Of a clock that is right."""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Mosquitto]:
    async with Mosquitto(tmp_path / "broker") as started:
        yield started


@pytest.fixture
async def city(broker: Mosquitto) -> AsyncIterator[City]:
    listener = City()
    async with listener.on(broker.port):
        yield listener


def assert_mended(city: City, numbers: Sequence[int], tolerance_s: float = EXACT_S) -> None:
    """Every reading is there, in order, and its time is right without a doubt."""
    city.assert_order()
    found = city.errors_s()
    assert sorted(found) == list(numbers)
    for number, (error_s, bound_s, doubt) in found.items():
        assert abs(error_s) <= tolerance_s, number
        assert bound_s <= BOUND_S + 1
        assert not doubt


async def test_a_boot_in_1970_waits_for_the_time_and_then_all_goes_out_right(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    clock = BoxClock(1, shown_ns=IN_1970_NS)
    async with Box(tmp_path, clock, broker.port, hold_s=60.0) as box:
        await eventually(lambda: box.link.stats.state == "online")
        box.measure(30)
        await eventually(lambda: box.reader.held_readings == 30)
        assert city.lines() == []
        assert box.link.stats.state == "online"
        clock.sync()
        box.tick()
        await city.has(30)
        await box.all_acknowledged()
        assert box.reader.held_readings == 0
    assert city.fixes() == []
    assert all("clock_unsynced" not in line.get("flags", ()) for line in city.lines())
    assert_mended(city, range(30))


@pytest.mark.parametrize("history", ["in-order", "beside"])
@pytest.mark.parametrize(
    "shown_ns", [IN_1970_NS, HOUR_BEHIND_NS], ids=["boot-in-1970", "an-hour-behind"]
)
async def test_right_after_ten_minutes(
    tmp_path: Path, broker: Mosquitto, city: City, shown_ns: int, history: str
) -> None:
    clock = BoxClock(1, shown_ns=shown_ns)
    async with Box(tmp_path, clock, broker.port, hold_s=60.0, history=history) as box:
        box.measure(60, every_s=10.0)
        await box.all_acknowledged()
        await city.has(60)
        assert all(line["flags"] == ["clock_unsynced"] for line in city.lines())
        clock.sync()
        box.measure(20)
        await city.has(80)
        await eventually(city.fixes)
        await box.all_acknowledged()
        await eventually(lambda: box.link.stats.time_fixed_readings == 60)
    (fix,) = city.fixes()
    assert (fix["from"], fix["to"], fix["boot"], fix["estimated"]) == (0, 59, 1, False)
    assert abs(fix["correction_s"] - (TRUE_NS - shown_ns) / NS) <= EXACT_S
    assert_mended(city, range(80))


async def test_what_was_not_sent_when_it_became_right_goes_out_right(tmp_path: Path) -> None:
    clock, city = BoxClock(1, shown_ns=IN_1970_NS), City()
    broker = Mosquitto(tmp_path / "broker")
    async with Box(tmp_path, clock, broker.port) as box:
        async with broker, city.on(broker.port):
            box.measure(10)
            await box.all_acknowledged()
            await city.has(10)
        await eventually(lambda: box.link.stats.state == "waiting")
        box.measure(10)
        clock.sync()
        box.tick()
        async with broker, city.on(broker.port):
            await city.has(20)
            await eventually(city.fixes)
            await box.all_acknowledged()
    (fix,) = city.fixes()
    assert (fix["from"], fix["to"]) == (0, 9)
    assert_mended(city, range(20))


async def test_a_step_back_of_an_hour_rewrites_nothing_that_was_sent(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    clock = BoxClock(1, shown_ns=TRUE_NS + 3600 * NS)
    clock.mark.is_there = True  # somebody believed a clock that was an hour ahead
    clock.sample()
    async with Box(tmp_path, clock, broker.port) as box:
        box.measure(50)
        await box.all_acknowledged()
        await city.has(50)
        box.measure(5)
        clock.step(-HOUR_S)
        box.measure(50)
        await city.has(105)
        await box.all_acknowledged()
        await settle()
    assert clock.steps == 1
    city.assert_order()
    assert city.fixes() == []
    errors_s = [error_s for error_s, _, _ in city.errors_s().values()]
    assert all(abs(error_s - HOUR_S) <= EXACT_S for error_s in errors_s[:50])
    assert all(abs(error_s) <= EXACT_S for error_s in errors_s[50:])
    assert all("flags" not in line or line["flags"] == [] for line in city.lines())


async def test_a_step_of_a_year_before_anybody_says_that_it_is_right(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    """Two offsets were used before the clock is known to be right: two messages mend them."""
    clock = BoxClock(1, shown_ns=TRUE_NS - int(YEAR_S) * NS)
    async with Box(tmp_path, clock, broker.port) as box:
        box.measure(20)
        await box.all_acknowledged()
        clock.step(YEAR_S)
        box.measure(20)
        await box.all_acknowledged()
        assert not clock.synced
        clock.sync()
        box.measure(20)
        await city.has(60)
        await eventually(lambda: len(city.fixes()) == 2)
        await box.all_acknowledged()
    ranges = [(fix["from"], fix["to"]) for fix in city.fixes()]
    assert ranges == [(0, 19), (20, 39)]
    assert clock.steps == 1
    assert_mended(city, range(60))


async def test_a_suspend_ends_the_wait_and_keeps_the_distances(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    clock = BoxClock(1, shown_ns=HOUR_BEHIND_NS)
    async with Box(tmp_path, clock, broker.port, hold_s=60.0) as box:
        box.measure(10)
        await eventually(lambda: box.reader.held_readings == 10)
        clock.advance(8 * HOUR_S)
        box.measure(10)
        await city.has(20)
        await box.all_acknowledged()
        clock.sync()
        box.measure(1)
        await city.has(21)
        await eventually(city.fixes)
        await box.all_acknowledged()
    assert clock.steps == 1
    assert_mended(city, range(21))


@pytest.mark.parametrize("is_online", [True, False], ids=["sent-at-once", "sent-afterwards"])
async def test_two_boots_in_a_row_without_the_time(
    tmp_path: Path, broker: Mosquitto, city: City, *, is_online: bool
) -> None:
    """They lie between their neighbours, within the bound that is told, in order."""
    first = BoxClock(1, shown_ns=TRUE_NS)
    first.sync()
    async with Box(tmp_path, first, broker.port) as box:
        box.measure(10)
        await box.all_acknowledged()
    port = broker.port if is_online else free_port()
    true_ns = first.true_ns
    for boot in (2, 3):
        true_ns += 600 * NS
        clock = BoxClock(boot, shown_ns=IN_1970_NS, true_ns=true_ns)
        async with Box(tmp_path, clock, port) as box:
            box.measure(10)
            if is_online:
                await box.all_acknowledged()
        true_ns = clock.true_ns
    last = BoxClock(4, shown_ns=IN_1970_NS, true_ns=true_ns + 600 * NS)
    async with Box(tmp_path, last, broker.port, hold_s=60.0) as box:
        box.measure(10)
        last.sync()
        box.tick()
        await city.has(40)
        await eventually(lambda: len(city.fixes()) == (2 if is_online else 0))
        await box.all_acknowledged()
        assert balanced(box.reader)
    assert_between_the_neighbours(city, first.true_ns, last.true_ns)
    fixes = city.fixes()
    assert all(fix["estimated"] for fix in fixes)
    assert [(fix["boot"], fix["from"], fix["to"]) for fix in fixes] == (
        [(2, 10, 19), (3, 20, 29)] if is_online else []
    )


def assert_between_the_neighbours(city: City, before_ns: int, after_ns: int) -> None:
    city.assert_order()
    found = city.errors_s()
    assert sorted(found) == list(range(40))
    values = {line["sequence"]: line["value"] for line in city.lines()}
    mended = [values[number] + found[number][0] for number in range(40)]
    assert mended == sorted(mended)
    for number, (error_s, bound_s, doubt) in found.items():
        is_known = not 10 <= number < 30
        assert doubt is not is_known
        if is_known:
            assert abs(error_s) <= EXACT_S
        else:
            assert before_ns / NS - 1 <= mended[number] <= after_ns / NS + 1
            assert bound_s == 0.0 or abs(error_s) <= bound_s


async def test_readings_of_earlier_boots_do_not_wait(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    first = BoxClock(1, shown_ns=TRUE_NS)
    first.sync()
    async with Box(tmp_path, first, free_port()) as box:
        box.measure(10)
    second = BoxClock(2, shown_ns=IN_1970_NS, true_ns=first.true_ns)
    async with Box(tmp_path, second, broker.port, hold_s=60.0) as box:
        box.measure(10)
        await city.has(10)
        await eventually(lambda: box.reader.held_readings == 10)
        await settle()
        assert city.sequences() == set(range(10))
        second.advance(60.0)
        box.tick()
        await city.has(20)
        await box.all_acknowledged()


@pytest.mark.parametrize("end", ["process", "power"])
async def test_a_crash_between_sending_and_mending_forgets_no_reading(
    tmp_path: Path, broker: Mosquitto, city: City, end: str
) -> None:
    """The process dies, or the machine; the next one knows what was sent, and mends it."""
    clock = BoxClock(1, shown_ns=HOUR_BEHIND_NS)
    before = BoxClock(9, shown_ns=TRUE_NS - HOUR_BEHIND_NS, true_ns=TRUE_NS - 600 * NS)
    before.sync()
    async with Box(tmp_path, before, broker.port) as box:
        box.measure(3)
        await box.all_acknowledged()
    async with Box(tmp_path, clock, broker.port) as box:
        box.measure(40)
        await box.all_acknowledged()
        await box.buffer.flush()
        kept = await box.die()
    await asyncio.to_thread(box.file.write_bytes, kept)  # an orderly end would say it exactly
    if end == "power":
        clock = BoxClock(2, shown_ns=IN_1970_NS, true_ns=clock.true_ns + 60 * NS)
    async with Box(tmp_path, clock, broker.port, hold_s=60.0) as box:
        clock.sync()
        box.measure(5)
        await city.has(48)
        await eventually(city.fixes)
        await box.all_acknowledged()
        await eventually(lambda: box.link.stats.time_fixed_readings == 40)
        async with asyncio.timeout(8):
            while await asyncio.to_thread(box.file.exists):  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.01)
    (fix,) = city.fixes()
    assert (fix["epoch"], fix["from"]) == (2, 3)
    assert fix["to"] > 42, "what is kept runs ahead of what is sent"
    assert fix["estimated"] is (end == "power")
    found = city.errors_s()
    assert sorted(found) == list(range(48))
    for error_s, bound_s, _ in found.values():
        assert abs(error_s) <= max(bound_s, EXACT_S)
    if end == "process":
        assert_mended(city, range(48), tolerance_s=0.1)


async def test_a_clock_before_the_newest_right_time_is_not_believed(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    first = BoxClock(1, shown_ns=TRUE_NS)
    first.sync()
    async with Box(tmp_path, first, broker.port) as box:
        box.measure(10)
        await box.all_acknowledged()
    second = BoxClock(2, shown_ns=HOUR_BEHIND_NS, true_ns=first.true_ns)
    second.mark.is_there = True
    second.sample()
    assert clock_is_believed(second)
    async with Box(tmp_path, second, broker.port) as box:
        assert not clock_is_believed(second)
        box.measure(10)
        await box.all_acknowledged()
        second.sync()
        assert clock_is_believed(second)
        box.measure(1)
        await city.has(21)
        await eventually(city.fixes)
        await box.all_acknowledged()
    assert_mended(city, range(21))


def clock_is_believed(clock: BoxClock) -> bool:
    return clock.synced


async def test_the_file_is_there_before_the_first_doubtful_reading_leaves(
    tmp_path: Path, broker: Mosquitto, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the disk does not answer nothing doubtful goes out; what is right does."""
    answers = threading.Event()
    save = gateway.forward.time_fixes._save

    def slow(*arguments: Any) -> None:
        assert answers.wait(PATIENCE_S)
        save(*arguments)

    monkeypatch.setattr(gateway.forward.time_fixes, "_save", slow)
    clock = BoxClock(1, shown_ns=HOUR_BEHIND_NS)
    async with Box(tmp_path, clock, broker.port) as box:
        await eventually(lambda: box.link.stats.state == "online")
        box.measure(10)
        await asyncio.sleep(0.2)
        assert city.lines() == []
        answers.set()
        await city.has(10)
        await box.all_acknowledged()


async def test_a_disk_that_takes_nothing_stops_no_reading(
    tmp_path: Path, broker: Mosquitto, city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr(gateway.forward.time_fixes, "_save", fails)
    clock = BoxClock(1, shown_ns=HOUR_BEHIND_NS)
    async with Box(tmp_path, clock, broker.port) as box:
        box.measure(10)
        await city.has(10)
        await box.all_acknowledged()
        clock.sync()
        box.measure(1)
        await eventually(city.fixes)
        await city.has(11)
        await box.all_acknowledged()
    assert_mended(city, range(11))


async def test_without_a_topic_nobody_is_told_and_nothing_is_kept(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    clock = BoxClock(1, shown_ns=HOUR_BEHIND_NS)
    async with Box(tmp_path, clock, broker.port, time_fix_topic="") as box:
        box.measure(10)
        await box.all_acknowledged()
        clock.sync()
        box.measure(10)
        await city.has(20)
        await box.all_acknowledged()
        await settle()
        assert not await asyncio.to_thread(box.file.exists)
    assert city.fixes() == []


async def test_a_fix_that_the_broker_refuses_is_not_taken_for_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its access rules know the data and not the fix; the link says so, once, and goes on."""
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite #\ntopic deny city/+/+/time-fix\n", encoding="utf-8")
    clock, city = BoxClock(1, shown_ns=HOUR_BEHIND_NS), City()
    mosquitto = Mosquitto(tmp_path / "broker", lines=[f"acl_file {rules}"])
    with caplog.at_level(logging.INFO):
        async with (
            mosquitto,
            city.on(mosquitto.port),
            Box(tmp_path, clock, mosquitto.port) as box,
        ):
            box.measure(10)
            await city.has(10)
            await box.all_acknowledged()
            clock.sync()
            box.tick()
            await eventually(lambda: "refuses the time-fix of readings 0 to 9" in caplog.text)
            box.measure(10)
            await city.has(20)
            assert box.link.stats.time_fixed_readings == 0
    assert "times mended" not in caplog.text
    assert city.fixes() == []


async def test_a_fix_that_was_not_answered_comes_again(tmp_path: Path) -> None:
    """The broker goes away before it takes the message; the next connection brings it."""
    clock, city = BoxClock(1, shown_ns=HOUR_BEHIND_NS), City()
    mosquitto = Mosquitto(tmp_path / "broker")
    async with (
        mosquitto,
        GateProxy(mosquitto.port) as way,
        city.on(mosquitto.port),
        Box(tmp_path, clock, way.port) as box,
    ):
        box.measure(10)
        await city.has(10)
        await box.all_acknowledged()
        way.shut()
        clock.sync()
        box.tick()
        await eventually(lambda: box.link.stats.state == "waiting")
        assert box.link.stats.time_fixed_readings == 0
        way.open()
        await eventually(lambda: box.link.stats.time_fixed_readings == 10)
        await eventually(city.fixes)
    assert_mended(city, range(10))


async def test_a_format_without_times_waits_for_no_clock(
    tmp_path: Path, broker: Mosquitto, city: City
) -> None:
    clock = BoxClock(1, shown_ns=IN_1970_NS)
    encoder = HomeAssistant(HomeAssistant.Options())
    async with Box(tmp_path, clock, broker.port, hold_s=60.0, encoder=encoder, history=None) as box:
        await eventually(lambda: box.link.stats.state == "online")
        await eventually(lambda: box.link.stats.acknowledged_messages)
        box.measure(3)
        await box.all_acknowledged()
        assert box.reader.held_readings == 0
    assert city.fixes() == []


async def test_an_export_places_a_lost_boot_between_its_neighbours(tmp_path: Path) -> None:
    true_ns = TRUE_NS
    for boot, is_right in ((1, True), (2, False), (3, True)):
        clock = BoxClock(boot, shown_ns=IN_1970_NS, true_ns=true_ns)
        if is_right:
            clock.sync()
        async with Box(tmp_path, clock, free_port()) as box:
            box.measure(5)
        true_ns = clock.true_ns + 60 * NS

    def exported() -> list[Batch]:
        with RingView(tmp_path / "data") as view:
            head, times = view.head(), BootTimes(view.directory)
            assert head is not None
            blocks = view.walk_valid(view.low(head), head.number + 1)
            return [columns(block, times) for block in blocks if block.count]

    batches = await asyncio.to_thread(exported)
    assert [(batch.boot, batch.synced, batch.estimated) for batch in batches] == [
        (1, True, False),
        (2, False, True),
        (3, True, False),
    ]
    walls = [time_ns + batch.offset_ns for batch in batches for time_ns in batch.times_ns]
    assert walls == sorted(walls)
    assert walls[0] >= TRUE_NS
    assert walls[-1] <= true_ns
