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
    Port,
    Scanner,
    Sensor,
    bus_device,
    connected_device,
    driver_info,
    line_transport,
    scanner,
)
from gateway.buffer import Buffer
from gateway.clock import Clock
from gateway.config.model import BluetoothSection, BrokerSection
from gateway.driver import Beacon, Connected, Crowd, Polled
from gateway.filters import Environment, chain_builder
from gateway.forward import FormatContext, Link
from gateway.forward.policy import allows, may_know
from gateway.intake import Intake
from gateway.observe import Leaving
from gateway.supervisor import Supervisor
from gateway.transports import (
    BluetoothScanner,
    ConnectedDevice,
    GattConnector,
    ReplayTransport,
    SerialBusTransport,
)
from gateway.transports.recorded_beacon import RecordedBeacon
from gateway.transports.recorder import Recorder

__all__ = [
    "BUS",
    "CONNECTOR",
    "LINK",
    "RECORDING",
    "SCANNER",
    "SENSOR",
    "LinkSide",
    "SensorSide",
]

LOGGER = logging.getLogger("citylab_gateway.daemon")

SENSOR, BUS, LINK = "sensor:", "bus:", "link:"
SCANNER, CONNECTOR = "bluetooth", "bluetooth connections"
RECORDING = "recording"
"""How supervised tasks are named; a bus has a number, because a path may tell a serial number."""


