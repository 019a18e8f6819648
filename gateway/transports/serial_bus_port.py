"""One opening of a bus: asks one question at a time, and keeps the silences that the bus needs.

Bytes that nobody waits for (the late answer of a device that was given up, noise) are discarded
and counted. Driver code runs in the task that asks, never in a callback of the loop.
"""

import asyncio
from types import TracebackType
from typing import NamedTuple, Self

import serial

from gateway.clock import Clock
from gateway.driver import Request, SerialLine
from gateway.errors import PortError
from gateway.transports.serial_bus_device import BusStats
from gateway.transports.serial_channel import SerialChannel
from gateway.transports.serial_opening import change_speed

__all__ = ["BusPort", "Reply"]

MAX_ANSWER_BYTES = 8192
"""A longer answer is none; also how many characters an answer may take after its time-out."""
QUIET_CHARACTERS = 3.5
"""Silence before each request: what Modbus asks for, and nobody minds."""
MIN_QUIET_S = 0.00175
"""The same at 19200 baud and faster."""
MAX_QUIET_WAIT_S = 1.0
"""On a bus that is never quiet the question is asked anyway."""
SEND_S = 1.0
"""A port that has not taken a request after so long beyond its duration is broken."""


class Reply(NamedTuple):
    """What came in answer to a request, without its echo."""

    data: bytes
    whole: bool
    """False after a time-out."""
    received_ns: int
    """When the last byte was read, or when the waiting ended; boot ns."""


