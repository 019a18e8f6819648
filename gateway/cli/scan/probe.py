"""Asks what is at a port: sends the questions of each driver. Only after ``--probe``."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Protocol, runtime_checkable

import serial

from gateway.cli.scan.hearing import Fit, is_searching, make
from gateway.cli.scan.listen import Found, close, read_chunk
from gateway.driver import Driver, Polled, Request, SerialLine, Stream
from gateway.errors import PortError
from gateway.reading import Fault
from gateway.transports.serial_opening import change_speed, open_port

__all__ = ["Ask", "Pause", "Searching", "ask_polled", "probe_all"]

MAX_ANSWER_BYTES = 8192
MAX_ANSWER_S = 90.0
"""Noise without end is no answer; a meter at 300 baud needs a minute for its readout."""
SETTINGS_S = 4.0
"""A device that has said nothing for so long after it was set up is not there."""
MAX_ROUND_REQUESTS = 64
WRITE_S = 1.0
POLL_S = 0.02
MAX_ROUNDS = 8
BETWEEN_ROUNDS_S = 1.0
OFTEN_S = 60.0
"""A device that is asked less often by its driver may run on a battery: one round is enough."""
BITS_A_CHARACTER = 12
"""The longest there is: start, eight bits, parity, two stop bits."""
MAX_UNANSWERED = 2
MAX_FOUND = 32
"""Of the devices of a bus so many are read; all of them are listed."""

Pause = Callable[[float], Awaitable[None]]
Ask = Callable[[Request], Awaitable[bytes]]
"""Sends a question; returns the answer without our echo, or what came until the time-out."""


@runtime_checkable
class Searching(Protocol):
    """What a driver may offer as ``search``: it looks through a whole bus."""

    found: list[Mapping[str, object]]
    """The options of each device that was found."""

    def next_request(self, answer: bytes = b"") -> Request | None:
        """Take the last answer, return the next question; None at the end."""
        ...


def probe_all(
    found: Sequence[Found],
    drivers: Iterable[type[Driver]],
    listen_s: float,
    done: Callable[[Found], None] | None = None,
) -> None:
    """Ask at many ports at once; ``done`` is told of each as soon as it is known.

    With every driver and line setting, until one is sure; adds to ``fits`` of each port. A silent
    device is asked by those that only read, whole buses behind single devices, and gets settings
    last. One that talks by itself gets its settings first, and no bus is looked for: all that it
    says would be taken for answers.
    """
    asyncio.run(_probe_all(found, list(drivers), listen_s, done))


async def _probe_all(
    found: Sequence[Found],
    drivers: Sequence[type[Driver]],
    listen_s: float,
    done: Callable[[Found], None] | None,
) -> None:
    async def one(each: Found) -> None:
        await _probe(each, drivers, listen_s)
        if done is not None:
            done(each)

    async with asyncio.TaskGroup() as group:
        for each in found:
            group.create_task(one(each))


async def _probe(found: Found, drivers: Sequence[type[Driver]], listen_s: float) -> None:
    streams = [cls for cls in drivers if isinstance(make(cls), Stream)]
    polled = sorted((cls for cls in drivers if cls not in streams), key=is_searching)
    order = polled + streams
    if found.talks:
        order = streams + [cls for cls in polled if not is_searching(cls)]
    for cls in order:
        for line in cls.info.lines:
            if found.sure or found.error:
                return
            with _opened(found, line) as port:
                if port is None:
                    return
                if cls in streams:
                    await _ask_stream(found, port, line, cls, listen_s)
                else:
                    await ask_polled(found, line, cls, _Questioner(found, port, line).ask)


@contextmanager
def _opened(found: Found, line: SerialLine) -> Iterator[serial.Serial | None]:
    try:
        port = open_port(found.port.path, line)
    except PortError as error:
        found.error = error.reason
        yield None
        return
    try:
        yield port
    except PortError as error:
        found.error = error.reason
    except OSError as error:
        found.error = os.strerror(error.errno or 0)
    finally:
        close(port)


async def ask_polled(
    found: Found,
    line: SerialLine,
    cls: type[Driver],
    ask: Ask,
    pause: Pause = asyncio.sleep,
) -> None:
    """Look for the devices of a driver with one line setting, and read each.

    One that answers is read until that is enough; first answers may say that it warms up.
    """
    devices: Sequence[Mapping[str, object]] = [{}]
    if is_searching(cls):
        devices = await _search(cls, ask)
    for index, options in enumerate(devices):
        driver = make(cls, options)
        if isinstance(driver, Polled):
            fit = Fit(cls.info.name, line, options)
            found.fits.append(fit)
            if index < MAX_FOUND:
                await _read(driver, fit, ask, pause)


async def _search(cls: type[Driver], ask: Ask) -> list[Mapping[str, object]]:
    search = cls.search()  # type: ignore[attr-defined]  # only drivers of a bus have it
    if not isinstance(search, Searching):
        raise TypeError("a driver's search has no next_request")
    answer = b""
    while (request := search.next_request(answer)) is not None:
        answer = await ask(request)
    return search.found


async def _read(driver: Polled, fit: Fit, ask: Ask, pause: Pause) -> None:
    often = driver.info.interval_s <= OFTEN_S
    for number in range(MAX_ROUNDS if often else 1):
        if number:
            await pause(BETWEEN_ROUNDS_S)
        if not await _round(driver, fit, ask) or fit.sure or fit.faults:
            return


async def _round(driver: Polled, fit: Fit, ask: Ask) -> bool:
    """Ask one round; tell if there was an answer. Without one there are no faults either."""
    unanswered = 0
    answered = False
    for request in islice(driver.requests(), MAX_ROUND_REQUESTS):
        answer = await ask(request)
        outcomes = list(driver.on_reply(request, answer))
        if request.length == 0:
            continue
        unanswered = 0 if answer else unanswered + 1
        answered = answered or bool(answer)
        fit.take(each for each in outcomes if answer or not isinstance(each, Fault))
        if unanswered >= MAX_UNANSWERED:
            break
    return answered


async def _ask_stream(
    found: Found, port: serial.Serial, line: SerialLine, cls: type[Driver], listen_s: float
) -> None:
    driver = make(cls)
    if not isinstance(driver, Stream):
        return
    settings = b"".join(driver.on_open())
    if not settings:
        return  # it has nothing to say to its device, and was listened to before
    fit = Fit(cls.info.name, line)
    found.fits.append(fit)
    await _write(port, settings)
    heard = False
    until = time.monotonic() + listen_s
    while not found.sure and (left_s := until - time.monotonic()) > 0:
        if not await _readable(port, min(left_s, SETTINGS_S)):
            if not heard:
                return
            continue
        data = read_chunk(port)
        if data is None:
            found.error = "the device is gone"
            return
        heard = True
        found.heard(line, data)
        fit.feed(driver, data)


class _Questioner:
    """Asks at a port that is open for one round, or one search."""

    def __init__(self, found: Found, port: serial.Serial, line: SerialLine) -> None:
        self._found = found
        self._port = port
        self._line = line
        self._baud = line.baud
        """The device may ask for another one in the course of the round."""

    async def ask(self, request: Request) -> bytes:
        """Send a question and return its answer; what came until a time-out."""
        if request.data:
            await asyncio.sleep(request.quiet_s)
            read_chunk(self._port)  # late answers
            await _write(self._port, request.data)
        if request.reply_baud is not None:
            await asyncio.sleep(self._duration_s(len(request.data)))
            if request.reply_baud != self._baud:
                change_speed(self._port, request.reply_baud)
            self._baud = request.reply_baud
        return await self._answer(request)

    async def _answer(self, request: Request) -> bytes:
        collected = b""
        limit_s = request.timeout_s + self._duration_s(MAX_ANSWER_BYTES)
        until = time.monotonic() + min(limit_s, MAX_ANSWER_S)
        while time.monotonic() < until and len(collected) < MAX_ANSWER_BYTES:
            answer = collected.removeprefix(request.data)
            if _whole(request, answer):
                return answer
            if not await _readable(self._port, request.timeout_s):
                return answer
            data = read_chunk(self._port)
            if data is None:
                raise OSError(5, "the device is gone")
            self._found.heard(self._line, data)
            collected += data
        return collected.removeprefix(request.data)

    def _duration_s(self, characters: int) -> float:
        return characters * BITS_A_CHARACTER / self._baud


def _whole(request: Request, answer: bytes) -> bool:
    if not answer:
        return request.length == 0
    length = request.length(answer) if callable(request.length) else request.length
    if length is not None:
        return len(answer) >= length
    return bool(request.end) and answer.endswith(request.end or b"")


async def _readable(port: serial.Serial, timeout_s: float) -> bool:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(port.fileno(), _settle, ready)
    try:
        await asyncio.wait((ready,), timeout=timeout_s)
    finally:
        loop.remove_reader(port.fileno())
    return ready.done()


def _settle(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


async def _write(port: serial.Serial, data: bytes) -> None:
    """Write all of it; a port that does not take it within a second is as good as silent."""
    until = time.monotonic() + WRITE_S
    while data and time.monotonic() < until:
        try:
            data = data[os.write(port.fileno(), data) :]
        except BlockingIOError:
            await asyncio.sleep(POLL_S)
