"""Visits the Bluetooth sensors that have to be connected to, one after the other.

While BlueZ establishes a connection it suspends the scan, and takes it up again by itself; if it
does not, the scan's own watchdog does. So every step has a time-out, and after each connection the
scan has the air for at least as long as the connection had it.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from gateway.clock import Clock
from gateway.driver import GattClient, Outcome
from gateway.errors import PortError
from gateway.reading import Fault, Measured
from gateway.transports.gatt_device import ConnectedDevice
from gateway.transports.sink import Sink
from gateway.transports.whereabouts import Found

__all__ = ["VISIT_RESULTS", "Connect", "ConnectionStats", "GattConnector", "Radio", "rest_s"]

Connect = Callable[[Found, str], AbstractAsyncContextManager[GattClient]]
"""Connects to an address for as long as the context lasts; ConnectionError or TimeoutError."""


class Radio(Protocol):
    """What a visit needs of the scanner."""

    async def find(self, address: str, timeout_s: float) -> Found:
        """Return where a device is heard; PortError if it is not."""
        ...

    def connecting(self, found: Found) -> AbstractContextManager[None]:
        """Let the scan's watchdog know that the adapter may be deaf meanwhile."""
        ...


FIND_TIMEOUT_S = 10.0
"""A device that was due and is heard no more."""
READ_TIMEOUT_S = 30.0
"""All that a driver does in one connection; its single steps have shorter time-outs."""
MIN_REST_S = 1.0
VISIT_RESULTS = ("read", "empty", "timeout", "error")
"""How a visit ends: with a reading; connected, but nothing to read; no answer; refused or lost."""

LOGGER = logging.getLogger("citylab_gateway.transports")


@dataclass(slots=True)
class ConnectionStats:
    """All connections of the gateway."""

    open: bool = False
    visits: dict[str, int] = field(default_factory=lambda: dict.fromkeys(VISIT_RESULTS, 0))
    visit_s: float = 0.0
    """Time that all visits together took from the scan."""
    waiting: int = 0
    """Devices that are due, with the one that is being visited."""


def rest_s(took_s: float) -> float:
    """Return how long the scan has the air for itself after a visit that took so long."""
    return max(MIN_REST_S, took_s)


class GattConnector:
    """One connection at a time over the whole gateway; who was due first is first.

    A device becomes due by an advertisement, so nothing is tried with one that is not there. A
    device waits once at most, and for at most one visit of each of the others.
    """

    def __init__(
        self, radio: Radio, *, sink: Sink, clock: Clock, connect: Connect | None = None
    ) -> None:
        """``connect`` is bleak's, unless a test has another."""
        self.stats = ConnectionStats()
        self.radio = radio
        self._sink = sink
        self._clock = clock
        self._connect = connect
        self._devices: dict[str, ConnectedDevice] = {}
        self._queue: dict[ConnectedDevice, None] = {}
        """In the order in which they became due; the first one is being visited while open."""
        self._wake = asyncio.Event()

    @property
    def sensors(self) -> list[str]:
        """Return the names of the sensors that are visited."""
        return list(self._devices)

    def add(self, device: ConnectedDevice) -> None:
        """Visit a device from now on, when its advertisements say so."""
        if device.sensor in self._devices:
            raise ValueError(f"{device.sensor} is visited already")
        self._devices[device.sensor] = device
        device.wants = self._enqueue

    def remove(self, sensor: str) -> None:
        """Visit a device no more; what a visit that is under way brings is dropped."""
        self._queue.pop(self._devices.pop(sensor), None)
        self.stats.waiting = len(self._queue)

    async def run(self) -> None:
        """Visit until cancelled; a visit that is under way is ended by disconnecting."""
        while True:
            while not self._queue:
                self._wake.clear()
                await self._wake.wait()
            device = next(iter(self._queue))
            began = asyncio.get_running_loop().time()
            try:
                await self._visit(device)
            finally:
                self._queue.pop(device, None)
                self.stats.waiting = len(self._queue)
            await asyncio.sleep(rest_s(asyncio.get_running_loop().time() - began))

    def _enqueue(self, device: ConnectedDevice) -> None:
        if self._devices.get(device.sensor) is device:
            self._queue.setdefault(device)
            self.stats.waiting = len(self._queue)
            self._wake.set()

    async def _visit(self, device: ConnectedDevice) -> None:
        now = asyncio.get_running_loop().time
        began = now()
        device.begin(began)
        self.stats.open = True
        try:
            result, outcomes = await self._read(device)
        finally:
            took_s = now() - began
            self.stats.open = False
            self.stats.visit_s += took_s
        self.stats.visits[result] += 1
        if result == "read":
            device.succeeded(began)
        else:
            dead = sum(each.failures > 0 for each in self._devices.values())
            device.failed(now(), took_s, dead)
            if device.failures == 1:
                LOGGER.warning("%s: could not be read over Bluetooth (%s)", device.sensor, result)
        if outcomes and self._devices.get(device.sensor) is device:
            self._sink.accept(device.sensor, outcomes, self._clock.now_ns())

    async def _read(self, device: ConnectedDevice) -> tuple[str, Iterable[Outcome]]:
        """Return how a visit ended and what it brought."""
        if self._connect is None:
            # Here, so that a gateway without such sensors never pays for the import.
            from gateway.transports.bleak_gatt import open_connection  # noqa: PLC0415

            self._connect = open_connection
        try:
            found = await self.radio.find(device.address, FIND_TIMEOUT_S)
            with self.radio.connecting(found):
                async with self._connect(found, device.address) as client:
                    async with asyncio.timeout(READ_TIMEOUT_S):
                        outcomes = list(await device.driver.read(client))
        except PortError:
            return "timeout", [Fault("timeout", "the device was heard no more")]
        except TimeoutError:
            return "timeout", [Fault("timeout", "the device did not answer")]
        except ConnectionError as error:
            return "error", [Fault("device_error", str(error) or "the connection failed")]
        read = any(isinstance(each, Measured) for each in outcomes)
        return ("read" if read else "empty"), outcomes
