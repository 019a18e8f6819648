"""A serial port with one master, us, and devices that answer when they are asked.

One question at a time; the device that has been due for longest is next, so a slow one makes the
others wait for one round and no longer. A device without an answer is asked less and less often,
but never given up. No thread: the loop calls back when the port is readable.
"""

import asyncio
import logging
from dataclasses import dataclass
from itertools import islice

import serial

from gateway.backoff import Backoff
from gateway.clock import Clock
from gateway.driver import Request, Restarted, SerialLine, common_lines
from gateway.reading import Fault
from gateway.transports.port_recovery import FIRST_WAIT_S, MAX_WAIT_S, RecoveringPort
from gateway.transports.serial_bus_device import BusDevice
from gateway.transports.serial_bus_port import BusPort, Reply
from gateway.transports.sink import Sink
from gateway.transports.stats import STEP_S

__all__ = ["SerialBusTransport"]

MAX_ROUND_REQUESTS = 256
"""A round is cut off there."""
MAX_UNANSWERED = 2
"""So many questions without an answer, one after the other, end a round."""
TRIES_PER_LINE = 2
"""With several line settings, the next one is tried when no device answered so often."""
TRIES_BEFORE_REOPEN = 3
"""When no device answered so often, nor for the longest silence time-out, the port is reopened."""
LINE_FAULTS = frozenset({"timeout", "noise", "checksum", "short", "echo"})
"""An answer with such a fault does not show that anybody understands us."""

LOGGER = logging.getLogger("citylab_gateway.transports")


