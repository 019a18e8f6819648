"""Watches the wall clock: samples it once a second, sees steps at once, asks whether it is right.

Whether the clock is right is asked of systemd's timedated over D-Bus, whose answer holds for
timesyncd, chrony and ntpd alike (it looks at the kernel's error estimate); the kernel itself is out
of reach in the hardened unit. It is asked only until the answer was yes, so that an idle box stays
idle. A box without timedated says so with ``[clock] trusted``, or keeps its readings marked.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from gateway.backoff import Backoff
from gateway.clock import Clock, Step

__all__ = ["ask_timedated", "steps_seen_at_once", "watch_clock"]

SAMPLE_INTERVAL_S = 1.0
ASK_FIRST_S = 2.0
ASK_MAX_S = 30.0
ASK_TIMEOUT_S = 5.0
"""timedated is started by the question."""
CLOCK_REALTIME = 0
TFD_NONBLOCK = os.O_NONBLOCK
TFD_CLOEXEC = os.O_CLOEXEC
TFD_TIMER_ABSTIME = 1
TFD_TIMER_CANCEL_ON_SET = 2
LONG_BITS = 8 * ctypes.sizeof(ctypes.c_long)
FAR_AWAY_S = (1 << 31) - 1 if LONG_BITS == 32 else 1 << 40
"""The timer is not to fire; it is there to be cancelled when somebody sets the clock."""
TIMER_BYTES = 8


async def watch_clock(
    clock: Clock, on_step: Callable[[Step], None], on_synced: Callable[[], None]
) -> None:
    """Keep ``clock`` up to date, for ever; call back for each step and once when it is right."""
    stepped = asyncio.Event()
    told = clock.synced
    async with asyncio.TaskGroup() as group:
        if not clock.synced:
            group.create_task(_ask_until_synced(clock))
        with steps_seen_at_once(stepped.set):
            while True:
                step = clock.sample()
                if step is not None:
                    on_step(step)
                if clock.synced and not told:
                    told = True
                    on_synced()
                stepped.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SAMPLE_INTERVAL_S):
                        await stepped.wait()


async def _ask_until_synced(clock: Clock) -> None:
    pauses = Backoff(first_s=ASK_FIRST_S, max_s=ASK_MAX_S)
    while not clock.synced:
        clock.reported = await ask_timedated()
        await asyncio.sleep(pauses.next_s())


async def ask_timedated() -> bool:
    """Ask timedated whether the clock is synchronised; False where nobody answers."""
    if find_spec("dbus_fast") is None:
        return False
    # Imported only here: a box whose clock is right from the start never needs it.
    from dbus_fast import BusType, Message, MessageType  # noqa: PLC0415
    from dbus_fast.aio import MessageBus  # noqa: PLC0415
    from dbus_fast.errors import DBusFastError  # noqa: PLC0415

    question = Message(
        destination="org.freedesktop.timedate1",
        path="/org/freedesktop/timedate1",
        interface="org.freedesktop.DBus.Properties",
        member="Get",
        signature="ss",
        body=["org.freedesktop.timedate1", "NTPSynchronized"],
    )
    bus: MessageBus | None = None
    try:
        async with asyncio.timeout(ASK_TIMEOUT_S):
            bus = MessageBus(bus_type=BusType.SYSTEM)
            await bus.connect()
            answer = await bus.call(question)
    except (DBusFastError, OSError, EOFError):  # TimeoutError is an OSError
        return False
    finally:
        if bus is not None:
            bus.disconnect()
    if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
        return False
    return bool(answer.body and getattr(answer.body[0], "value", False) is True)


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


@contextlib.contextmanager
def steps_seen_at_once(on_set: Callable[[], None]) -> Iterator[bool]:
    """Call ``on_set`` in the running loop whenever somebody sets the wall clock.

    Yields False where the kernel or the sandbox has no such timer; the sample of each second then
    finds the step. timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
    """
    loop = asyncio.get_running_loop()
    descriptor = _cancelled_timer()
    if descriptor is None:
        yield False
        return

    def cancelled() -> None:
        try:
            os.read(descriptor, TIMER_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ECANCELED:
                raise
            _arm(descriptor)
            on_set()

    loop.add_reader(descriptor, cancelled)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _cancelled_timer() -> int | None:
    """Return an armed timer, or None. Python has this call from 3.13 on."""
    descriptor: int = _libc().timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC)
    if descriptor < 0:
        return None
    if not _arm(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def _arm(descriptor: int) -> bool:
    never = _TimerSpec(_Timespec(0, 0), _Timespec(FAR_AWAY_S, 0))
    flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET
    answer: int = _libc().timerfd_settime(descriptor, flags, ctypes.byref(never), None)
    return answer == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
