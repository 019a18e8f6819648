"""What every payload format shares: the message, what a format may know, and the contract.

A lab adds a format of its own by subclassing ``Format`` and naming it in the entry point group
``citylab_gateway.formats``; docs/payloads.md shows how.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from time import gmtime
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from gateway import plugins
from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.errors import ConfigError
from gateway.reading import PrivacyClass, Series

__all__ = [
    "ENTRY_POINT_GROUP",
    "Format",
    "FormatContext",
    "Growing",
    "Heard",
    "History",
    "Message",
    "NoOptions",
    "SensorFacts",
    "SeriesLookup",
    "Session",
    "TimeText",
    "finished",
    "format_class",
    "format_names",
    "load_format",
    "render_topic",
]

ENTRY_POINT_GROUP = "citylab_gateway.formats"
NS_PER_S = 1_000_000_000
Piece = TypeVar("Piece")
S_PER_MINUTE = 60

SeriesLookup = Callable[[int], Series]
"""Series id -> series; raises LookupError for an id that the catalogue does not know."""

History = Literal["in-order", "beside", "latest"]
"""How a link treats what piled up while the broker was away.

``in-order``: the backlog first, oldest first, then what is new; for consumers that keep the latest
that arrives. ``beside``: what is new at once, the backlog beside it. ``latest``: the backlog is not
sent at all and counts as dropped by policy; for payloads without a time.
"""

Heard = Literal["nothing", "begin", "begin-again", "leave"]
"""What a session makes of a message: carry on; the consumer is there, so begin; the consumer asks
for everything that introduces the data again; the consumer has gone, so end this connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorFacts:
    """What is known of a configured sensor without a reading of it."""

    driver: str
    title: str
    """One line about the device, for people."""
    domain: str
    interval_s: float
    """How often a healthy device reports."""
    privacy: PrivacyClass
    quantities: tuple[str, ...] = ()
    """All registry quantities that the driver can yield."""
    min_publish_interval: float | None = None
    """Seconds in which at most one reading of each series leaves; None: its class's default."""
    location_decimals: int | None = None
    """Of its coordinates; None: its class's default."""


@dataclass(frozen=True, slots=True)
class FormatContext:
    """Who is speaking: the part of a payload that no reading carries.

    ``locations`` holds the sensors that have a place of their own; the others stand where the
    gateway stands. ``topic`` is the topic template of the data messages. ``sensors`` holds those
    that are configured now; a reading may be of one that is not any more.
    """

    tenant: str
    gateway: str
    location: Position | None = None
    locations: Mapping[str, Position] = field(default_factory=dict)
    topic: str = ""
    sensors: Mapping[str, SensorFacts] = field(default_factory=dict)
    version: str = ""
    """Of this software."""
    status_topic: str = ""
    """Where the gateway's own state stands on this broker; empty: nowhere."""

    def location_of(self, sensor: str) -> Position | None:
        """Return where a sensor is, or None where nobody said."""
        return self.locations.get(sensor, self.location)


@dataclass(slots=True)
class Message:
    """One MQTT message and the readings that it holds.

    ``positions`` are indices into the batch, in ring order; ``first`` and ``last`` are the
    sequence numbers of the outermost ones (others between them may be in a neighbour message).
    A message without readings (an announcement) has none of the three.
    """

    topic: str
    payload: bytes
    first: int = 0
    last: int = 0
    count: int = 0
    content_type: str = ""
    positions: list[int] = field(default_factory=list)
    retain: bool = False


