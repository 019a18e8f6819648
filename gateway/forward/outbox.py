"""Accounts for every message of one connection: sent, refused, sent again, set aside, settled."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

from gateway.buffer import DropReason, Reader
from gateway.forward.causes import SUCCESS
from gateway.forward.formats.base import FormatContext, render_topic
from gateway.forward.mqtt import Connection
from gateway.forward.refusals import Refusals
from gateway.forward.reports import GAP_TOPIC, gap_payload
from gateway.forward.stats import LinkStats
from gateway.forward.window import Held, Parcel, Window

__all__ = ["Outbox"]

log = logging.getLogger("citylab_gateway.forward")


class Outbox:
    """Sends parcels through the window; settles a run of the ring when all of its parcels ended.

    A refused parcel is sent again after a pause, alone, while nothing new goes out; refused too
    often it is replaced by the report of a gap. Order within a series therefore holds, except
    that messages which were in flight behind a refused one arrive before its second attempt.
    """

    def __init__(  # noqa: PLR0913 - what one connection needs, each a part of its own
        self,
        connection: Connection,
        *,
        broker: str,
        reader: Reader,
        refusals: Refusals,
        context: FormatContext,
        stats: LinkStats,
        in_flight: int,
        now_ns: Callable[[], int],
        sent_to: int,
    ) -> None:
        self._broker = broker
        self._reader = reader
        self._refusals = refusals
        self._context = context
        self._stats = stats
        self._now_ns = now_ns
        self._full_limit = min(in_flight, connection.limits.receive_maximum)
        self._again: deque[Parcel] = deque()
        self._something_refused = asyncio.Event()
        self._nothing_refused = asyncio.Event()
        self._nothing_refused.set()
        self.sent_to = sent_to
        """Last sequence that ever went out, on this connection or before."""
        self._repeats_to = sent_to
        self.held_readings = 0
        """Read from the ring and not settled."""
        self.window = Window(
            connection, limit=self._full_limit, stats=stats, on_answer=self._on_answer
        )
        if refusals.careful_until >= reader.cursor:
            self.window.limit = 1

    def hold(
        self, first: int, last: int, *, unfinished: int, dropped: dict[DropReason, int]
    ) -> Held:
        """Take charge of a run of the ring that ends in ``unfinished`` parcels (0: settle now).

        ``dropped`` are the readings of it that go into no parcel.
        """
        held = Held(first, last, unfinished, 0, dropped)
        self.held_readings += last - first + 1
        if unfinished == 0:
            self._settle(held)
        return held

    async def post(self, parcel: Parcel) -> None:
        """Send when there is room and nothing refused is waiting for its next attempt."""
        while not (self._nothing_refused.is_set() and self.window.has_room):
            await self._nothing_refused.wait()
            await self.window.room()
        if parcel.holds_readings and self._refusals.has_ended_connections(parcel):
            parcel = self._set_aside(parcel, "it ended the connection")
        if parcel.holds_readings:
            if parcel.last <= self._repeats_to:
                self._stats.repeated_readings += parcel.count
            self.sent_to = max(self.sent_to, parcel.last)
        self.window.send(parcel)

    async def repeat_refused(self) -> None:
        """Send what was refused once more, one message at a time. Runs until cancelled."""
        while True:
            await self._something_refused.wait()
            while self._again:
                await asyncio.sleep(self._refusals.pause_s())
                await self.window.room()
                parcel = self._again.popleft()
                await asyncio.wait({self.window.send(parcel)})
            self._something_refused.clear()
            self._nothing_refused.set()

    def _on_answer(self, parcel: Parcel, code: int) -> None:
        if code in SUCCESS:
            self._stats.acknowledged_messages += 1
            self._stats.last_acknowledged_ns = self._now_ns()
            self._finish(parcel)
            if parcel.holds_readings:
                self._refusals.readings_accepted()
                if self._reader.cursor > self._refusals.careful_until:
                    self.window.limit = self._full_limit
            return
        self._stats.refused_messages += 1
        if not self._refusals.is_final(parcel, code):
            self._later(parcel)
        elif parcel.holds_readings:
            self._later(self._set_aside(parcel, f"reason code 0x{code:02X}"))
        else:
            if parcel.held is not None:
                log.error(
                    "%s: the broker refuses to hear of the gap %d to %d (reason code 0x%02X)",
                    self._broker,
                    parcel.first,
                    parcel.last,
                    code,
                )
            self._finish(parcel)

    def _later(self, parcel: Parcel) -> None:
        self.window.limit = 1
        self._again.append(parcel)
        self._nothing_refused.clear()
        self._something_refused.set()

    def _set_aside(self, parcel: Parcel, why: str) -> Parcel:
        """Return the report that takes the place of a message which the broker will not have."""
        log.error(
            "%s: refuses a message twice (%s); set aside: readings %d to %d, %d of them, topic %s",
            self._broker,
            why,
            parcel.first,
            parcel.last,
            parcel.count,
            parcel.topic,
        )
        report = self.gap(
            parcel.first,
            parcel.last,
            parcel.count,
            "rejected",
            epoch=parcel.epoch,
            sensors=parcel.sensors(),
        )
        report.held = parcel.held
        return report

    def gap(  # noqa: PLR0913 - the facts of a gap
        self,
        first: int,
        last: int,
        count: int,
        reason: DropReason,
        *,
        epoch: int | None = None,
        sensors: Sequence[str] = (),
        first_time_ns: int | None = None,
        last_time_ns: int | None = None,
    ) -> Parcel:
        """Return the parcel that tells the city about readings which will never come."""
        payload = gap_payload(
            self._context,
            first=first,
            last=last,
            count=count,
            reason=reason,
            epoch=epoch,
            sensors=sensors,
            first_time_ns=first_time_ns,
            last_time_ns=last_time_ns,
        )
        return Parcel(
            topic=render_topic(GAP_TOPIC, self._context),
            payload=payload,
            properties=b"\0",
            first=first,
            last=last,
            count=count,
            reason=reason,
            epoch=epoch,
        )

    def _finish(self, parcel: Parcel) -> None:
        held = parcel.held
        if held is not None and held.finish(parcel.count, parcel.reason):
            self._settle(held)

    def _settle(self, held: Held) -> None:
        self._reader.settle(
            held.first, held.last, acknowledged=held.acknowledged, dropped=held.dropped
        )
        self.held_readings -= held.last - held.first + 1
        self._refusals.settled_to(self._reader.cursor)