class SensorSide:
    """Everything to the left of the ring: transports, the scanner, and their drivers."""

    def __init__(
        self, intake: Intake, clock: Clock, tasks: Supervisor, recorder: Recorder | None = None
    ) -> None:
        """Take a ``recorder`` for the sensors that are to be recorded."""
        self.intake = intake
        self.ports: dict[str, Port] = {}
        self.scanner: Scanner | None = None
        self.connector: GattConnector | None = None
        self._clock = clock
        self._tasks = tasks
        self._recorder = recorder
        self._recorded: set[str] = set()
        self._beacons: Beacons = {}
        self._connected: dict[str, ConnectedDevice] = {}
        """Address -> the device that is connected to when its advertisements say so."""
        self._crowd: tuple[str, Crowd] | None = None
        """The sensor that counts whoever passes."""
        self._scanned_crowd: Crowd | None = None
        """Whom the scanner that runs tells of them."""
        self._buses: dict[str, tuple[str, SerialBusTransport]] = {}
        """Port -> name of the task, and what runs in it."""
        self._bus_number = 0
        self._environment = Environment(clock.wall_ns, lambda: clock.synced)

    def add(self, sensor: Sensor) -> None:
        """Start one sensor; a beacon is heard by the scanner, which may be running already."""
        name = sensor.section.name
        self.intake.add_sensor(
            name,
            driver_info(sensor),
            privacy=sensor.privacy,
            build_chain=chain_builder(sensor.section.filter, self._environment),
            stale_after_s=sensor.section.stale_after,
        )
        recorder = self._record(sensor)
        if isinstance(sensor.driver, Beacon):
            beacon = sensor.driver
            if recorder is not None:
                beacon = RecordedBeacon(name, sensor.section.address, beacon, recorder, self._clock)
            self._beacons[sensor.section.address] = (name, beacon)
            return
        if isinstance(sensor.driver, Connected):
            device = connected_device(sensor)
            self._connected[device.address] = device
            self._beacons[device.address] = (name, device)
            return
        if isinstance(sensor.driver, Crowd):
            self._crowd = (name, sensor.driver)
            return
        if isinstance(sensor.driver, Polled):
            self._join_bus(sensor, recorder)
            return
        transport = line_transport(sensor, self.intake, self._clock, recorder)
        self.ports[name] = transport
        self._tasks.start(f"{SENSOR}{name}", transport.run)

    @property
    def recorder(self) -> Recorder | None:
        """Return what records, None while no sensor is recorded."""
        return self._recorder if self._recorded else None

    @property
    def steps(self) -> dict[str, int]:
        """Return the steps of all that should speak, by task; adapters count for themselves.

        A recording may rightly be at its end, and who connects waits for a device that is due.
        """
        replayed = [name for name, each in self.ports.items() if isinstance(each, ReplayTransport)]
        steps = {
            task: count
            for task, count in self._tasks.steps.items()
            if task.startswith((SENSOR, BUS)) and task.removeprefix(SENSOR) not in replayed
        }
        if isinstance(self.scanner, BluetoothScanner):
            for label, adapter in self.scanner.stats.adapters.items():
                steps[f"{SCANNER} {label}"] = adapter.steps
        if self.connector is not None and self.connector.stats.waiting:
            steps[CONNECTOR] = self._tasks.steps[CONNECTOR]
        return steps

    async def forget_recorded(self) -> None:
        """Delete what was recorded so far; OSError if that fails."""
        if self._recorder is not None:
            await self._recorder.forget()

    def _record(self, sensor: Sensor) -> Recorder | None:
        """Return what is to record a sensor, and let it run; None if it is not to be recorded."""
        if not sensor.section.record or self._recorder is None:
            return None
        if not self._recorded:
            self._tasks.start(RECORDING, self._recorder.run)
        self._recorded.add(sensor.section.name)
        return self._recorder

    async def _record_no_more(self, name: str) -> None:
        if self._recorded == {name}:
            await self._tasks.stop(RECORDING)  # what waits is written
        self._recorded.discard(name)

    def _join_bus(self, sensor: Sensor, recorder: Recorder | None) -> None:
        """Let a polled sensor be asked at its port, which others may share."""
        section = sensor.section
        device = bus_device(sensor, recorder)
        if section.port in self._buses:
            self._buses[section.port][1].add(device)
        else:
            bus = SerialBusTransport(port=section.port, sink=self.intake, clock=self._clock)
            bus.add(device)
            self._bus_number += 1
            task = f"{BUS}{self._bus_number}"
            self._buses[section.port] = (task, bus)
            self._tasks.start(task, bus.run)
        self.ports[section.name] = device

    async def _leave_bus(self, name: str) -> bool:
        """Let a sensor be asked no more; tell whether it was at a bus."""
        for port, (task, bus) in self._buses.items():
            if name in bus.sensors:
                bus.remove(name)
                if not bus.sensors:
                    del self._buses[port]
                    await self._tasks.stop(task)
                return True
        return False

    async def remove(self, name: str) -> None:
        """Stop one sensor; what it measured stays in the ring."""
        if name in self.ports:
            if not await self._leave_bus(name):
                await self._tasks.stop(f"{SENSOR}{name}")
            del self.ports[name]
        for address, (owner, _) in list(self._beacons.items()):
            if owner == name:
                del self._beacons[address]
                if self._connected.pop(address, None) is not None and self.connector is not None:
                    self.connector.remove(name)
        if self._crowd is not None and self._crowd[0] == name:
            await self._stop_scanning()  # or it would go on counting for a sensor that is not there
            self._crowd = None
        await self._record_no_more(name)
        self.intake.remove_sensor(name)

    async def _stop_scanning(self) -> None:
        if self.scanner is not None:
            await self._tasks.stop(SCANNER)
            self.scanner = None

    async def scan(self, section: BluetoothSection, *, anew: bool = False) -> None:
        """Scan if there is somebody to be heard, and else not; ``anew``: with other settings."""
        crowd = self._crowd[1] if self._crowd is not None else None
        is_wanted = bool(self._beacons) or crowd is not None
        if anew or not is_wanted or crowd is not self._scanned_crowd:
            await self._stop_scanning()
        if self.scanner is None and is_wanted:
            self._scanned_crowd = crowd
            self.scanner = scanner(
                section, self._beacons, self.intake, self._clock, self._connected, self._crowd
            )
            self._tasks.start(SCANNER, self.scanner.run)
        await self._connect()

    async def _connect(self) -> None:
        """Connect to sensors if there are such, and a radio that hears them."""
        radio = self.scanner if isinstance(self.scanner, BluetoothScanner) else None
        connector = self.connector
        if connector is not None and (connector.radio is not radio or not self._connected):
            await self._tasks.stop(CONNECTOR)
            self.connector = connector = None
        if connector is None and radio is not None and self._connected:
            self.connector = connector = GattConnector(radio, sink=self.intake, clock=self._clock)
            self._tasks.start(CONNECTOR, connector.run)
        if connector is not None:
            for device in self._connected.values():
                if device.sensor not in connector.sensors:
                    connector.add(device)


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
        self._identity: FormatContext

    def add(self, broker: Broker, identity: FormatContext) -> None:
        """Start one link; it goes on where the cursor of its name stands."""
        section = broker.section
        self._identity = identity
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

    def leaving(self) -> dict[str, Leaving]:
        """Return what may leave for each broker."""
        return {name: _leaving(link.broker, self._identity) for name, link in self.links.items()}

    def update_context(self, identity: FormatContext) -> None:
        """Let all links speak of the sensors and places that are configured now."""
        self._identity = identity
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


def _leaving(section: BrokerSection, identity: FormatContext) -> Leaving:
    """Tell what one broker may get, by the same rules by which its link decides."""
    return Leaving(
        destination=section.url,
        format=section.format,
        encrypted=not section.insecure,
        open=section.open,
        allows=lambda series: allows(section.select, series, identity.sensors),
        knows=partial(may_know, section.select),
    )