class BusPort:
    """Asks over an open port; closes it on exit. ``cause`` says why it was lost, once it is."""

    def __init__(self, port: serial.Serial, line: SerialLine, clock: Clock) -> None:
        self._loop = asyncio.get_running_loop()
        self._serial = port
        self._clock = clock
        self._channel = SerialChannel(
            port, clock, on_data=self._take, on_sent=self.wake, on_lost=self._lost
        )
        self._own_baud = self._baud = line.baud
        self._bits = 1 + line.bytesize + (line.parity != "N") + line.stopbits
        self._stats: BusStats | None = None
        """Of the device that was asked last."""
        self._asking = False
        self._collected = bytearray()
        self._echo = b""
        """What may come back before the answer."""
        self._busy_until = self._loop.time()
        """Loop time at which the last byte was read, or will have been sent."""
        self._received_ns: int | None = None
        self._wake: asyncio.Future[None] | None = None
        self.cause = ""
        """``vanished`` or ``error``."""
        self.problem = ""
        """What the kernel said."""

    def __enter__(self) -> Self:
        self._channel.listen()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._channel.close()

    @property
    def received(self) -> bool:
        """Tell whether any byte came."""
        return self._channel.received

    async def ask(self, request: Request, stats: BusStats) -> Reply:
        """Wait for silence, send, and return the answer, or what came before the time-out.

        If the port is lost meanwhile, ``cause`` is set and the reply means nothing.
        """
        if request.data:
            await self._silence(max(self._quiet_s, request.quiet_s))
            self._channel.read()  # what lies in the kernel's buffer is late as well
        self._stats = self._channel.stats = stats
        stats.requests += 1
        self._collected.clear()
        self._received_ns = None
        self._echo = request.data
        self._asking = True
        try:
            await self._send(request.data)
            if request.reply_baud is not None:
                await self._change_speed(request.reply_baud)
            data, whole = await self._answer(request)
        finally:
            self._asking = False
        stats.timeouts += not whole
        return Reply(data, whole, self._received_ns or self._clock.now_ns())

    async def restore(self) -> None:
        """Go back to the speed of the bus, after a round that left it."""
        await self._change_speed(self._own_baud)

    @property
    def _character_s(self) -> float:
        return self._bits / self._baud

    @property
    def _quiet_s(self) -> float:
        return max(MIN_QUIET_S, QUIET_CHARACTERS * self._character_s)

    async def pause(self, duration_s: float) -> None:
        """Return after a time, or as soon as there is something to look at."""
        self._wake = self._loop.create_future()
        timer = self._loop.call_later(max(0.0, duration_s), self.wake)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None

    def wake(self) -> None:
        """End a ``pause``."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _silence(self, quiet_s: float) -> None:
        give_up_at = self._loop.time() + quiet_s + MAX_QUIET_WAIT_S
        while not self.cause:
            wait_s = min(self._busy_until + quiet_s, give_up_at) - self._loop.time()
            if wait_s <= 0:
                return
            await self.pause(wait_s)

    async def _send(self, data: bytes) -> None:
        duration_s = len(data) * self._character_s
        give_up_at = self._loop.time() + duration_s + SEND_S
        self._channel.write(data)
        while self._channel.unsent_bytes and not self.cause:
            wait_s = give_up_at - self._loop.time()
            if wait_s <= 0:
                self._channel.lose("error", "the port does not take what is sent")
                return
            await self.pause(wait_s)
        self._busy_until = self._loop.time() + duration_s

    async def _change_speed(self, baud: int) -> None:
        """Go on at another speed, once all that was sent is on the wire."""
        if baud == self._baud:
            return
        sent_at = self._busy_until
        while not self.cause:
            late_s = self._loop.time() - sent_at
            if late_s >= 0 and (late_s >= SEND_S or not self._unsent_in_port()):
                self._set_speed(baud)
                return
            await self.pause(max(-late_s, self._character_s))

    def _set_speed(self, baud: int) -> None:
        try:
            change_speed(self._serial, baud)
        except PortError as error:
            self._channel.lose("error", error.reason)
        self._baud = baud
        self._busy_until = max(self._busy_until, self._loop.time())

    def _unsent_in_port(self) -> int:
        """Return how many bytes the port has taken but not sent; 0 where it does not tell."""
        try:
            return self._serial.out_waiting
        except OSError:
            return 0

    async def _answer(self, request: Request) -> tuple[bytes, bool]:
        """Return the answer and whether it is whole."""
        if request.length == 0:
            return b"", True
        first_at = self._busy_until + request.timeout_s
        last_at = first_at + request.timeout_s + MAX_ANSWER_BYTES * self._character_s
        while True:
            data, undecided = self._without_echo()
            size = None if undecided else _size(request, data)
            if size is not None:
                self._discard(len(data) - size)
                return data[:size], True
            if self.cause or len(self._collected) > MAX_ANSWER_BYTES:
                return data, False
            silent_at = max(first_at, self._busy_until + request.timeout_s)
            wait_s = min(last_at, silent_at) - self._loop.time()
            if wait_s <= 0:
                break
            await self.pause(wait_s)
        # What looked like the beginning of an echo was a short answer.
        size = _size(request, data) if undecided else None
        timed = request.length is None and request.end is None and bool(data)
        return (data[:size], True) if size is not None else (data, timed)

    def _without_echo(self) -> tuple[bytes, bool]:
        """Return what came but the echo of our own request; True if it may still become one."""
        if not self._echo or not self._echo.startswith(self._collected[: len(self._echo)]):
            return bytes(self._collected), False
        if len(self._collected) < len(self._echo):
            return bytes(self._collected), True
        del self._collected[: len(self._echo)]
        self._echo = b""
        if self._stats is not None:
            self._stats.echoes += 1
        return bytes(self._collected), False

    def _take(self, data: bytes, received_ns: int) -> None:
        self._busy_until = max(self._busy_until, self._loop.time())
        if not self._asking:
            self._discard(len(data))
            return
        self._received_ns = received_ns
        self._collected += data
        self.wake()

    def _discard(self, count: int) -> None:
        if self._stats is not None:
            self._stats.late_bytes += count

    def _lost(self, cause: str, problem: str) -> None:
        if not self.cause:
            self.cause, self.problem = cause, problem
        self.wake()


def _size(request: Request, data: bytes) -> int | None:
    """Return how long the answer is that ``data`` begins with, None if it is not whole yet."""
    length = request.length
    if callable(length):
        length = length(data) if data else None
    elif length is None and request.end:
        found = data.find(request.end)
        length = found + len(request.end) if found >= 0 else None
    return length if length is not None and 0 < length <= len(data) else None
