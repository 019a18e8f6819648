"""The box itself: who it is, its ring, its clock, its page, its Bluetooth scanner, its log."""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from pydantic import Field, StrictBool, model_validator

from gateway.config.model.words import LISTEN, AdapterName, FilePath, Section, Slug
from gateway.config.refusal import Refusal
from gateway.config.units import Duration, Size
from gateway.reading import PrivacyClass

__all__ = [
    "BluetoothSection",
    "BufferSection",
    "ClockSection",
    "GatewaySection",
    "HttpSection",
    "LogSection",
    "Position",
    "RetentionSection",
]

S_PER_H = 3600.0
MAX_ADAPTERS = 8
P3_RETENTION_MAX_S = 72 * S_PER_H
"""PRIV-10."""
RETENTION_MIN_S = 60.0
RETENTION_MAX_S = 10 * 366 * 24 * S_PER_H


class Position(Section):
    """A place on earth, WGS84."""

    lon: float = Field(ge=-180, le=180, description="Degrees east.")
    lat: float = Field(ge=-90, le=90, description="Degrees north.")


class GatewaySection(Section):
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


class RetentionSection(Section):
    """How old readings of a privacy class may become and still be read or sent."""

    P0: Duration | None = Field(
        default=None,
        ge=RETENTION_MIN_S,
        le=RETENTION_MAX_S,
        description="Physical quantities. Without it: as long as they fit.",
        examples=["30 d"],
    )
    P1: Duration | None = Field(
        default=None,
        ge=RETENTION_MIN_S,
        le=RETENTION_MAX_S,
        description="Statistics about people or vehicles. Without it: as long as they fit.",
        examples=["30 d"],
    )
    P3: Duration = Field(
        default=P3_RETENTION_MAX_S,
        ge=RETENTION_MIN_S,
        le=P3_RETENTION_MAX_S,
        description="Data of a household or a person; a sensor may have a shorter one of its own.",
    )

    def by_class(self) -> dict[PrivacyClass, float | None]:
        """Return the limit of each class in seconds, None where there is none."""
        return {"P0": self.P0, "P1": self.P1, "P2": None, "P3": self.P3}


class BufferSection(Section):
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
    retention: RetentionSection = Field(
        default_factory=RetentionSection,
        description="What is too old for its privacy class: neither read nor sent any more.",
    )


class ClockSection(Section):
    """How far the wall clock of this machine can be trusted."""

    trusted: StrictBool = Field(
        default=False,
        description="The clock is right from the start: the machine has a clock chip, or is a "
        "virtual machine. Otherwise it is right once the system says that it was set.",
    )
    hold_unsynced: Duration = Field(
        default=60.0,
        ge=0.0,
        le=S_PER_H,
        description="Readings wait so long after a start for the clock to become right; then they "
        "go out marked, and their times are mended later. 0 s: they do not wait.",
    )


class HttpSection(Section):
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


class BluetoothSection(Section):
    """The one scanner that serves all Bluetooth sensors."""

    adapters: tuple[AdapterName, ...] = Field(
        default=(),
        max_length=MAX_ADAPTERS,
        description="Adapters that listen, by name or, which stays when another one is plugged in, "
        "by their own address. Empty takes the first one that the system has.",
        examples=[["hci0", "00:1A:7D:DA:71:13"]],
    )
    mode: Literal["auto", "active", "passive"] = Field(
        default="auto",
        description="auto: passive, which sends nothing, where BlueZ allows it and every sensor is "
        "heard that way; else active.",
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
        description="Without any advertisement for so long the scan is restarted, then the "
        "adapter switched off and on.",
    )

    @model_validator(mode="after")
    def _each_once(self) -> "BluetoothSection":
        if len(set(self.adapters)) < len(self.adapters):
            raise Refusal("adapters names one adapter twice")
        return self


class LogSection(Section):
    """What goes to the journal."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Values are never logged, at no level."
    )
