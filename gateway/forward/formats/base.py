"""What every payload format shares: the message, what a format may know, and the contract."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from math import ceil
from time import gmtime
from typing import ClassVar, Generic, Protocol, TypeVar

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.errors import ConfigError
from gateway.reading import Series

__all__ = [
    "ENTRY_POINT_GROUP",
    "Format",
    "FormatContext",
    "Growing",
    "Message",
    "SeriesLookup",
    "TimeText",
    "finished",
    "load_format",
    "render_topic",
]

ENTRY_POINT_GROUP = "citylab_gateway.formats"
NS_PER_S = 1_000_000_000
Piece = TypeVar("Piece")
S_PER_MINUTE = 60

SeriesLookup = Callable[[int], Series]
"""Series id -> series; raises LookupError for an id that the catalogue does not know."""


@dataclass(frozen=True, slots=True)
class FormatContext:
    """Who is speaking: the part of a payload that no reading carries.

    ``locations`` holds the sensors that have a place of their own; the others stand where the
    gateway stands. ``topic`` is the topic template of the data messages.
    """

    tenant: str
    gateway: str
    location: Position | None = None
    locations: Mapping[str, Position] = field(default_factory=dict)
    topic: str = ""

    def location_of(self, sensor: str) -> Position | None:
        """Return where a sensor is, or None where nobody said."""
        return self.locations.get(sensor, self.location)


@dataclass(slots=True)
class Message:
    """One MQTT message and the readings that it holds.

    ``positions`` are indices into the batch, in ring order; ``first`` and ``last`` are the
    sequence numbers of the outermost ones (others between them may be in a neighbour message).
    """

    topic: str
    payload: bytes
    first: int
    last: int
    count: int
    content_type: str
    positions: list[int]


class Format(Protocol):
    """Turns readings into payloads: no input or output, no clock, the same answer each time.

    An instance belongs to one link and may keep what it worked out per series. A reading that
    cannot be carried is left out of all messages; the link reports it as rejected.
    """

    topic: ClassVar[str]
    """Default template of the data topic, with ``{tenant}``, ``{gateway}`` and ``{sensor}``."""
    schema: ClassVar[str]
    """What the payload follows; travels as the MQTT 5 user property ``schema``."""

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
    ) -> list[Message]:
        """Return the messages for the ``selected`` positions of ``batch``, oldest first."""
        ...


class Growing(Generic[Piece]):
    """One message while readings are added to it: the pieces of its payload, and whose they are."""

    __slots__ = ("pieces", "positions")

    def __init__(self) -> None:
        self.pieces: list[Piece] = []
        self.positions: list[int] = []


def finished(
    growing: Mapping[str, Growing[Piece]],
    batch: Batch,
    render: Callable[[list[Piece]], str],
    content_type: str,
) -> list[Message]:
    """Return the messages that have grown, by topic, in the order in which they began."""
    return [
        Message(
            topic=topic,
            payload=render(message.pieces).encode(),
            first=batch.first + message.positions[0],
            last=batch.first + message.positions[-1],
            count=len(message.positions),
            content_type=content_type,
            positions=message.positions,
        )
        for topic, message in growing.items()
    ]


def load_format(name: str) -> Format:
    """Return a new instance of the format of that name.

    Formats are found by entry point, ours and a lab's own alike. Raises ConfigError.
    """
    found = {point.name: point for point in entry_points(group=ENTRY_POINT_GROUP)}
    if name not in found:
        raise ConfigError(
            "no such format", key="format", value=name, allowed=", ".join(sorted(found))
        )
    instance: Format = found[name].load()()
    return instance


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
