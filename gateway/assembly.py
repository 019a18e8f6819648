"""Makes the parts that the daemon wires together, from what the configuration says.

``prepare`` does all that may block (secrets, packages of drivers and formats), so that it can run
outside the event loop; the rest only calls constructors.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from gateway import __version__
from gateway.buffer import BufferSettings
from gateway.clock import Clock
from gateway.config.model import (
    BluetoothSection,
    BrokerSection,
    Configuration,
    RecordingSection,
    SensorSection,
)
from gateway.config.secrets import broker_password, driver_options, expand_tls, read_secret
from gateway.discretion import is_forgetful_start
from gateway.driver import (
    Beacon,
    Connected,
    Crowd,
    Driver,
    DriverInfo,
    Polled,
    Stream,
    driver_class,
    info_with,
)
from gateway.errors import ConfigError
from gateway.forward import Format, FormatContext, SensorFacts, load_format
from gateway.reading import PrivacyClass
from gateway.transports import (
    AdvertReplay,
    BluetoothScanner,
    BusDevice,
    ConnectedDevice,
    ReplayTransport,
    SerialLineTransport,
    Sink,
)
from gateway.transports.recorder import Recorder, RotatedFile

__all__ = [
    "Beacons",
    "Broker",
    "LineTransport",
    "Port",
    "Prepared",
    "Scanner",
    "Sensor",
    "buffer_settings",
    "bus_device",
    "connected_device",
    "driver_info",
    "format_context",
    "line_transport",
    "prepare",
    "recorder",
    "recording",
    "scanner",
]

SILENCE_INTERVALS = 10.0
SILENCE_MIN_S = 10.0
"""Without a byte for ten of the device's intervals, and at least so long, the port is reopened."""

RECORDINGS, RECORDING = "recordings", "raw.jsonl"
"""Folder in the data directory, and file."""

Beacons = dict[str, tuple[str, Beacon]]
"""Address -> sensor name and its driver."""
LineTransport = SerialLineTransport | ReplayTransport
Port = LineTransport | BusDevice
"""What belongs to one sensor at a port; of a bus it is the sensor's share."""
Scanner = BluetoothScanner | AdvertReplay


@dataclass(frozen=True, slots=True)
class Sensor:
    """One configured sensor with a driver of its own."""

    section: SensorSection
    driver: Driver
    privacy: PrivacyClass


