"""Accounts for every message of one connection: sent, refused, sent again, set aside, settled."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from gateway.buffer import DropReason, Reader
from gateway.forward.causes import SUCCESS
from gateway.forward.formats.base import FormatContext, render_topic
from gateway.forward.gate import Gate, Share
from gateway.forward.mqtt import Connection
from gateway.forward.refusals import Refusals
from gateway.forward.reports import gap_payload
from gateway.forward.stats import LinkStats
from gateway.forward.window import Held, Parcel, Window

__all__ = ["Outbox"]

log = logging.getLogger("citylab_gateway.forward")


class Outbox:
    """Sends parcels through the window; settles a run of the ring when all of its parcels ended.

    A refused parcel is sent again after a pause, alone in its lane, while nothing new of this lane
    goes out; refused too often it is replaced by the report of a gap. Order within a series
    therefore holds within a lane, except that messages which were in flight behind a refused one
    arrive before its second attempt. A parcel that was on its way when an earlier connection ended
    without a reason goes out with nothing else beside it, so that the next end tells something.
    """

    def __init__(  # noqa: PLR0913 - what one connection needs, each a part of its own
        self,
        connection: Connection,
        *,
        in_flight: int,
        complete: Callable[[bytes], bytes] | None,
        broker: str,
        reader: Reader,
        refusals: Refusals,
        context: FormatContext,
        gap_topic: str,
        stats: LinkStats,
        now_ns: Callable[[], int],
        probe: Callable[[], Parcel] | None,
        proven_after_s: float,
    ) -> None:
        """``probe`` makes a harmless message, None: there is none.

        Then a connection that lasted for ``proven_after_s`` has answered a keep-alive instead.
        """
        limit = min(in_flight, connection.limits.receive_maximum)
        self.window = Window(
            connection, limit=limit, stats=stats, on_answer=self._on_answer, complete=complete
        )
        self.sent_unsettled = 0
        """Readings that went out and are not settled: the next connection sends them again."""
        self.alone_max_s: float | None = None
        """So long may a suspicious message hold up the others; None: there is no other lane."""
        self._broker = broker
        self._reader = reader
        self._refusals = refusals
        self._context = context
        self._gap_topic = render_topic(gap_topic, context)
        self._stats = stats
        self._now_ns = now_ns
        self._probe = probe
        self._loop = asyncio.get_running_loop()
        self._proven_at = self._loop.time() + proven_after_s
        self._alone: Parcel | None = None
        self._changed = asyncio.Event()
        self._is_open = False
        self.system = self.gate("system")

    def gate(
        self,
        lane: str,
        *,
        above: Sequence[Gate] = (),
        limit: int | None = None,
        share: Share | None = None,
    ) -> Gate:
        """Return a way in for a lane; ``lane`` is its name over all connections."""
        pause = self._refusals.pause(lane)
        return Gate(self.window, pause, above=above, limit=limit, share=share)

    def open(self) -> None:
        """Let data out; what introduces it has been sent."""
        self._is_open = True
        self._pulse()

    def shut(self) -> None:
        """Keep data back until ``open``."""
        self._is_open = False

    def hold(
        self, first: int, last: int, *, unfinished: int, dropped: dict[DropReason, int]
    ) -> Held:
        """Take charge of a run of the ring that ends in ``unfinished`` parcels (0: settle now).

        ``dropped`` are the readings of it that go into no parcel.
        """
        held = Held(first, last, unfinished, 0, dropped)
        if unfinished == 0:
            self._settle(held)
        return held

    async def post(self, parcel: Parcel, gate: Gate) -> None:
        """Send when it is the lane's turn and nothing refused of it waits for its next attempt."""
        parcel.gate = gate
        if self._refusals.suspects and self._refusals.suspect(parcel) is not None:
            await self._post_alone(parcel, gate)
            return
        if not self._may_go(gate):
            await self._turn(gate)
        self._send(parcel)

    async def repeat_refused(self, gate: Gate) -> None:
        """Send what was refused in a lane once more, one at a time. Runs until cancelled."""
        while True:
            await gate.something_refused.wait()
            while gate.refused:
                await asyncio.sleep(gate.pause.next_s())
                await self._turn(gate, repeats=True)
                await asyncio.wait({self._send(gate.refused.popleft())})
            gate.something_refused.clear()
            gate.is_shut = False
            self._pulse()

    async def say(self, parcels: Sequence[Parcel]) -> None:
        """Send the last words of a connection, whatever else waits; return when all are answered.

        The lanes must have stopped.
        """
        answers = set()
        for parcel in parcels:
            while not self.window.has_room:
                await self._changed.wait()
            answers.add(self.window.send(parcel))
        if answers:
            await asyncio.wait(answers)

    async def drained(self) -> None:
        """Return when nothing is on its way."""
        while self.window.in_flight:
            await self._changed.wait()

    def _may_go(self, gate: Gate, *, repeats: bool = False) -> bool:
        return (
            self._alone is None
            and gate.has_room
            and (repeats or not gate.is_shut)
            and (self._is_open or gate is self.system)
        )

    async def _turn(self, gate: Gate, *, repeats: bool = False) -> None:
        gate.waiting += 1
        try:
            while not self._may_go(gate, repeats=repeats):
                await self._changed.wait()
        finally:
            gate.waiting -= 1
            self._pulse()

    async def _post_alone(self, parcel: Parcel, gate: Gate) -> None:
        """Send a suspicious message: first prove the connection, then with nothing beside it."""
        await self._prove(self._refusals.proofs(parcel))
        await self._turn(gate)
        going: Parcel | None = parcel
        while going is not None and self._refusals.is_poison(going):
            going = self._instead(going, "the broker hangs up at it")
        if going is None:
            return
        going.gate = gate
        self._alone = going
        is_sent = False
        try:
            async with asyncio.timeout(self.alone_max_s):
                await self.drained()
                going.is_proven = self._is_proven(1)
                answered, is_sent = self._send(going), True
                await asyncio.wait({answered})
        except TimeoutError:  # the others have waited long enough
            if not is_sent:
                self._send(going)
        finally:
            self._alone = None
            self._pulse()

    def _is_proven(self, answers: int) -> bool:
        if self.window.acknowledged >= answers:
            return True
        return self._probe is None and self._loop.time() >= self._proven_at

    async def _prove(self, answers: int) -> None:
        """Return when the connection has carried so many messages, harmless ones if need be."""
        if self._probe is None:
            wait_s = self._proven_at - self._loop.time()
            if not self._is_proven(answers) and wait_s > 0:
                await asyncio.sleep(wait_s)
            return
        while not self._is_proven(answers):
            await self._turn(self.system)
            parcel = self._probe()
            parcel.gate = self.system
            await asyncio.wait({self._send(parcel)})

    def _send(self, parcel: Parcel) -> "asyncio.Future[int]":
        held, gate = parcel.held, parcel.gate
        if held is not None and parcel.reason is None and not parcel.refusals:
            held.sent += parcel.count
            self.sent_unsettled += parcel.count
            if parcel.is_history:
                self._stats.history_readings += parcel.count
        if gate is not None:
            gate.sent(parcel)
        return self.window.send(parcel)

    def _on_answer(self, parcel: Parcel, code: int, took_s: float) -> None:
        gate = parcel.gate
        if gate is not None:
            gate.answered(parcel, took_s)
        if code in SUCCESS:
            self._stats.acknowledged_messages += 1
            self._stats.last_acknowledged_ns = self._now_ns()
            self._refusals.accepted(parcel)
            self._finish(parcel, is_accepted=True)
            if gate is not None and (parcel.holds_readings or gate is self.system):
                gate.pause.reset()
                gate.careful = False
        else:
            self._stats.refused_messages += 1
            again: Parcel | None = parcel
            if self._refusals.is_final(parcel, code):
                again = self._instead(parcel, f"reason code 0x{code:02X}")
            if again is not None and gate is not None:
                again.gate = gate
                gate.shut(again)
        self._pulse()

    def _instead(self, parcel: Parcel, why: str) -> Parcel | None:
        """Return the report that takes the place of a message which the broker will not have.

        None if there is none: then the message is finished with.
        """
        if parcel.holds_readings:
            log.error(
                "%s: refuses a message again (%s); set aside: readings %d to %d, %d of them, "
                "topic %s",
                self._broker,
                why,
                parcel.first,
                parcel.last,
                parcel.count,
                parcel.topic,
            )
            sensors = parcel.sensors()
            report = self.gap(
                parcel.first,
                parcel.last,
                parcel.count,
                "rejected",
                epoch=parcel.epoch,
                sensors=sensors,
            )
            if report is None:
                self._finish(parcel, "rejected")
            else:
                report.held = parcel.held
            return report
        if parcel.held is not None:
            text = "%s: the broker will not hear of the gap %d to %d (%s)"
            log.error(text, self._broker, parcel.first, parcel.last, why)
        elif not parcel.is_status:
            text = "%s: the broker will not have the announcement on %s (%s)"
            log.warning(text, self._broker, parcel.topic, why)
        self._finish(parcel)
        return None

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
    ) -> Parcel | None:
        """Return the parcel that tells the city about readings which will never come.

        None where no topic is configured for that.
        """
        if not self._gap_topic:
            return None
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
            topic=self._gap_topic,
            payload=payload,
            properties=b"\0",
            first=first,
            last=last,
            count=count,
            reason=reason,
            epoch=epoch,
        )

    def _finish(
        self, parcel: Parcel, reason: DropReason | None = None, *, is_accepted: bool = False
    ) -> None:
        if parcel.on_finished is not None:
            parcel.on_finished(is_accepted)
        held = parcel.held
        if held is not None and held.finish(parcel.count, reason or parcel.reason):
            self._settle(held)

    def _settle(self, held: Held) -> None:
        self._reader.settle(
            held.first, held.last, acknowledged=held.acknowledged, dropped=held.dropped
        )
        self.sent_unsettled -= held.sent
        self._refusals.settled_to(self._reader.cursor)

    def _pulse(self) -> None:
        self._changed.set()
        self._changed.clear()