class NoOptions(BaseModel):
    """The options of a format that has none."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Session:
    """The conversation of one connection, for a format whose consumer has to be talked to.

    Made before CONNECT and used up with the connection. It does no input or output: the link asks
    and sends. Times are wall ns.
    """

    will: Message | None = None
    """The last will instead of the status topic's; with one of its own the link publishes no
    status JSON on this connection. QoS 1, retained only if the message says so."""
    subscriptions: tuple[str, ...] = ()
    """Topics (no secrets in them) to subscribe at QoS 1 before anything is published."""
    begins_at_once: bool = True
    """False: nothing is published before ``hear`` answers ``begin``."""

    def greet(self, wall_ns: int) -> list[Message]:  # noqa: ARG002 - for those who greet
        """Return what introduces the gateway; the announcements of the sensors follow it."""
        return []

    def hear(self, topic: str, payload: bytes) -> Heard:  # noqa: ARG002 - for those who listen
        """Take a message of a subscription; anything that is not understood is ``nothing``."""
        return "nothing"

    def leave(self, wall_ns: int) -> list[Message]:  # noqa: ARG002 - for those who say goodbye
        """Return what is published before an intended end of the connection."""
        return []

    def complete(self, payload: bytes) -> bytes:
        """Return the payload as it goes out now; called once for every message but the will.

        For numbers that count messages in the order in which they leave.
        """
        return payload


class Format(ABC):
    """Turns readings into payloads: no input or output, no clock, the same answer each time.

    An instance belongs to one link and may keep what it worked out per series. A reading that
    cannot be carried is left out of all messages; the link reports it as rejected.
    """

    Options: ClassVar[type[BaseModel]] = NoOptions
    """The table ``[broker.options]``: extra="forbid", a description for every key."""
    topic: ClassVar[str]
    """Default template of the data topic, with ``{tenant}``, ``{gateway}`` and ``{sensor}``."""
    schema: ClassVar[str]
    """What the payload follows; travels as the MQTT 5 user property ``schema``."""
    history: ClassVar[History] = "in-order"
    """What the link does with a backlog unless the configuration says otherwise."""
    histories: ClassVar[tuple[History, ...]] = ("in-order",)
    """What the configuration may choose from."""
    qos: ClassVar[Literal[0, 1]] = 1
    """0 only where a standard asks for it: then a reading counts as acknowledged as soon as it was
    handed to the network while the session was open."""

    def __init__(self, options: Any = None) -> None:
        """Take an instance of ``Options``."""
        self.options = options

    def topic_template(self) -> str:
        """Return the default topic template of this instance, where options decide it."""
        return self.topic

    @abstractmethod
    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,
    ) -> list[Message]:
        """Return the messages for the ``selected`` positions of ``batch``, oldest first.

        ``history``: these readings piled up before the present connection.
        """

    def announce(
        self,
        sensor: str,  # noqa: ARG002 - for those who announce
        series: Sequence[Series],  # noqa: ARG002
        context: FormatContext,  # noqa: ARG002
        wall_ns: int,  # noqa: ARG002
    ) -> list[Message]:
        """Return what a consumer has to know before data of these series, all of one sensor.

        Called for each sensor on each connection before its first data, again when the sensor
        gets another series or comes back after ``withdraw``; ``series`` are all that may leave
        and may be empty for a sensor that never measured.
        """
        return []

    def withdraw(
        self,
        sensor: str,  # noqa: ARG002 - for those who withdraw
        context: FormatContext,  # noqa: ARG002
        wall_ns: int,  # noqa: ARG002
    ) -> list[Message]:
        """Return what tells a consumer that an announced sensor has fallen silent."""
        return []

    def session(
        self,
        context: FormatContext,  # noqa: ARG002 - for those who converse
        connection_number: int,  # noqa: ARG002
        wall_ns: int,  # noqa: ARG002
    ) -> Session | None:
        """Return the conversation of the next connection, None where messages just go out.

        ``connection_number`` grows by one with each CONNECT of this link, over restarts, too.
        """
        return None


class Growing(Generic[Piece]):
    """One message while readings are added to it: the pieces of its payload, and whose they are."""

    __slots__ = ("pieces", "positions")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.positions: list[int] = []


def finished(
    growing: Mapping[str, Growing[Piece]],
    batch: Batch,
    render: Callable[[list[Piece]], bytes],
    content_type: str,
) -> list[Message]:
    """Return the messages that have grown, by topic, in the order in which they began."""
    return [
        Message(
            topic=topic,
            payload=render(message.pieces),
            first=batch.first + message.positions[0],
            last=batch.first + message.positions[-1],
            count=len(message.positions),
            content_type=content_type,
            positions=message.positions,
        )
        for topic, message in growing.items()
    ]


def format_names() -> list[str]:
    """Return the names of the installed formats, ours and a lab's own alike."""
    return plugins.names(ENTRY_POINT_GROUP)


def format_class(name: str) -> type[Format]:
    """Return the format of that name, found by entry point. Raises ConfigError."""
    point = plugins.find(ENTRY_POINT_GROUP, name)
    if point is None:
        allowed = ", ".join(format_names())
        raise ConfigError("no such format", key="format", value=name, allowed=allowed)
    loaded: type[Format] = point.load()
    return loaded


def load_format(name: str, options: Mapping[str, Any] | None = None) -> Format:
    """Return a new instance of the format of that name.

    Raises ConfigError for an unknown name, ValidationError (pydantic) for wrong options.
    """
    cls = format_class(name)
    return cls(cls.Options.model_validate(dict(options or {})))


def render_topic(template: str, context: FormatContext, sensor: str = "") -> str:
    """Return the topic of one sensor. Raises ConfigError for an unknown placeholder."""
    topic = (
        template.replace("{tenant}", context.tenant)
        .replace("{gateway}", context.gateway)
        .replace("{sensor}", sensor)
    )
    if "{" in topic or "}" in topic:
        raise ConfigError(
            "unknown placeholder",
            key="topic",
            value=template,
            allowed="{tenant}, {gateway}, {sensor}",
        )
    return topic


class TimeText:
    """Writes wall time as RFC 3339 in UTC; remembers the minute, because most of it repeats."""

    def __init__(self, digits: int) -> None:
        self._unit_ns = ceil(NS_PER_S / 10**digits)
        self._digits = digits
        self._minute: int | None = None
        self._prefix = ""

    def __call__(self, wall_ns: int) -> str:
        """Return ``2026-11-22T09:00:00.125Z`` with so many digits as asked for, cut, not rounded.

        ``wall_ns`` is nanoseconds since 1970.
        """
        seconds, rest_ns = divmod(wall_ns, NS_PER_S)
        minute, second = divmod(seconds, S_PER_MINUTE)
        if minute != self._minute:
            year, month, day, hour, of_hour = gmtime(seconds)[:5]
            self._prefix = f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{of_hour:02d}:"
            self._minute = minute
        return f"{self._prefix}{second:02d}.{rest_ns // self._unit_ns:0{self._digits}d}Z"
