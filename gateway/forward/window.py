"""The messages that are on their way: how many there may be, and when one is overdue."""

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gateway.buffer import DropReason
from gateway.forward.causes import SUCCESS
from gateway.forward.mqtt import Connection
from gateway.forward.stats import LinkStats

if TYPE_CHECKING:
    from gateway.forward.gate import Gate

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
    sent: int = 0
    """Readings that went out."""

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
    """Readings that the message stands for; 0 for a status or an announcement."""
    reason: DropReason | None = None
    """None: no gap. Otherwise the parcel reports these readings as a gap."""
    epoch: int | None = None
    sensors: Callable[[], Sequence[str]] = tuple
    """Whose readings these are; asked only when the broker will not have them."""
    held: Held | None = None
    """None for a status or an announcement."""
    gate: "Gate | None" = None
    """The lane in which it goes out; set when it is posted."""
    retain: bool = False
    qos: Literal[0, 1] = 1
    completes: bool = False
    """The payload is completed by the session when it leaves."""
    is_status: bool = False
    is_history: bool = False
    """Readings that piled up before the connection."""
    on_finished: Callable[[bool], None] | None = None
    """Called when the broker took it, or when it is given up."""
    refusals: int = 0
    is_proven: bool = False
    """Sent with nothing else on its way, on a connection that had acknowledged something else."""

    @property
    def holds_readings(self) -> bool:
        """Neither a status nor an announcement nor a gap."""
        return self.held is not None and self.reason is None


class Window:
    """At most ``limit`` messages without acknowledgement on one connection.

    ``on_answer`` is called once for each message that the broker answered, with the reason code
    and the seconds that it took. A message that the connection took with it is answered never.
    ``complete`` gives the payload its last touch in the order in which the messages leave.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        limit: int,
        stats: LinkStats,
        on_answer: Callable[[Parcel, int, float], None],
        complete: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._stats = stats
        self._on_answer = on_answer
        self._complete = complete
        self._sent: dict[asyncio.Future[int], tuple[Parcel, float]] = {}
        self.limit = limit
        self.acknowledged = 0
        """Messages that the broker took on this connection."""
        self.fastest_s = math.inf
        """The shortest time that an answer took: the way there and back without a queue."""

    @property
    def in_flight(self) -> int:
        """How many messages are not answered."""
        return len(self._sent)

    @property
    def has_room(self) -> bool:
        """Another message may be sent now."""
        return len(self._sent) < self.limit

    @property
    def parcels(self) -> list[Parcel]:
        """The messages in flight, oldest first."""
        return [parcel for parcel, _ in self._sent.values()]

    def send(self, parcel: Parcel) -> "asyncio.Future[int]":
        """Send now; the future ends after ``on_answer``, or is cancelled with the connection."""
        payload = parcel.payload
        if parcel.completes and self._complete is not None:
            payload = self._complete(payload)
        acknowledged = self._connection.send(
            parcel.topic,
            payload,
            retain=parcel.retain,
            properties=parcel.properties,
            qos=parcel.qos,
        )
        self._sent[acknowledged] = (parcel, self._loop.time())
        stats = self._stats
        stats.sent_messages += 1
        stats.sent_bytes += len(payload)
        stats.in_flight = len(self._sent)
        acknowledged.add_done_callback(self._answered)
        return acknowledged

    def close(self) -> None:
        """Forget everything and everybody: the connection is over, and no answer comes any more."""
        self._sent.clear()
        self._on_answer = _nobody

    def overdue(self, timeout_s: float) -> bool:
        """Say whether the oldest message has waited for longer than ``timeout_s``."""
        return self.oldest_s > timeout_s

    @property
    def oldest_s(self) -> float:
        """Seconds that the oldest message in flight has waited, 0 without one."""
        for _, sent_at in self._sent.values():
            return self._loop.time() - sent_at
        return 0.0

    def _answered(self, acknowledged: "asyncio.Future[int]") -> None:
        if acknowledged.cancelled():
            return  # the connection is over; what was in flight is read from the ring again
        parcel, sent_at = self._sent.pop(acknowledged)
        took_s = self._loop.time() - sent_at
        self.fastest_s = min(self.fastest_s, took_s)
        self._stats.in_flight = len(self._sent)
        code = acknowledged.result()
        if code in SUCCESS and parcel.qos:
            self.acknowledged += 1
        self._on_answer(parcel, code, took_s)


def _nobody(parcel: Parcel, code: int, took_s: float) -> None:
    """Take an answer for nobody."""
