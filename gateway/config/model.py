"""The shape of the configuration file: every key, its default, its limits and its help text."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

from gateway.config.refusal import Refusal
from gateway.config.units import Duration, Size
from gateway.reading import PrivacyClass

__all__ = [
    "PATTERN_HELP",
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

MAX_BROKERS = 16
"""As many as a block header of the ring has cursors."""
MAX_SENSORS = 256
BROKER_SCHEMES = {"mqtt": 1883, "mqtts": 8883}
MAX_PATH_LENGTH = 4096
ADDRESS = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}")
SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"
TOPIC = r"^[^+#\x00]{1,512}$"
LISTEN = r"^(\[[0-9a-fA-F:]+\]|[0-9A-Za-z.-]+):\d{1,5}$"
HARMLESS_URL = re.compile(r"([a-z]+://)?(\[[0-9A-Fa-f:]+\]|[0-9A-Za-z._-]+)(:\d{1,5})?")
URL_HELP = "mqtts://host:8883, or mqtt://host:1883 with insecure = true"
PROTOCOLS = {5: "5", 3.1: "3.1.1"}
"""What TOML makes of a version number without quotes -> what was meant."""

PATTERN_HELP: Mapping[str, str] = {
    SLUG: "1 to 63 lower-case letters, digits and hyphens, no hyphen first",
    TOPIC: "1 to 512 characters without + and #",
    LISTEN: "address:port, such as 127.0.0.1:9469 or [::1]:9469",
}
"""The patterns of this page in words."""

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
"""It becomes part of topics, ids and file names."""
Topic = Annotated[str, StringConstraints(pattern=TOPIC)]


def _absolute(path: str) -> str:
    """Refuse what is no path without repeating it: it may be the secret itself."""
    if not path.startswith(("/", "%d/")) or len(path) > MAX_PATH_LENGTH or not path.isprintable():
        raise Refusal(
            "is no absolute path",
            allowed="a path from /, or from %d/ (the systemd credential directory)",
            show=False,
        )
    return path


def _variable(name: str) -> str:
    """Refuse what is no variable's name without repeating it: it may be the secret itself."""
    if not re.fullmatch(r"[A-Z_][A-Z0-9_]{0,127}", name):
        raise Refusal(
            "is no name of an environment variable",
            allowed="capital letters, digits and underscores",
            show=False,
        )
    return name


def _address(address: str) -> str:
    """Return the address in capitals, as BlueZ writes it."""
    upper = address.upper()
    if not ADDRESS.fullmatch(upper):
        digits = re.sub(r"[^0-9A-F]", "", upper)
        pairs = ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))
        raise Refusal(
            "is no Bluetooth address",
            allowed="AA:BB:CC:DD:EE:FF",
            nearest=pairs if ADDRESS.fullmatch(pairs) else "",
        )
    return upper


def _schema(version: object) -> object:
    if isinstance(version, int) and version > 1:
        raise Refusal("was written for a later citylab-gateway than this one", allowed="1")
    return version


def _protocol(version: object) -> object:
    if isinstance(version, int | float) and version in PROTOCOLS:
        raise Refusal("must be text in quotes", allowed='"5" or "3.1.1"')
    return version


FilePath = Annotated[str, AfterValidator(_absolute)]
"""Absolute, because the daemon's working directory is nobody's business; %d is expanded later."""
VariableName = Annotated[str, AfterValidator(_variable)]
Address = Annotated[str, AfterValidator(_address)]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, validate_default=False
    )


class Position(_Section):
    """A place on earth, WGS84."""

    lon: float = Field(ge=-180, le=180, description="Degrees east.")
    lat: float = Field(ge=-90, le=90, description="Degrees north.")


