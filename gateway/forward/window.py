"""The messages that are on their way: how many there may be, and when one is overdue."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.buffer import DropReason
from gateway.forward.mqtt import Connection
from gateway.forward.stats import LinkStats

__all__ = ["Held", "Parcel", "Window"]


@dataclass(slots=True)
class Held:
    """A run of the ring that was read and is not settled: its messages are not all finished."""

    first: int
    last: int
    unfinished: int
    """Messages without an end yet."""
    acknowledged: int
    dropped: dict[DropReason, int]

    def finish(self, count: int, reason: DropReason | None) -> bool:
        """Note the end of one message (``reason`` None: acknowledged); say whether it was the last.

        A gap report for readings that are counted elsewhere has a ``count`` of 0.
        """
        self.unfinished -= 1
        if reason is None:
            self.acknowledged += count
        elif count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        return self.unfinished == 0


@dataclass(slots=True, kw_only=True)
class Parcel:
    """One message with all that is needed to send it, send it again, or account for it."""

    topic: str
    payload: bytes
    properties: bytes
    first: int = 0
    last: int = 0
    count: int = 0
    """Readings that the message stands for; 0 for a status."""
    reason: DropReason | None = None
    """None: readings or status. Otherwise the parcel reports these readings as a gap."""
    epoch: int | None = None
    sensors: Callable[[], Sequence[str]] = tuple
    """Whose readings these are; asked only when the broker will not have them."""
    held: Held | None = None
    """None for a status."""
    retain: bool = False
    refusals: int = 0

    @property
    def holds_readings(self) -> bool:
        """Neither a status nor a gap."""
        return self.held is not None and self.reason is None


class Window:
    """At most ``limit`` messages without acknowledgement on one connection.

    ``on_answer`` is called once for each message that the broker answered, with the reason code.
    A message that the connection took with it is answered never.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limit: int,
        stats: LinkStats,
        on_answer: Callable[[Parcel, int], None],
    ) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._stats = stats
        self._on_answer = on_answer
        self._sent: dict[asyncio.Future[int], tuple[Parcel, float]] = {}
        self._room = asyncio.Event()
        self._room.set()

    @property
    def limit(self) -> int:
        """How many messages may be in flight."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self._count()

    @property
    def has_room(self) -> bool:
        """Another message may be sent now."""
        return len(self._sent) < self._limit

    @property
    def parcels(self) -> list[Parcel]:
        """The messages in flight, oldest first."""
        return [parcel for parcel, _ in self._sent.values()]

    async def room(self) -> None:
        """Return when another message may be sent."""
        await self._room.wait()

    def send(self, parcel: Parcel) -> "asyncio.Future[int]":
        """Send now; the future ends after ``on_answer``, or is cancelled with the connection."""
        acknowledged = self._connection.send(
            parcel.topic, parcel.payload, retain=parcel.retain, properties=parcel.properties
        )
        self._sent[acknowledged] = (parcel, self._loop.time())
        self._stats.sent_messages += 1
        self._stats.sent_bytes += len(parcel.payload)
        self._count()
        acknowledged.add_done_callback(self._answered)
        return acknowledged

    def overdue(self, timeout_s: float) -> bool:
        """Say whether the oldest message has waited for longer than ``timeout_s``."""
        for _, sent_at in self._sent.values():
            return self._loop.time() - sent_at > timeout_s
        return False

    def _answered(self, acknowledged: "asyncio.Future[int]") -> None:
        if acknowledged.cancelled():
            return  # the connection is over; what was in flight is read from the ring again
        parcel, _ = self._sent.pop(acknowledged)
        self._count()
        self._on_answer(parcel, acknowledged.result())

    def _count(self) -> None:
        self._stats.in_flight = len(self._sent)
        if self.has_room:
            self._room.set()
        else:
            self._room.clear()
