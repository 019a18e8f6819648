"""What is to be written: the answers, each checked as the configuration would check it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from gateway.config.model import BrokerSection, HttpSection
from gateway.config.model.box import P3_RETENTION_MAX_S, RETENTION_MIN_S
from gateway.config.model.words import PATTERN_HELP, SLUG, Address, Slug
from gateway.config.units import duration_text, parse_duration

__all__ = [
    "NONE",
    "PLAIN_TEXT",
    "TERMS",
    "BrokerPlan",
    "Place",
    "Plan",
    "SensorPlan",
    "Source",
    "checked_address",
    "checked_broker",
    "checked_http",
    "checked_place",
    "checked_retention",
    "checked_slug",
    "checked_url",
    "is_plain",
    "names_from",
]

NONE = "none"
"""What a flag says for "there is none"."""
TERMS = ("purpose", "controller", "legal_basis", "retention")
"""What a sensor of a household has to say (PRIV-07)."""
PLAIN_TEXT = ("mqtt://", "ws://")
Source = Literal["port", "address", "replay"]
"""The keys of which a sensor has exactly one."""
Model = TypeVar("Model", bound=BaseModel)
_SLUG = TypeAdapter(Slug)
_ADDRESS = TypeAdapter(Address)
_DEGREES = r"([+-]?\d{1,3}(?:\.\d+)?)\s*°?\s*"
_PLACE = re.compile(rf"{_DEGREES}([NS]?)\s*[,;\s]\s*{_DEGREES}([EW]?)", re.IGNORECASE)
MAX_LAT = 90.0
MAX_LON = 180.0


@dataclass(frozen=True, slots=True)
class Place:
    """Degrees north and east (WGS84)."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True)
class SensorPlan:
    """One sensor; ``source`` is the key that says where it is."""

    name: str
    driver: str
    source: Source
    where: str
    options: Mapping[str, object] = field(default_factory=dict)
    privacy: str = ""
    terms: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Each goes into a file of its own; one that is empty is put there later."""

    def key_file(self, key: str) -> str:
        """Return the name of the file of one key."""
        return f"{self.name}-{key}"


@dataclass(frozen=True, slots=True)
class BrokerPlan:
    """One broker; the password goes into a file of its own, never into the configuration."""

    name: str
    url: str
    insecure: bool = False
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    format: str = ""

    def section(self) -> BrokerSection:
        """Return it as the configuration will have it, but for the password; ValueError."""
        content: dict[str, Any] = {"name": self.name, "url": self.url, "insecure": self.insecure}
        content["username"] = self.username
        if self.ca_file:
            content["tls"] = {"ca_file": self.ca_file}
        return _validated(BrokerSection, content)


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole file."""

    id: str
    tenant: str
    place: Place | None
    sensors: tuple[SensorPlan, ...] = ()
    broker: BrokerPlan | None = None
    http: str = ""
    directory: str = ""
    runtime_directory: str = ""
    clock_trusted: bool = False


def _validated(model: type[Model], content: Mapping[str, Any]) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors()
    first = details[0]
    refusal = first.get("ctx", {}).get("error")
    nearest = getattr(refusal, "nearest", "")
    words = str(refusal) if refusal is not None else first["msg"]
    raise ValueError(words + (f"; did you mean {nearest}?" if nearest else ""))


def checked_slug(text: str) -> str:
    """Return a name that may be part of topics and ids; ValueError says what is allowed."""
    try:
        return _SLUG.validate_python(text)
    except ValidationError:
        pass
    raise ValueError(f"is no name; allowed: {PATTERN_HELP[SLUG]}")


def checked_address(text: str) -> str:
    """Return a Bluetooth address in capitals; ValueError if it is none."""
    try:
        address = _ADDRESS.validate_python(text)
    except ValidationError:
        address = ""
    if ":" not in address:
        raise ValueError("is no Bluetooth address, such as C4:7F:51:00:00:01")
    return address


def checked_place(text: str) -> Place | None:
    """Return latitude and longitude of text as maps show it; None for nothing or ``none``."""
    if text in ("", NONE):
        return None
    match = _PLACE.fullmatch(text.strip())
    if match is None:
        raise ValueError('is no place; write "56.1535, 10.2134": degrees north, then east')
    lat = float(match[1]) * (-1 if match[2].upper() == "S" else 1)
    lon = float(match[3]) * (-1 if match[4].upper() == "W" else 1)
    if abs(lat) > MAX_LAT or abs(lon) > MAX_LON:
        raise ValueError("is not on earth; degrees north (at most 90), then east (at most 180)")
    return Place(lat, lon)


def is_plain(url: str) -> bool:
    """Tell whether everybody on the way can read what goes to this address."""
    return url.lower().startswith(PLAIN_TEXT)


def checked_url(url: str) -> str:
    """Return the address of a broker; empty for nothing or ``none``."""
    if url in ("", NONE):
        return ""
    return BrokerPlan("x", url, insecure=is_plain(url)).section().url


def checked_broker(broker: BrokerPlan) -> BrokerPlan:
    """Return a broker whose parts fit together; ValueError says which do not."""
    broker.section()
    if broker.password and not broker.username:
        raise ValueError("has a password and no user name")
    return broker


def checked_http(address: str) -> str:
    """Return an address of this machine for the status page; ValueError for any other."""
    return _validated(HttpSection, {"listen": address}).listen


def checked_retention(text: str) -> str:
    """Return how long data of a household may stay in the ring; ValueError beyond the limits."""
    seconds = parse_duration(text)
    if not RETENTION_MIN_S <= seconds <= P3_RETENTION_MAX_S:
        longest = duration_text(P3_RETENTION_MAX_S)
        raise ValueError(f"must be from {duration_text(RETENTION_MIN_S)} to {longest}")
    return duration_text(seconds)


def names_from(wanted: str, taken: set[str]) -> str:
    """Return the name, or with the first free number behind it."""
    number = 1
    name = wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
