"""One broker: how it is reached, what it gets, and in which form."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from gateway.config.model.words import (
    FilePath,
    OptionalTopic,
    Section,
    Slug,
    Topic,
    VariableName,
)
from gateway.config.refusal import Refusal
from gateway.config.units import Duration
from gateway.reading import PrivacyClass

__all__ = ["DEFAULT_FORMAT", "BrokerSection", "SelectSection", "TlsSection"]

BROKER_SCHEMES = {"mqtt": 1883, "mqtts": 8883, "ws": 80, "wss": 443}
DEFAULT_FORMAT = "ngsi-ld"
PLAIN_SCHEMES = ("mqtt", "ws")
WEBSOCKET_SCHEMES = ("ws", "wss")
WEBSOCKET_PATH = "/mqtt"
"""Where brokers take MQTT over WebSocket unless the url names another path."""
HARMLESS_URL = re.compile(r"([a-z]+://)?(\[[0-9A-Fa-f:]+\]|[0-9A-Za-z._-]+)(:\d{1,5})?")
URL_HELP = (
    "mqtts://host:8883 or wss://host/mqtt; mqtt://host:1883 or ws://host/mqtt with insecure = true"
)
PROTOCOLS = {5: "5", 3.1: "3.1.1"}
"""What TOML makes of a version number without quotes -> what was meant."""


def _protocol(version: object) -> object:
    if isinstance(version, int | float) and version in PROTOCOLS:
        raise Refusal("must be text in quotes", allowed='"5" or "3.1.1"')
    return version


class SelectSection(Section):
    """What may leave for one broker; an allow-list."""

    sensors: tuple[str, ...] = Field(default=("*",), description="Sensor names, with * and ?.")
    quantities: tuple[str, ...] = Field(default=("*",), description="Quantities, with * and ?.")
    privacy: Literal["P0", "P1", "P3"] = Field(
        default="P1",
        description="The highest privacy class that may leave; P3 only for a broker that is not "
        "open. P2 has a key of its own: suppressed_counts.",
    )
    suppressed_counts: StrictBool = Field(
        default=False,
        description="Counts of class P2 (devices that pass) may leave, too, the small ones hidden.",
    )
    interval: Duration = Field(
        default=0.0,
        ge=0.0,
        le=86400.0,
        description="At most one reading of each series in each interval so long; what is summed "
        "up (counts in a window) is never thinned. 0 s: all.",
    )
    location_decimals: int = Field(
        default=7,
        ge=0,
        le=7,
        description="Decimals of the coordinates that leave: 3 is about 100 m, 5 about 1 m.",
    )

    def admits(self, privacy: PrivacyClass) -> bool:
        """Tell whether readings of a class may leave at all.

        P2 stands for identifiers: only counts of it may leave (PRIV-08), and only if asked for.
        """
        if privacy == "P2":
            return self.suppressed_counts
        return privacy <= self.privacy  # P0 < P1 < P3, as text too


class TlsSection(Section):
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
    takes_path = parts.scheme in WEBSOCKET_SCHEMES
    if (parts.path not in ("", "/") and not takes_path) or parts.query or parts.fragment:
        problem = f"must end after the {'path' if takes_path else 'port'}"
        raise Refusal(problem, allowed=URL_HELP, show=False)
    return url


def _nearest_url(url: str) -> str:
    """Return what was probably meant by the address that other programs take."""
    scheme, _, rest = url.rpartition("://")
    meant = {"tls": "mqtts", "ssl": "mqtts", "tcp": "mqtt", "": "mqtts"}.get(scheme.lower(), "")
    host = re.fullmatch(r"[0-9A-Za-z.-]+(:\d{1,5})?/?", rest)
    return f"{meant}://{rest}" if meant and host else ""


class BrokerSection(Section):
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
        description="mqtts://host:8883, or wss://host/path for MQTT over WebSocket; mqtt:// and "
        "ws:// together with insecure = true.",
        examples=["mqtts://mqtt.example.org:8883"],
    )
    insecure: StrictBool = Field(
        default=False, description="Allow plain text. Everybody on the way can read and forge."
    )
    open: StrictBool = Field(
        default=False,
        description="Everybody can read what it gets: it never gets P3, and the catalogue calls "
        "its data public.",
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
    format: str = Field(default=DEFAULT_FORMAT, description="Payload format; see docs/payloads.md.")
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="Options of the format; see docs/payloads.md."
    )
    topic: Topic | None = Field(
        default=None,
        description="Topic template with {tenant} {gateway} {sensor}; the default is the format's.",
        examples=["city/{tenant}/{gateway}/{sensor}/ngsi"],
    )
    status_topic: OptionalTopic = Field(
        default="city/{tenant}/{gateway}/status",
        description="Retained state of the gateway, and its last will; empty: none.",
    )
    gap_topic: OptionalTopic = Field(
        default="city/{tenant}/{gateway}/gap",
        description="Where readings are told that will never come; empty: nowhere, and the city "
        'cannot tell "no traffic" from "lost data".',
    )
    time_fix_topic: OptionalTopic = Field(
        default="city/{tenant}/{gateway}/time-fix",
        description="Where times are mended that were sent before the clock was right; empty: "
        "nowhere, and those readings keep their doubtful times.",
    )
    message_expiry: Duration | None = Field(
        default=None,
        ge=1.0,
        le=31_536_000.0,
        description="The broker may throw away readings that nobody fetched for so long (MQTT 5).",
        examples=["1 d"],
    )
    history: Literal["in-order", "beside"] | None = Field(
        default=None,
        description="After an outage: in-order sends the backlog first, beside sends new readings "
        "at once and the backlog beside them; the default is the format's.",
        examples=["beside"],
    )
    history_rate: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Most readings of the backlog in a second; the default is no limit.",
        examples=[500],
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
        plain = urlsplit(self.url).scheme in PLAIN_SCHEMES
        if plain and not self.insecure:
            raise Refusal("url is plain text; use mqtts:// or wss://, or say insecure = true")
        if self.insecure and not plain:
            raise Refusal("insecure = true is for mqtt:// and ws:// only; here TLS is checked")
        if self.password_file and self.password_env:
            raise Refusal("has both password_file and password_env; keep one")
        if self.protocol == "3.1.1" and not self.username and self._has_password:
            raise Refusal("MQTT 3.1.1 takes no password without a username; set username")
        return self

    @model_validator(mode="after")
    def _can_be_kept(self) -> "BrokerSection":
        if self.protocol == "3.1.1" and self.message_expiry is not None:
            raise Refusal('message_expiry needs MQTT 5; leave it out, or set protocol = "5"')
        if self.open and self.select.privacy == "P3":
            raise Refusal("is open, and P3 never goes where everybody can read it")
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

    def client_id_of(self, gateway: str) -> str:
        """Return the name under which the gateway of that id connects."""
        return self.client_id or f"citylab-{gateway}-{self.name}"

    @property
    def websocket_path(self) -> str | None:
        """Return the path for MQTT over WebSocket, None where it is spoken directly."""
        parts = urlsplit(self.url)
        if parts.scheme not in WEBSOCKET_SCHEMES:
            return None
        return parts.path if parts.path not in ("", "/") else WEBSOCKET_PATH
