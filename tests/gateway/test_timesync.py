"""The clock is asked for on a real bus, and a step is seen through the kernel's own timer."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast

import pytest
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

import gateway.timesync
from gateway.clock import BOOT_ID_VARIABLE, RELEASED_NS, Clock, Step
from gateway.timesync import ask_timedated, steps_seen_at_once, watch_clock
from tests.transports.fake_bluez import PrivateBus

pytestmark = pytest.mark.dbus


class NoMark:
    """The file of timesyncd that never appears; the real one lies in memory, and so may be asked
    for in the event loop, which the watch over tests cannot know."""

    def exists(self) -> bool:
        return False


ABSENT = cast("Path", NoMark())
PATIENCE_S = 8.0


class FakeTimedated:
    """org.freedesktop.timedate1 with the one property that we read."""

    def __init__(self) -> None:
        self.answer: object = Variant("b", False)
        self.questions = 0

    async def start(self) -> None:
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._on_message)
        await self._bus.request_name("org.freedesktop.timedate1")

    async def stop(self) -> None:
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    def _on_message(self, message: Message) -> Message | None:
        if message.message_type is not MessageType.METHOD_CALL or message.member != "Get":
            return None
        self.questions += 1
        assert message.body == ["org.freedesktop.timedate1", "NTPSynchronized"]
        if self.answer is None:
            return Message.new_error(message, "org.freedesktop.DBus.Error.Failed", "no")
        return Message.new_method_return(message, "v", [self.answer])


@pytest.fixture(autouse=True)
def known_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that is made inside the loop must not read the kernel's file."""
    monkeypatch.setenv(BOOT_ID_VARIABLE, "6f1d2c3b-0000-4000-8000-0000000000aa")


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateBus]:
    private = PrivateBus(tmp_path)
    private.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", private.address)
    yield private
    private.kill()


@pytest.fixture
async def timedated(bus: PrivateBus) -> AsyncIterator[FakeTimedated]:
    fake = FakeTimedated()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.mark.parametrize(
    ("answer", "synced"),
    [
        (Variant("b", True), True),
        (Variant("b", False), False),
        (Variant("s", "yes"), False),
        (None, False),
    ],
    ids=["yes", "no", "not a boolean", "an error"],
)
async def test_timedated_is_believed_only_when_it_says_yes(
    timedated: FakeTimedated, *, answer: object, synced: bool
) -> None:
    timedated.answer = answer
    assert await ask_timedated() is synced


async def test_without_timedated_the_clock_stays_unsynced(bus: PrivateBus) -> None:
    assert await ask_timedated() is False


async def test_without_a_bus_the_clock_stays_unsynced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nobody")
    assert await ask_timedated() is False


async def test_it_is_asked_until_the_answer_is_yes_and_then_never_again(
    timedated: FakeTimedated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.timesync, "ASK_FIRST_S", 0.02)
    monkeypatch.setattr(gateway.timesync, "SAMPLE_INTERVAL_S", 0.02)
    clock = Clock(synchronized_mark=ABSENT, realtime_ns=lambda: RELEASED_NS + time.monotonic_ns())
    synced = asyncio.Event()
    steps: list[Step] = []
    watch = asyncio.create_task(watch_clock(clock, steps.append, synced.set))
    async with asyncio.timeout(PATIENCE_S):
        while timedated.questions < 3:  # noqa: ASYNC110 - the fake has no event
            await asyncio.sleep(0.01)
        assert not synced.is_set()
        timedated.answer = Variant("b", True)
        await synced.wait()
    assert (clock.synced, clock.sync_source) == (True, "timedated")
    asked = timedated.questions
    timedated.answer = Variant("b", False)
    await asyncio.sleep(0.2)
    assert timedated.questions == asked
    assert clock.synced, "a clock that was right stays right"
    watch.cancel()
    await asyncio.wait({watch})


async def test_nobody_is_believed_about_a_clock_that_shows_the_past(
    timedated: FakeTimedated,
) -> None:
    timedated.answer = Variant("b", True)
    now_ns = RELEASED_NS - 1
    clock = Clock(
        trusted=True, synchronized_mark=ABSENT, boottime_ns=lambda: 7, realtime_ns=lambda: now_ns
    )
    clock.reported = await ask_timedated()
    clock.sample()
    assert not clock.synced
    now_ns += 2
    clock.not_before_ns = RELEASED_NS + 100
    clock.sample()
    assert not clock.synced, "readings in the ring are younger than this"
    now_ns += 200
    clock.sample()
    assert clock.sync_source == "trusted"


async def test_a_step_is_seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = asyncio.Event()
    with steps_seen_at_once(seen.set) as armed:
        assert armed
        for _ in range(2):  # it has to be armed again each time
            try:
                time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns())
            except PermissionError:
                return  # not root: what is left is that the timer could be armed
            async with asyncio.timeout(PATIENCE_S):
                await seen.wait()
            seen.clear()


async def test_a_kernel_without_that_timer_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway.timesync, "CLOCK_REALTIME", 99)
    with steps_seen_at_once(lambda: None) as armed:
        assert not armed