@dataclass(frozen=True, slots=True)
class Broker:
    """One configured broker with its format and its password."""

    section: BrokerSection
    format: Format
    password: str | None


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that had to be read before anything can start."""

    sensors: Mapping[str, Sensor]
    brokers: Mapping[str, Broker]
    http_token: str


def prepare(
    configuration: Configuration, sensors: Collection[str], brokers: Collection[str]
) -> Prepared:
    """Make the named sensors and brokers ready. Reads files; ConfigError if one cannot be used."""
    http = configuration.http
    return Prepared(
        {each.name: _sensor(each) for each in configuration.sensor if each.name in sensors},
        {each.name: _broker(each) for each in configuration.broker if each.name in brokers},
        read_secret(http.token_file) if http is not None and http.token_file else "",
    )


def _sensor(section: SensorSection) -> Sensor:
    cls = driver_class(section.driver)
    if cls is None:
        raise ConfigError(
            "no such driver", key=f"sensor[{section.name}].driver", value=section.driver
        )
    driver = cls(driver_options(section, cls))
    if not isinstance(driver, Stream | Beacon | Polled | Connected | Crowd):
        raise ConfigError(
            "this version has no transport for a driver of this shape",
            key=f"sensor[{section.name}].driver",
            value=section.driver,
        )
    if isinstance(driver, Crowd) and not is_forgetful_start():
        raise ConfigError(
            "begins with a restart of the daemon, not with a reload: memory is set up for it",
            key=f"sensor[{section.name}].driver",
            value=section.driver,
        )
    return Sensor(section, driver, section.privacy or cls.info.privacy)


def _broker(section: BrokerSection) -> Broker:
    section = section.model_copy(update={"tls": expand_tls(section.tls)})
    return Broker(section, load_format(section.format, section.options), broker_password(section))


def buffer_settings(configuration: Configuration) -> BufferSettings:
    """Return what the buffer wants to know."""
    section = configuration.buffer
    return BufferSettings(
        directory=section.directory,
        runtime_directory=section.runtime_directory,
        size_bytes=section.size,
        flush_interval_s=section.flush_interval,
        flush_interval_max_s=max(section.flush_interval, section.flush_interval_max),
        persist=section.persist,
        open_interval_s=section.open_interval,
        retention_s=section.retention.by_class(),
        sensor_retention_s=configuration.sensor_retention_s,
        hold_unsynced_s=configuration.clock.hold_unsynced,
    )


def format_context(configuration: Configuration) -> FormatContext:
    """Return who is speaking, and what is known of the sensors."""
    gateway = configuration.gateway
    return FormatContext(
        tenant=gateway.tenant,
        gateway=gateway.id,
        location=gateway.location,
        locations={
            sensor.name: sensor.location
            for sensor in configuration.sensor
            if sensor.location is not None
        },
        sensors={sensor.name: _facts(sensor) for sensor in configuration.sensor},
        version=__version__,
    )


def _facts(section: SensorSection) -> SensorFacts:
    cls = driver_class(section.driver)
    if cls is None:
        raise ConfigError(
            "no such driver", key=f"sensor[{section.name}].driver", value=section.driver
        )
    info = info_with(cls, section.options)
    return SensorFacts(
        driver=info.name,
        title=info.title,
        domain=info.domain,
        interval_s=section.interval or info.interval_s,
        privacy=section.privacy or info.privacy,
        quantities=info.quantities,
        min_publish_interval=section.min_publish_interval,
        location_decimals=section.location_decimals,
    )


def recorder(configuration: Configuration, clock: Clock) -> Recorder:
    """Return what records the sensors that are to be recorded; nothing is opened yet."""
    return Recorder(recording(configuration.recording, configuration.buffer.directory), clock)


def recording(section: RecordingSection, data_directory: Path) -> RotatedFile:
    """Return the files of the recording; nothing is opened yet."""
    directory = Path(section.directory or data_directory / RECORDINGS)
    return RotatedFile(
        directory / RECORDING, size_bytes=section.size, keep=section.keep, make_directory=True
    )


def line_transport(
    sensor: Sensor, sink: Sink, clock: Clock, recorder: Recorder | None = None
) -> LineTransport:
    """Return the transport of a sensor that is not heard by radio; ``recorder`` takes its bytes."""
    section, driver = sensor.section, sensor.driver
    if not isinstance(driver, Stream):
        raise TypeError(f"{section.name} does not talk on a line")
    if section.replay:
        return ReplayTransport(
            sensor=section.name,
            path=Path(section.replay),
            driver=driver,
            sink=sink,
            clock=clock,
            speed=section.replay_speed,
        )
    info = driver.info
    silence_s = section.silence_timeout
    return SerialLineTransport(
        sensor=section.name,
        port=section.port,
        driver=driver,
        lines=section.lines(info.lines),
        sink=sink,
        clock=clock,
        silence_timeout_s=max(SILENCE_MIN_S, SILENCE_INTERVALS * info.interval_s)
        if silence_s is None
        else silence_s,
        recorder=recorder,
    )


def bus_device(sensor: Sensor, recorder: Recorder | None = None) -> BusDevice:
    """Return a polled sensor as the transport of its bus wants it."""
    section, driver = sensor.section, sensor.driver
    if not isinstance(driver, Polled):
        raise TypeError(f"{section.name} is not asked")
    silence_s = section.silence_timeout
    return BusDevice(
        sensor=section.name,
        port=section.port,
        driver=driver,
        lines=section.lines(driver.info.lines),
        interval_s=section.interval or driver.info.interval_s,
        silence_timeout_s=SILENCE_MIN_S if silence_s is None else silence_s,
        recorder=recorder,
    )


def connected_device(sensor: Sensor) -> ConnectedDevice:
    """Return a sensor that is connected to as the one who connects wants it."""
    section, driver = sensor.section, sensor.driver
    if not isinstance(driver, Connected):
        raise TypeError(f"{section.name} is not connected to")
    return ConnectedDevice(
        sensor=section.name,
        address=section.address,
        driver=driver,
        interval_s=section.interval or driver.info.interval_s,
    )


def driver_info(sensor: Sensor) -> DriverInfo:
    """Return what the driver declares, with the interval that the sensor is really asked at."""
    info = info_with(type(sensor.driver), sensor.section.options)
    interval_s = sensor.section.interval
    return info if interval_s is None else replace(info, interval_s=interval_s)


def scanner(  # noqa: PLR0913, PLR0917 - each is one part of what a scanner is
    section: BluetoothSection,
    beacons: Beacons,
    sink: Sink,
    clock: Clock,
    connectable: Collection[str] = (),
    crowd: tuple[str, Crowd] | None = None,
) -> Scanner:
    """Return what listens for all beacons: the radio, or a recording.

    ``connectable`` are the addresses that somebody connects to, ``crowd`` is the sensor that counts
    whoever passes, which no recording holds.
    """
    if section.replay:
        return AdvertReplay(
            path=Path(section.replay),
            beacons=beacons,
            sink=sink,
            clock=clock,
            speed=section.replay_speed,
        )
    return BluetoothScanner(
        beacons=beacons,
        sink=sink,
        clock=clock,
        adapters=section.adapters,
        mode=section.mode,
        silence_timeout_s=section.silence_timeout,
        connectable=connectable,
        crowd=crowd,
    )
