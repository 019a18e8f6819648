"""The shape of the configuration file: every key, its default, its limits and its help text."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from gateway.config.units import Duration, Size
from gateway.reading import PrivacyClass

__all__ = [
    "BluetoothSection",
    "BrokerSection",
    "BufferSection",
    "ClockSection",
    "Configuration",
    "GatewaySection",
    "HttpSection",
    "LogSection",
    "Position",
    "SelectSection",
    "SensorSection",
    "TlsSection",
]

SCHEMA_VERSION = 1
MAX_BROKERS = 16
"""As many as a block header of the ring has cursors."""
MAX_SENSORS = 256
BROKER_SCHEMES = {"mqtt": 1883, "mqtts": 8883}
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""Lower-case letters, digits and hyphens: it becomes part of topics, ids and file names."""
Level = Annotated[str, StringConstraints(pattern=r"^[^+#\x00]{1,512}$")]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=False, validate_default=False
    )


class Position(_Section):
    """A place on earth, WGS84."""

    lon: float = Field(ge=-180, le=180, description="Degrees east.")
    lat: float = Field(ge=-90, le=90, description="Degrees north.")


class GatewaySection(_Section):
    """Which box this is."""

    id: Slug = Field(description="Part of every topic and id; unique in the city; never change it.")
    tenant: Slug = Field(
        default="citylab", description="The city or lab that owns the data; part of topics and ids."
    )
    location: Position | None = Field(
        default=None, description="Where the box stands; a sensor may have a place of its own."
    )


class BufferSection(_Section):
    """The ring buffer on disk."""

    directory: Path = Field(
        default=Path("/var/lib/citylab-gateway"),
        description="Where the ring lives. systemd's STATE_DIRECTORY wins over the default.",
    )
    runtime_directory: Path = Field(
        default=Path("/run/citylab-gateway"),
        description="Memory-backed directory for the open block. "
        "systemd's RUNTIME_DIRECTORY wins over the default.",
    )
    size: Size = Field(
        default=256 << 20,
        ge=1 << 20,
        le=64 << 30,
        description="Size of the ring; the oldest readings are overwritten when it is full.",
    )
    flush_interval: Duration = Field(
        default=5.0,
        ge=0.1,
        le=60.0,
        description="At most so much is lost at a power cut (and one flush).",
    )
    open_interval: Duration = Field(
        default=0.25,
        ge=0.05,
        le=5.0,
        description="At most so much is lost when the process alone dies.",
    )


class ClockSection(_Section):
    """How far the wall clock of this machine can be trusted."""

    trusted: bool = Field(
        default=False,
        description="The clock is right from the start: the machine has a clock chip, or is a "
        "virtual machine. Otherwise it is right once systemd-timesyncd has set it.",
    )


class HttpSection(_Section):
    """The status page and the Prometheus metrics; without this section nothing listens."""

    listen: str = Field(
        default="127.0.0.1:9469",
        pattern=r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):\d{1,5}$",
        description="Address and port. Anything but loopback needs token_file.",
    )
    token_file: str = Field(
        default="", description="File with the bearer token that a client must send."
    )


class BluetoothSection(_Section):
    """The one scanner that serves all Bluetooth sensors."""

    adapter: str = Field(
        default="", description="Adapter such as hci0; empty takes the system's default."
    )
    mode: Literal["auto", "active", "passive"] = Field(
        default="auto", description="auto: passive where BlueZ allows it, else active."
    )
    replay: str = Field(
        default="",
        description="Read recorded advertisements from this file or pipe instead of an adapter.",
    )
    replay_speed: float = Field(
        default=1.0, ge=0, le=10000, description="1 is the recorded pace, 0 as fast as it goes."
    )
    silence_timeout: Duration = Field(
        default=90.0,
        ge=5.0,
        le=3600.0,
        description="Without any advertisement for so long the scan is restarted.",
    )


class LogSection(_Section):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Values are never logged, at no level."
    )


FilterTable = Mapping[str, Mapping[str, Any]]