class SerialBusTransport:
    """Asks the devices of one port, each at its interval, and hands what they say to the sink.

    Devices may be added and removed while it runs. A port that nobody answers at is opened again,
    climbs the recovery ladder, and is found at another place, as that of a serial line.
    """

    def __init__(self, *, port: str, sink: Sink, clock: Clock) -> None:
        self._port = port
        self._sink = sink
        self._clock = clock
        self._devices: dict[str, BusDevice] = {}
        self._line_index = 0
        self._line_works = False
        """A device has answered with the present line setting."""
        self._answered_at = 0.0
        """Loop time of the last answer, or of the opening."""
        self._open_port: BusPort | None = None
        self._stale_line = False
        """The devices have changed, and the present line setting is not theirs."""
        self._fruitful = False
        """A device has answered since the port was opened."""
        self._recovery = RecoveringPort(
            port,
            stats=lambda: [device.stats for device in self._devices.values()],
            who=lambda: f"sensors {', '.join(self._devices)}",
            backoff=Backoff(first_s=FIRST_WAIT_S, max_s=MAX_WAIT_S),
        )

    @property
    def sensors(self) -> list[str]:
        """Return the names of the sensors at this bus."""
        return list(self._devices)

    def add(self, device: BusDevice) -> None:
        """Ask one more device from now on; ValueError if the others need another line setting."""
        if device.sensor in self._devices:
            raise ValueError(f"{device.sensor} is at the bus already")
        before = self._lines[self._line_index : self._line_index + 1]
        others = [each.lines for each in self._devices.values()]
        lines = common_lines([*others, device.lines])
        if not lines:
            raise ValueError(f"{device.sensor} needs another line setting than its neighbours")
        self._devices[device.sensor] = device
        self._keep_line(before)
        if self._open_port is not None:
            first = next(iter(self._devices.values())).stats
            device.stats.open, device.stats.line = True, first.line
            device.stats.opens = 1
            device.stats.recovery_step = first.recovery_step
            device.opened(asyncio.get_running_loop().time())
            self._open_port.wake()

    def remove(self, sensor: str) -> None:
        """Ask a device no more; an answer that is on its way is forgotten."""
        before = self._lines[self._line_index : self._line_index + 1]
        device = self._devices.pop(sensor)
        device.removed = True
        device.stats.open = False
        self._keep_line(before)

    @property
    def _lines(self) -> list[SerialLine]:
        return common_lines([each.lines for each in self._devices.values()])

    def _keep_line(self, before: list[SerialLine]) -> None:
        """Stay with the line setting in use if the devices that there are now allow it."""
        lines = self._lines
        if before and before[0] in lines:
            self._line_index = lines.index(before[0])
        else:
            self._line_index = 0
            self._line_works = False
            self._stale_line = self._open_port is not None

    async def run(self) -> None:
        """Ask until cancelled; a missing or failing port is tried again for ever."""
        while True:
            await self._recovery.find()
            lines = self._lines  # devices may have come or gone meanwhile
            if lines:
                line = lines[self._line_index % len(lines)]
                opened = self._recovery.open(line, tries=len(lines))
                if opened is not None:
                    await self._use(opened, line)
            await self._recovery.wait()

    async def _use(self, opened: serial.Serial, line: SerialLine) -> None:
        self._stale_line = self._fruitful = False
        self._answered_at = asyncio.get_running_loop().time()
        for device in self._devices.values():
            device.opened(self._answered_at)
        cause = ""
        try:
            with BusPort(opened, line, self._clock) as port:
                self._open_port = port
                cause = await self._ask_all(port)
        finally:
            self._open_port = None
            self._recovery.closed(cause)
        if self._stale_line:
            return  # nothing is wrong with the port
        self._line_works = self._line_works and self._fruitful
        if cause in ("silence", "line") and not self._line_works:
            self._line_index = (self._line_index + 1) % max(1, len(self._lines))
        problem = port.problem or "no device answers"
        await self._recovery.lost(cause, problem, received=port.received, fruitful=self._fruitful)

    async def _ask_all(self, port: BusPort) -> str:
        """Ask whoever is due, until the port has to be opened again; return why."""
        loop = asyncio.get_running_loop()
        while True:
            cause = port.cause or self._hopeless(port, loop.time())
            if cause:
                return cause
            device = min(self._devices.values(), key=lambda each: each.due_at, default=None)
            wait_s = STEP_S if device is None else device.due_at - loop.time()
            if device is None or wait_s > 0:
                await port.pause(min(STEP_S, wait_s))
                continue
            await self._round(device, port)

    async def _round(self, device: BusDevice, port: BusPort) -> None:
        """Ask one device all that it wants to be asked, and plan its next round."""
        loop = asyncio.get_running_loop()
        with device.blame(loop.time()):
            tally = await self._questions(device, port)
        await port.restore()
        if port.cause or device.removed:
            return
        others = [each for each in self._devices.values() if each is not device]
        kept_waiting = any(each.heard and not each.failures for each in others)
        wasted_s = tally.wasted_s if kept_waiting else 0.0
        if tally.answers or not tally.unanswered:
            self._answered(device, loop.time(), wasted_s, heard=bool(tally.answers))
        else:
            self._failed(device, loop.time(), wasted_s, 1 + sum(bool(e.failures) for e in others))

    async def _questions(self, device: BusDevice, port: BusPort) -> "_Tally":
        """Ask them until the round is over, the port is lost or the device is removed."""
        loop = asyncio.get_running_loop()
        tally = _Tally()
        for request in islice(device.driver.requests(), MAX_ROUND_REQUESTS):
            asked_at = loop.time()
            reply = await port.ask(request, device.stats)
            if port.cause or device.removed:
                break
            if request.length == 0:
                continue
            if self._take(device, request, reply):
                tally.answers += 1
                tally.unanswered = 0
            else:
                tally.unanswered += 1
                tally.wasted_s += loop.time() - asked_at
            if tally.unanswered >= MAX_UNANSWERED:
                break
        return tally

    def _take(self, device: BusDevice, request: Request, reply: Reply) -> bool:
        """Give one answer to the driver and its outcomes to the sink; tell if it was a good one."""
        outcomes = list(device.driver.on_reply(request, reply.data))
        device.record(request, reply.data, reply.received_ns)
        device.stats.device_restarts += sum(isinstance(each, Restarted) for each in outcomes)
        if outcomes:
            self._sink.accept(device.sensor, outcomes, reply.received_ns)
        faults = {each.kind for each in outcomes if isinstance(each, Fault)}
        return reply.whole and not faults & LINE_FAULTS

    def _answered(self, device: BusDevice, now: float, wasted_s: float, *, heard: bool) -> None:
        if device.failures >= TRIES_BEFORE_REOPEN:
            LOGGER.info("sensor %s: answers again", device.sensor)
        device.answered(now, wasted_s)
        if heard:
            device.stats.last_error = ""
            self._line_works = self._fruitful = True
            self._answered_at = now
            self._recovery.fruitful()

    def _failed(self, device: BusDevice, now: float, wasted_s: float, dead: int) -> None:
        device.failed(now, wasted_s, dead)
        device.stats.last_error = "no answer"
        if device.failures == TRIES_BEFORE_REOPEN:
            LOGGER.warning("sensor %s: no answer at %s", device.sensor, self._port)

    def _hopeless(self, port: BusPort, now: float) -> str:
        """Return why the port should be opened again, empty while there is hope."""
        if self._stale_line:
            return "line"
        fewest = min((each.failures for each in self._devices.values()), default=0)
        if len(self._lines) > 1 and not self._line_works:
            return ("line" if port.received else "silence") if fewest >= TRIES_PER_LINE else ""
        timeout_s = max((each.silence_timeout_s for each in self._devices.values()), default=0.0)
        silent = now >= self._answered_at + timeout_s
        return "silence" if silent and fewest >= TRIES_BEFORE_REOPEN else ""


@dataclass(slots=True)
class _Tally:
    """What came of one round so far."""

    answers: int = 0
    unanswered: int = 0
    """Questions without an answer, one after the other, up to now."""
    wasted_s: float = 0.0
    """Spent on questions without an answer."""
