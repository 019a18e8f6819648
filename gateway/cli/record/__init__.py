"""``citylab-gateway record``: write the raw bytes of sensors to a file, to look at or to replay."""

import argparse
import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from gateway import logs
from gateway.assembly import Beacons, Sensor, bus_device, scanner
from gateway.audit import audit_command
from gateway.cli.common import add_config_argument
from gateway.cli.record.taps import Nowhere, RawStream
from gateway.cli.scan.advice import advice
from gateway.clock import Clock
from gateway.config.installed import is_connected
from gateway.config.load import load
from gateway.config.model import BluetoothSection, SensorSection
from gateway.config.privacy_checks import NEVER_RECORDED, NOTHING_RAW
from gateway.config.secrets import driver_options
from gateway.config.units import parse_duration, parse_size
from gateway.driver import Beacon, NoOptions, Polled, SerialLine, Stream, driver_class
from gateway.errors import ConfigError, GatewayError, PortError
from gateway.transports import SerialBusTransport, SerialLineTransport
from gateway.transports.recorded_beacon import RecordedBeacon
from gateway.transports.recorder import Recorder, RotatedFile
from gateway.transports.serial_opening import open_port

__all__ = ["configure", "parse_line", "run"]

DEFAULT_SIZE = "16 MiB"
DEFAULT_KEEP = 4
SILENCE_S = 60.0
"""A port that says nothing for so long is opened again."""
RAW = "raw"
LINE = re.compile(r"(\d+)[- ,]([78])([NEO])([12])", re.IGNORECASE)
Number = TypeVar("Number", int, float)
Job = Callable[[], Coroutine[Any, Any, None]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``record``."""
    add_config_argument(parser)
    parser.add_argument("sensors", nargs="*", metavar="SENSOR", help="default: all of them")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE")
    parser.add_argument(
        "--for", dest="duration", metavar="DURATION", help='"10 min"; default: until Ctrl-C'
    )
    parser.add_argument(
        "--size", default=DEFAULT_SIZE, help=f"of one file (default: {DEFAULT_SIZE})"
    )
    parser.add_argument(
        "--keep",
        type=int,
        default=DEFAULT_KEEP,
        help=f"so many files, then the oldest goes (default: {DEFAULT_KEEP})",
    )
    parser.add_argument("--port", help="record this port; needs no configuration and no driver")
    parser.add_argument("--line", default="9600 8N1", help="setting of --port, as 9600 8N1")


def run(arguments: argparse.Namespace) -> int:
    """Record until the time is over or somebody interrupts; 1 if a sensor said nothing."""
    logs.set_up("warning")
    duration_s = _parsed("--for", arguments.duration, parse_duration)
    size_bytes = _parsed("--size", arguments.size, parse_size)
    _check_output(arguments.output)
    try:
        file = RotatedFile(arguments.output, size_bytes=size_bytes or 0, keep=arguments.keep)
    except ValueError as error:
        raise ConfigError(str(error), key="--size and --keep") from error
    work = _Work(Recorder(file, Clock()), Clock())
    try:
        _plan(arguments, work)
    except PortError as error:
        help_ = advice(error.port, error.reason)
        raise GatewayError(f"{error}; {help_}" if help_ else str(error)) from error
    names = ", ".join(work.names)
    print(f"recording {names} to {arguments.output}; Ctrl-C ends it", file=sys.stderr)
    asyncio.run(_record(work.jobs, work.recorder, duration_s))
    return _summary(work.names, work.recorder)


def _check_output(path: Path) -> None:
    """Refuse what cannot be written to, before anybody waits for it."""
    if path.is_dir():
        raise ConfigError("is a directory", key="--output", value=str(path))
    if not path.absolute().parent.is_dir():
        raise ConfigError("lies in no directory", key="--output", value=str(path))
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigError("may not be written", key="--output", value=str(path))


def _plan(arguments: argparse.Namespace, work: "_Work") -> None:
    if arguments.port:
        work.add_port(RAW, arguments.port, (parse_line(arguments.line),), RawStream(NoOptions()))
        return
    configuration = load(arguments.config)
    for section in _chosen(configuration.sensor, arguments.sensors):
        reason = work.add(section)
        if reason and arguments.sensors:
            raise ConfigError(reason, key="record", value=section.name)
        if reason:
            print(f"{section.name} is left out: {reason}", file=sys.stderr)
    if not work.names:
        raise ConfigError("no sensor can be recorded", key="record")
    work.listen(configuration.bluetooth)


def _parsed(key: str, text: str | None, parse: Callable[[object], Number]) -> Number | None:
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(str(error), key=key, value=text) from error


def parse_line(text: str) -> SerialLine:
    """Return the line setting that ``9600 8N1`` stands for; ConfigError if it is none."""
    match = LINE.fullmatch(text.strip())
    if match is None:
        raise ConfigError("is no line setting", key="--line", value=text, allowed="9600 8N1")
    baud, bits, parity, stops = match.groups()
    return SerialLine(
        int(baud),
        cast("Literal[7, 8]", int(bits)),
        cast("Literal['N', 'E', 'O']", parity.upper()),
        cast("Literal[1, 2]", int(stops)),
    )


def _chosen(sections: Iterable[SensorSection], names: Sequence[str]) -> list[SensorSection]:
    known = {each.name: each for each in sections if not each.replay}
    for name in names:
        if name not in known:
            allowed = ", ".join(known)
            raise ConfigError("no such sensor", key="record", value=name, allowed=allowed)
    if not known:
        raise ConfigError("no sensor is configured", key="record")
    return [section for name, section in known.items() if not names or name in names]


class _Work:
    """What has to run so that everything is recorded."""

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self.recorder = recorder
        self.names: list[str] = []
        self.jobs: list[Job] = []
        self._clock = clock
        self._beacons: Beacons = {}
        self._buses: dict[str, SerialBusTransport] = {}

    def add(self, section: SensorSection) -> str:
        """Record one sensor, or return why that cannot be.

        ConfigError, or PortError where the daemon holds its port.
        """
        cls = driver_class(section.driver)
        if cls is None:
            raise ConfigError("no such driver", key=section.name, value=section.driver)
        privacy = section.privacy or cls.info.privacy
        if privacy == "P2":
            return f"P2: {NEVER_RECORDED['P2']}"
        if is_connected(cls):
            return NOTHING_RAW
        driver = cls(driver_options(section, cls))
        if privacy == "P3":
            print(
                f"{section.name}: P3, somebody's household; delete the file after use",
                file=sys.stderr,
            )
            audit_command("record", "the raw bytes of %s (P3) are recorded", section.name)
        if isinstance(driver, Beacon):
            self.names.append(section.name)
            tapped = RecordedBeacon(
                section.name, section.address, driver, self.recorder, self._clock
            )
            self._beacons[section.address] = (section.name, tapped)
        elif isinstance(driver, Polled):
            self._add_polled(section, driver)
        elif isinstance(driver, Stream):
            self.add_port(section.name, section.port, section.lines(cls.info.lines), driver)
        return ""

    def add_port(self, name: str, port: str, lines: Sequence[SerialLine], driver: Stream) -> None:
        """Record one port whose device talks by itself."""
        open_port(port, lines[0]).close()  # tell at once, and do not try for ever
        self.names.append(name)
        transport = SerialLineTransport(
            sensor=name,
            port=port,
            driver=driver,
            lines=lines,
            sink=Nowhere(),
            clock=self._clock,
            silence_timeout_s=max(SILENCE_S, 2 * driver.info.interval_s),
            recorder=self.recorder,
        )
        self.jobs.append(transport.run)

    def listen(self, section: BluetoothSection) -> None:
        """Record the beacons, if there are any."""
        if self._beacons:
            self.jobs.append(scanner(section, self._beacons, Nowhere(), self._clock).run)

    def _add_polled(self, section: SensorSection, driver: Polled) -> None:
        if section.port not in self._buses:
            open_port(section.port, section.lines(driver.info.lines)[0]).close()
            bus = SerialBusTransport(port=section.port, sink=Nowhere(), clock=self._clock)
            self._buses[section.port] = bus
            self.jobs.append(bus.run)
        self.names.append(section.name)
        device = bus_device(Sensor(section, driver, "P0"), self.recorder)
        self._buses[section.port].add(device)


async def _record(jobs: Sequence[Job], recorder: Recorder, duration_s: float | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with recorder:
        tasks = [asyncio.create_task(job()) for job in (*jobs, stop.wait)]
        await asyncio.wait(tasks, timeout=duration_s, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception):  # a bug: a port that fails is tried again for ever
            raise end


def _summary(names: Iterable[str], recorder: Recorder) -> int:
    code = 0
    for name in names:
        count = recorder.chunks[name]
        print(f"{name}: {count} chunks" if count else f"{name}: nothing came")
        code = code if count else 1
    if recorder.lost_lines:
        print(f"error: {recorder.lost_lines} lines lost; {recorder.last_error}", file=sys.stderr)
        code = 1
    return code