class SensorSection(_Section):
    """One physical device."""

    name: Slug = Field(description="Its name for ever: part of topics, ids and metrics.")
    driver: str = Field(min_length=1, description="What decodes it; see `citylab-gateway drivers`.")
    port: str = Field(default="", description="Serial port; use /dev/serial/by-id/ names.")
    address: str = Field(default="", description="Bluetooth address, AA:BB:CC:DD:EE:FF.")
    replay: str = Field(
        default="", description="Read recorded bytes from this file or pipe instead of a port."
    )
    replay_speed: float = Field(
        default=1.0, ge=0, le=10000, description="1 is the recorded pace, 0 as fast as it goes."
    )
    baud: int | None = Field(
        default=None, ge=50, le=4_000_000, description="Instead of the driver's own line settings."
    )
    silence_timeout: Duration | None = Field(
        default=None,
        description="Without any byte for so long the port is opened again; "
        "the default is ten times the driver's interval, at least 10 s.",
    )
    privacy: PrivacyClass | None = Field(
        default=None, description="Privacy class P0 to P3; the default is the driver's."
    )
    location: Position | None = Field(default=None, description="Where the sensor is.")
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="Options of the driver; see its page."
    )
    filter: FilterTable = Field(
        default_factory=dict,
        description="Filters per quantity, or '*' for all, run in the order written.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "SensorSection":
        sources = [key for key in ("port", "address", "replay") if getattr(self, key)]
        if len(sources) != 1:
            found = " and ".join(sources) or "none of them"
            raise ValueError(f"needs exactly one of port, address, replay; it has {found}")
        if self.address and not ADDRESS.fullmatch(self.address):
            raise ValueError("address must be six upper-case hex pairs, AA:BB:CC:DD:EE:FF")
        return self


class SelectSection(_Section):
    """What may leave for one broker; an allow-list."""

    sensors: tuple[str, ...] = Field(default=("*",), description="Sensor names, with * and ?.")
    quantities: tuple[str, ...] = Field(default=("*",), description="Quantities, with * and ?.")
    privacy: PrivacyClass = Field(
        default="P1", description="The highest privacy class that may leave; P2 and P3 by default "
        "go to nobody."
    )


class TlsSection(_Section):
    """Certificates for one broker."""

    ca_file: str = Field(default="", description="Private CA; empty takes the system's.")
    cert_file: str = Field(default="", description="Client certificate, PEM.")
    key_file: str = Field(default="", description="Its key, PEM.")

    @model_validator(mode="after")
    def _pair(self) -> "TlsSection":
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("cert_file and key_file belong together; one is missing")
        return self


def _broker_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in BROKER_SCHEMES or not parts.hostname:
        raise ValueError("must look like mqtts://host:8883 or mqtt://host:1883")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password; use username and password_file")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("must end after the port")
    if parts.port == 0:
        raise ValueError("port must be 1 to 65535")
    return url


class BrokerSection(_Section):
    """One city broker and what it gets."""

    name: Slug = Field(description="Its name for ever: its place in the ring goes by it.")
    url: Annotated[str, AfterValidator(_broker_url)] = Field(
        description="mqtts://host:8883, or mqtt://host:1883 together with insecure = true."
    )
    insecure: bool = Field(
        default=False, description="Allow plain text. Everybody on the way can read and forge."
    )
    protocol: Literal["5", "3.1.1"] = Field(default="5", description="MQTT version.")
    client_id: str = Field(
        default="", max_length=128, description="Empty: citylab-<gateway id>-<broker name>."
    )
    username: str = Field(default="", description="Empty: none.")
    password_file: str = Field(
        default="", description="File with the password; %d is the systemd credential directory."
    )
    password_env: str = Field(default="", description="Environment variable with the password.")
    tls: TlsSection = Field(default_factory=TlsSection, description="Certificates.")
    format: str = Field(default="ngsi-ld", description="Payload format: ngsi-ld or json.")
    topic: Level | None = Field(
        default=None,
        description="Topic template with {tenant} {gateway} {sensor}; empty: the format's own.",
    )
    select: SelectSection = Field(default_factory=SelectSection, description="What may leave.")
    batch_readings: int = Field(default=200, ge=1, le=5000, description="Most readings a message.")
    linger: Duration = Field(
        default=1.0,
        ge=0.0,
        le=3600.0,
        description="A message that is not full waits at most so long after the one before it.",
    )
    in_flight: int = Field(
        default=20, ge=1, le=64, description="Most messages without acknowledgement."
    )
    ack_timeout: Duration = Field(
        default=30.0, ge=1.0, le=600.0, description="Without acknowledgement for so long: reconnect."
    )
    connect_timeout: Duration = Field(
        default=15.0, ge=1.0, le=120.0, description="For the connection and its acknowledgement."
    )
    keepalive: Duration = Field(
        default=30.0, ge=5.0, le=3600.0, description="MQTT keep-alive interval."
    )
    backoff_max: Duration = Field(
        default=60.0, ge=1.0, le=3600.0, description="Longest wait between two attempts."
    )
    status_interval: Duration = Field(
        default=60.0, ge=1.0, le=86400.0, description="How often the status topic is renewed."
    )

    @model_validator(mode="after")
    def _plain_text_is_asked_for(self) -> "BrokerSection":
        plain = urlsplit(self.url).scheme == "mqtt"
        if plain and not self.insecure:
            raise ValueError("url is plain text: use mqtts://, or say insecure = true")
        if self.insecure and not plain:
            raise ValueError("insecure = true belongs to mqtt:// only; TLS is always checked")
        if self.password_file and self.password_env:
            raise ValueError("has both password_file and password_env; keep one")
        return self

    @property
    def host(self) -> str:
        """Return the host name or address of ``url``."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the port of ``url``, by default the one of its scheme."""
        parts = urlsplit(self.url)
        return parts.port or BROKER_SCHEMES[parts.scheme]


class Configuration(_Section):
    """The whole file."""

    schema_version: Literal[1] = Field(
        default=SCHEMA_VERSION, alias="schema", description="Version of this file's shape."
    )
    gateway: GatewaySection = Field(description="Which box this is.")
    buffer: BufferSection = Field(default_factory=BufferSection, description="The ring on disk.")
    clock: ClockSection = Field(default_factory=ClockSection, description="Trust in the clock.")
    http: HttpSection | None = Field(default=None, description="Status page and metrics.")
    bluetooth: BluetoothSection = Field(
        default_factory=BluetoothSection, description="The Bluetooth scanner."
    )
    log: LogSection = Field(default_factory=LogSection, description="What is logged.")
    sensor: tuple[SensorSection, ...] = Field(
        default=(), max_length=MAX_SENSORS, description="The sensors, one table each."
    )
    broker: tuple[BrokerSection, ...] = Field(
        default=(), max_length=MAX_BROKERS, description="The city brokers, one table each."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Configuration":
        for kind, names in (
            ("sensor", [sensor.name for sensor in self.sensor]),
            ("broker", [broker.name for broker in self.broker]),
            ("port", [sensor.port for sensor in self.sensor if sensor.port]),
            ("address", [sensor.address for sensor in self.sensor if sensor.address]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{kind} {twice[0]!r} is used twice")
        return self
