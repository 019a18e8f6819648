"""The two sides that come and go with the configuration: the sensors, and the links.

Each keeps what runs under the names that the configuration uses, and touches only what it is told
to; the daemon decides what that is.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from gateway.assembly import (
    Beacons,
    Broker,
    LineTransport,
    Scanner,
    Sensor,
    line_transport,
    scanner,
)
from gateway.buffer import Buffer
from gateway.clock import Clock
from gateway.config.model import BluetoothSection, BrokerSection
from gateway.driver import Beacon
from gateway.filters import Environment, chain_builder
from gateway.forward import FormatContext, Link
from gateway.intake import Intake
from gateway.supervisor import Supervisor

__all__ = ["LINK", "SCANNER", "SENSOR", "LinkSide", "SensorSide"]

LOGGER = logging.getLogger("citylab_gateway.daemon")

SENSOR, SCANNER, LINK = "sensor:", "bluetooth", "link:"
"""How supervised tasks are named."""


class SensorSide:
    """Everything to the left of the ring: transports, the scanner, and their drivers."""

    def __init__(self, intake: Intake, clock: Clock, tasks: Supervisor) -> None:
        self.intake = intake
        self.ports: dict[str, LineTransport] = {}
        self.scanner: Scanner | None = None
        self._clock = clock
        self._tasks = tasks
        self._beacons: Beacons = {}
        self._environment = Environment(clock.wall_ns, lambda: clock.synced)

    def add(self, sensor: Sensor) -> None:
        """Start one sensor; a beacon is heard by the scanner, which may be running already."""
        name = sensor.section.name
        self.intake.add_sensor(
            name,
            sensor.driver.info,
            privacy=sensor.privacy,
            build_chain=chain_builder(sensor.section.filter, self._environment),
            stale_after_s=sensor.section.stale_after,
        )
        if isinstance(sensor.driver, Beacon):
            self._beacons[sensor.section.address] = (name, sensor.driver)
            return
        self.ports[name] = line_transport(sensor, self.intake, self._clock)
        self._tasks.start(f"{SENSOR}{name}", self.ports[name].run)

    async def remove(self, name: str) -> None:
        """Stop one sensor; what it measured stays in the ring."""
        if name in self.ports:
            await self._tasks.stop(f"{SENSOR}{name}")
            del self.ports[name]
        for address, (owner, _) in list(self._beacons.items()):
            if owner == name:
                del self._beacons[address]
        self.intake.remove_sensor(name)

    async def scan(self, section: BluetoothSection, *, anew: bool = False) -> None:
        """Scan if there is a beacon to be heard, and else not; ``anew``: with other settings."""
        if self.scanner is not None and (anew or not self._beacons):
            await self._tasks.stop(SCANNER)
            self.scanner = None
        if self.scanner is None and self._beacons:
            self.scanner = scanner(section, self._beacons, self.intake, self._clock)
            self._tasks.start(SCANNER, self.scanner.run)


class LinkSide:
    """Everything to the right of the ring: one link per broker."""

    def __init__(
        self,
        buffer: Buffer,
        clock: Clock,
        tasks: Supervisor,
        status: Callable[[BrokerSection], Mapping[str, Any]],
        directory: Path,
    ) -> None:
        """``directory`` is the data directory: some links keep a small file there."""
        self.links: dict[str, Link] = {}
        self._buffer = buffer
        self._clock = clock
        self._tasks = tasks
        self._status = status
        self._directory = directory

    def add(self, broker: Broker, identity: FormatContext) -> None:
        """Start one link; it goes on where the cursor of its name stands."""
        section = broker.section
        if section.insecure:
            LOGGER.warning(
                "broker %s: plain text, everybody on the way can read and forge", section.name
            )
        link = self.links[section.name] = Link(
            section,
            reader=self._buffer.reader(section.name),
            series=self._buffer.series,
            series_of=self._buffer.series_of,
            identity=identity,
            format=broker.format,
            password=broker.password,
            clock=self._clock,
            status=partial(self._status, section),
            directory=self._directory,
        )
        self._tasks.start(f"{LINK}{section.name}", link.run)

    async def remove(self, name: str) -> None:
        """Stop one link; its cursor stays."""
        await self._tasks.stop(f"{LINK}{name}")
        del self.links[name]

    def update_context(self, identity: FormatContext) -> None:
        """Let all links speak of the sensors and places that are configured now."""
        for link in self.links.values():
            link.update_context(identity)

    def rename(self, section: BrokerSection) -> None:
        """Let a broker take over the cursor of its previous name, if that is still there."""
        readers = self._buffer.readers
        old = section.previous_name
        if old is not None and old in readers and section.name not in readers:
            self._buffer.rename_reader(old, section.name)
            LOGGER.info("broker %s goes on where %s was", section.name, old)

    def forget(self, name: str) -> None:
        """Free the cursor of a broker that is configured no more."""
        pending = self._buffer.readers[name].pending
        LOGGER.warning("broker %s was removed with %d readings pending for it", name, pending)
        self._buffer.forget_reader(name)