class GatewaySection(_Section):
    """Which box this is."""

    id: Slug = Field(
        description="Part of every topic and id; unique in the city; never change it.",
        examples=["aarhus-dokk1-03"],
    )
    tenant: Slug = Field(
        default="citylab", description="The city or lab that owns the data; part of topics and ids."
    )
    location: Position | None = Field(
        default=None,
        description="Where the box stands; a sensor may have a place of its own.",
        examples=[{"lon": 10.2134, "lat": 56.1535}],
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
    flush_interval_max: Duration = Field(
        default=30.0,
        ge=0.1,
        le=300.0,
        description="An idle gateway, with hardly a reading in between, waits up to so long and "
        "spares the card; flush_interval wins if that is longer.",
    )
    persist: Literal["all", "unacknowledged"] = Field(
        default="all",
        description="unacknowledged: what every broker has acknowledged before a flush is not "
        "written at all. Nearly no wear, but nothing to look up on the box either.",
    )
    open_interval: Duration = Field(
        default=0.25,
        ge=0.05,
        le=5.0,
        description="At most so much is lost when the process alone dies.",
    )


class ClockSection(_Section):
    """How far the wall clock of this machine can be trusted."""

    trusted: StrictBool = Field(
        default=False,
        description="The clock is right from the start: the machine has a clock chip, or is a "
        "virtual machine. Otherwise it is right once systemd-timesyncd has set it.",
    )


class HttpSection(_Section):
    """The status page and the Prometheus metrics; without this section nothing listens."""

    listen: str = Field(
        default="127.0.0.1:9469",
        pattern=LISTEN,
        description="Address and port. Anything but loopback needs token_file.",
    )
    token_file: FilePath = Field(
        default="",
        description="File with the bearer token that a client must send.",
        examples=["%d/http-token"],
    )

    @model_validator(mode="after")
    def _open_only_with_token(self) -> "HttpSection":
        if not 0 < self.port < 1 << 16:
            raise Refusal("listen has a port that does not exist", allowed="1 to 65535")
        if not self.is_loopback and not self.token_file:
            raise Refusal(
                f"listens on {self.host}, where others can reach it, without a token; "
                "set token_file, or listen on 127.0.0.1"
            )
        return self

    @property
    def host(self) -> str:
        """Return the host name or address of ``listen``, without brackets."""
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """Return the port of ``listen``."""
        return int(self.listen.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine itself can connect."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class BluetoothSection(_Section):
    """The one scanner that serves all Bluetooth sensors."""

    adapter: str = Field(
        default="",
        description="Adapter; empty takes the system's default.",
        examples=["hci0"],
    )
    mode: Literal["auto", "active", "passive"] = Field(
        default="auto", description="auto: passive where BlueZ allows it, else active."
    )
    replay: str = Field(
        default="",
        description="Read recorded advertisements from this file or pipe instead of an adapter.",
        examples=["/srv/records/adverts.jsonl"],
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

    name: Slug = Field(
        description="Its name for ever: part of topics, ids and metrics.", examples=["air-roof"]
    )
    driver: str = Field(
        min_length=1,
        description="What decodes it; see `citylab-gateway drivers`.",
        examples=["sds011"],
    )
    port: str = Field(
        default="",
        description="Serial port; use a name that stays the same. "
        "A sensor has exactly one of port, address, replay.",
        examples=["/dev/serial/by-id/usb-1a86_USB_Serial-if00-port0"],
    )
    address: Address = Field(
        default="", description="Bluetooth address.", examples=["C4:7F:51:00:00:01"]
    )
    replay: str = Field(
        default="",
        description="Read recorded bytes from this file or pipe instead of a port.",
        examples=["/srv/records/air-roof.jsonl"],
    )
    replay_speed: float = Field(
        default=1.0, ge=0, le=10000, description="1 is the recorded pace, 0 as fast as it goes."
    )
    baud: int | None = Field(
        default=None,
        ge=50,
        le=4_000_000,
        description="Instead of the driver's own line settings.",
        examples=[9600],
    )
    silence_timeout: Duration | None = Field(
        default=None,
        ge=1.0,
        le=86400.0,
        examples=["30 s"],
        description="Without any byte for so long the port is opened again; "
        "the default is ten times the driver's interval, at least 10 s.",
    )
    privacy: PrivacyClass | None = Field(
        default=None,
        description="Privacy class; the default is the driver's. P3 (a household's or a person's) "
        "is refused in this version.",
        examples=["P0"],
    )
    location: Position | None = Field(
        default=None,
        description="Where the sensor is.",
        examples=[{"lon": 10.2134, "lat": 56.1535}],
    )
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
            raise Refusal(f"needs exactly one of port, address, replay; it has {found}")
        return self


class SelectSection(_Section):
    """What may leave for one broker; an allow-list."""

    sensors: tuple[str, ...] = Field(default=("*",), description="Sensor names, with * and ?.")
    quantities: tuple[str, ...] = Field(default=("*",), description="Quantities, with * and ?.")
    privacy: Literal["P0", "P1"] = Field(
        default="P1",
        description="The highest privacy class that may leave. P2 and P3 go to nobody "
        "in this version.",
    )


class TlsSection(_Section):
    """Certificates for one broker."""

    ca_file: FilePath = Field(
        default="",
        description="Private CA; empty takes the system's.",
        examples=["/etc/citylab-gateway/city-ca.pem"],
    )
    cert_file: FilePath = Field(
        default="",
        description="Client certificate, PEM.",
        examples=["/etc/citylab-gateway/client.pem"],
    )
    key_file: FilePath = Field(default="", description="Its key, PEM.", examples=["%d/client-key"])

    @model_validator(mode="after")
    def _pair(self) -> "TlsSection":
        if bool(self.cert_file) != bool(self.key_file):
            raise Refusal("cert_file and key_file belong together; one is missing")
        return self


def _broker_url(url: str) -> str:
    """Refuse what is no address, and repeat it only where it cannot hold a password."""
    if "@" in url:
        raise Refusal("holds a user name or password; use username and password_file", show=False)
    try:
        parts = urlsplit(url)
        good = parts.scheme in BROKER_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:  # the port is no number, or brackets do not match
        good = False
    if not good:
        raise Refusal(
            "is no address of a broker",
            allowed=URL_HELP,
            nearest=_nearest_url(url),
            show=HARMLESS_URL.fullmatch(url) is not None,
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Refusal("must end after the port", allowed=URL_HELP, show=False)
    return url


def _nearest_url(url: str) -> str:
    """Return what was probably meant by the address that other programs take."""
    scheme, _, rest = url.rpartition("://")
    meant = {"tls": "mqtts", "ssl": "mqtts", "tcp": "mqtt", "": "mqtts"}.get(scheme.lower(), "")
    host = re.fullmatch(r"[0-9A-Za-z.-]+(:\d{1,5})?/?", rest)
    return f"{meant}://{rest}" if meant and host else ""


class BrokerSection(_Section):
    """One city broker and what it gets."""

    name: Slug = Field(
        description="Its name for ever: its place in the ring goes by it.", examples=["aarhus"]
    )
    previous_name: Slug | None = Field(
        default=None,
        description="After a change of name: the old one, whose place in the ring it takes over.",
        examples=["aarhus-old"],
    )
    url: Annotated[str, AfterValidator(_broker_url)] = Field(
        description="mqtts://host:8883, or mqtt://host:1883 together with insecure = true.",
        examples=["mqtts://mqtt.example.org:8883"],
    )
    insecure: StrictBool = Field(
        default=False, description="Allow plain text. Everybody on the way can read and forge."
    )
    protocol: Annotated[Literal["5", "3.1.1"], BeforeValidator(_protocol)] = Field(
        default="5", description="MQTT version."
    )
    client_id: str = Field(
        default="",
        max_length=128,
        description="Empty: citylab-<gateway id>-<broker name>.",
        examples=["citylab-dokk1"],
    )
    username: str = Field(default="", description="Empty: none.", examples=["dokk1"])
    password_file: FilePath = Field(
        default="",
        description="File with the password, readable by its owner alone; "
        "%d is the systemd credential directory.",
        examples=["%d/aarhus"],
    )
    password_env: VariableName = Field(
        default="",
        description="Environment variable with the password, instead of password_file.",
        examples=["AARHUS_PASSWORD"],
    )
    tls: TlsSection = Field(default_factory=TlsSection, description="Certificates.")
    format: str = Field(default="ngsi-ld", description="Payload format: ngsi-ld or json.")
    topic: Topic | None = Field(
        default=None,
        description="Topic template with {tenant} {gateway} {sensor}; the default is the format's.",
        examples=["city/{tenant}/{gateway}/{sensor}/ngsi"],
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
        default=30.0,
        ge=1.0,
        le=600.0,
        description="Without acknowledgement for so long: reconnect.",
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
            raise Refusal("url is plain text; use mqtts://, or say insecure = true")
        if self.insecure and not plain:
            raise Refusal("insecure = true is for mqtt:// only; with mqtts:// TLS is checked")
        if self.password_file and self.password_env:
            raise Refusal("has both password_file and password_env; keep one")
        if self.protocol == "3.1.1" and not self.username and self._has_password:
            raise Refusal("MQTT 3.1.1 takes no password without a username; set username")
        return self

    @property
    def _has_password(self) -> bool:
        return bool(self.password_file or self.password_env)

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

    schema_version: Annotated[Literal[1], BeforeValidator(_schema)] = Field(
        default=1, alias="schema", description="Version of this file's shape."
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
