"""The life of one connection: introduce, forward in lanes, keep the status, end well or badly."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.announcer import Announcer, announces, withdraws
from gateway.forward.causes import BrokerError, disconnect_error
from gateway.forward.formats.base import FormatContext, Message, Session, render_topic
from gateway.forward.kept import Kept
from gateway.forward.lanes import open_lanes
from gateway.forward.mqtt import MAX_WINDOW, Connection
from gateway.forward.outbox import Outbox
from gateway.forward.parcels import Packer
from gateway.forward.properties import pack_properties
from gateway.forward.reports import offline_payload, online_payload
from gateway.forward.time_fixes import TimeFixes, send_time_fixes
from gateway.forward.window import Parcel

__all__ = ["Conversation"]

GOODBYE_TIMEOUT_S = 2.0
"""For the status ``offline`` and the session's goodbye to be acknowledged at a clean stop."""
DRAIN_MAX_S = 10.0
"""For what is in flight to be acknowledged before an end that we want."""
LOOKS_PER_ACK_TIMEOUT = 10
SENSOR_LOOK_MAX_S = 5.0
"""Sensors that fell silent are noticed as fast as this, or as the status is renewed."""
CERTIFICATE_LOOK_MAX_S = 60.0
HANG_UP_MAX_S = 10.0
"""A connection that broke so soon after a message was not ended by a time-out of ours."""
KEEPALIVES_PROVEN = 2.0
"""A connection that lasted for so many keep-alives has answered one."""

Job = Coroutine[Any, Any, None]

log = logging.getLogger("citylab_gateway.forward")


class Conversation:
    """One connection with one broker, from before CONNECT to its end."""

    def __init__(self, kept: Kept, session: Session | None) -> None:
        self._kept = kept
        self._session = session
        self._tells_status = bool(kept.context.status_topic) and (
            session is None or session.will is None
        )
        self._over: asyncio.Future[BrokerError | None] = asyncio.get_running_loop().create_future()
        """Why we want the connection to end; None: to begin the next one at once."""
        self._begun = asyncio.Event()
        self._again = asyncio.Event()
        self._outbox: Outbox
        self._packer: Packer
        self._announcer: Announcer | None = None
        self._moved: asyncio.Queue[FormatContext] = asyncio.Queue(1)
        if session is None or session.begins_at_once:
            self._begun.set()

    def hear(self, topic: str, payload: bytes) -> None:
        """Take a message of a subscription."""
        heard = "nothing" if self._session is None else self._session.hear(topic, payload)
        if heard == "begin":
            self._begun.set()
        elif heard == "begin-again":
            self._begun.set()
            self._again.set()
        elif heard == "leave":
            name = self._kept.broker.name
            self._finish(BrokerUnreachable(name, "consumer_away", "the consumer has gone"))

    def context_changed(self, before: FormatContext) -> None:
        """Tell the broker what is not any more as it was ``before``."""
        if self._announcer is not None and self._moved.empty():  # else the oldest counts
            self._moved.put_nowait(before)

    async def run(self, connection: Connection) -> BrokerError | None:
        """Return why the connection ended; None: the link wants another one at once."""
        outbox = self._prepare(connection)
        try:
            async with asyncio.TaskGroup() as group:
                tasks: list[asyncio.Task[None]] = []

                def start(job: Job) -> None:
                    tasks.append(group.create_task(job))

                start(outbox.repeat_refused(outbox.system))
                start(self._talk(connection, outbox, start))
                error = await self._watch(connection, outbox)
                while tasks:  # none is known any more then: their errors know their frames
                    tasks.pop().cancel()
            if self._over.done():
                await self._part(connection, outbox)
        except asyncio.CancelledError:
            await self._say_goodbye(connection, outbox, "stopped")
            raise
        finally:
            self._kept.stats.repeated_readings += outbox.sent_unsettled
        return error

    def close(self) -> None:
        """Let go of what knows this object, so that all of it is free at once; see Connection.

        The connection must be closed.
        """
        self._announcer = None
        self._outbox.window.close()
        del self._outbox

    def _prepare(self, connection: Connection) -> Outbox:
        kept, broker = self._kept, self._kept.broker
        outbox = self._outbox = Outbox(
            connection,
            in_flight=min(broker.in_flight, MAX_WINDOW),
            complete=None if self._session is None else self._session.complete,
            broker=broker.name,
            reader=kept.reader,
            refusals=kept.refusals,
            context=kept.context,
            gap_topic=broker.gap_topic,
            stats=kept.stats,
            now_ns=kept.clock.now_ns,
            probe=(lambda: self._status_parcel(connection)) if self._tells_status else None,
            proven_after_s=KEEPALIVES_PROVEN * broker.keepalive,
        )
        self._packer = Packer(
            kept.format,
            series=kept.series,
            context=kept.current_context,
            packet_limit_bytes=connection.limits.maximum_packet_bytes,
            retain=connection.limits.retain,
            expiry_s=broker.message_expiry,
        )
        if announces(kept.format) or withdraws(kept.format):
            self._announcer = Announcer(
                kept.format,
                select=broker.select,
                series=kept.series,
                series_of=kept.series_of,
                context=kept.current_context,
                wall_ns=kept.wall_ns,
                post=self._tell,
            )
        return outbox

    async def _talk(
        self, connection: Connection, outbox: Outbox, start: Callable[[Job], None]
    ) -> None:
        """Subscribe, wait for the consumer if that is asked for, then start what forwards.

        In the caller's group: one of its own, ended from outside, would tie this frame and all that
        it knows into a circle with the error.
        """
        session = self._session
        if session is not None and session.subscriptions:
            try:
                await connection.subscribe(session.subscriptions)
            except (BrokerRefused, BrokerUnreachable) as error:
                self._finish(error)
                return
        await self._begun.wait()
        jobs: list[Job] = [self._introduce(outbox)]
        if self._tells_status:
            jobs.append(self._renew_status(connection, outbox))
        jobs += open_lanes(self._kept, outbox, self._packer, self._announcer)
        if self._announcer is not None:
            jobs += [self._look_at_sensors(self._announcer), self._follow(self._announcer)]
        if self._kept.certificates is not None:
            jobs.append(self._look_at_certificates())
        if self._kept.fixes is not None:
            jobs.append(self._mend_times(self._kept.fixes, outbox))
        for job in jobs:
            start(job)

    async def _introduce(self, outbox: Outbox) -> None:
        """Greet and announce, then let data out; again whenever the consumer asks for it."""
        while True:
            self._again.clear()
            outbox.shut()
            if self._session is not None:
                for message in self._session.greet(self._kept.wall_ns()):
                    await self._tell(message)
            if self._announcer is not None:
                await self._announcer.all()
            if not self._again.is_set():
                outbox.open()
                await self._again.wait()

    async def _watch(self, connection: Connection, outbox: Outbox) -> BrokerError | None:
        """Return why the connection ended, or has to: an acknowledgement is overdue, or we want."""
        kept, timeout_s = self._kept, self._kept.broker.ack_timeout
        ends: set[asyncio.Future[Any]] = {connection.ended, self._over}
        while True:
            await asyncio.wait(
                ends,
                timeout=timeout_s / LOOKS_PER_ACK_TIMEOUT,
                return_when=asyncio.FIRST_COMPLETED,
            )
            window = outbox.window
            if connection.ended.done():
                code = connection.ended.result()
                soon_s = min(HANG_UP_MAX_S, kept.broker.keepalive / 2)
                at_once = window.oldest_s <= soon_s
                kept.refusals.connection_ended(code, window.parcels, at_once=at_once)
                return disconnect_error(kept.broker.name, code)
            if self._over.done():
                return self._over.result()
            if window.overdue(timeout_s):
                connection.abort()
                kept.refusals.acquit()
                detail = f"none for {timeout_s:g} s"
                return BrokerUnreachable(kept.broker.name, "ack_timeout", detail)

    async def _renew_status(self, connection: Connection, outbox: Outbox) -> None:
        if self._kept.refusals.status_may_wait:
            await asyncio.sleep(self._kept.broker.status_interval)
        while True:
            await outbox.post(self._status_parcel(connection), outbox.system)
            await asyncio.sleep(self._kept.broker.status_interval)

    async def _look_at_sensors(self, announcer: Announcer) -> None:
        if not withdraws(self._kept.format):
            return
        kept = self._kept
        while True:
            await asyncio.sleep(min(kept.broker.status_interval, SENSOR_LOOK_MAX_S))
            age_s = (kept.clock.now_ns() - kept.began_ns) / 1e9
            await announcer.look(kept.status().get("sensors", {}), age_s)

    async def _follow(self, announcer: Announcer) -> None:
        """Tell what a new configuration changed."""
        while True:
            before = await self._moved.get()
            await announcer.changed(before)

    async def _look_at_certificates(self) -> None:
        kept, watch = self._kept, self._kept.certificates
        if watch is None:
            return
        while True:
            kept.stats.certificate_expires_s = await asyncio.to_thread(watch.expires_s)
            await asyncio.sleep(min(kept.broker.status_interval, CERTIFICATE_LOOK_MAX_S))
            if await asyncio.to_thread(watch.changed):
                text = "%s: the certificate files changed, connecting anew"
                log.info(text, kept.broker.name, extra={"audit": True})
                self._finish(None)

    async def _mend_times(self, fixes: TimeFixes, outbox: Outbox) -> None:
        kept = self._kept
        await send_time_fixes(
            fixes,
            outbox,
            topic=render_topic(kept.broker.time_fix_topic, kept.context),
            properties=pack_properties("application/json", ()),
            context=kept.current_context,
            wall_ns=kept.wall_ns,
            stats=kept.stats,
        )

    def _finish(self, error: BrokerError | None) -> None:
        if not self._over.done():
            self._over.set_result(error)

    async def _part(self, connection: Connection, outbox: Outbox) -> None:
        """End a connection because we want to: nothing that was sent stays unanswered."""
        patience_s = min(self._kept.broker.ack_timeout, DRAIN_MAX_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await _first(outbox.drained(), connection.ended)
        self._kept.refusals.acquit()
        reason = None if self._over.result() is None else "waiting"
        await self._say_goodbye(connection, outbox, reason)

    async def _say_goodbye(
        self, connection: Connection, outbox: Outbox, reason: str | None
    ) -> None:
        """Publish what there is to say at the end, and DISCONNECT, within two seconds or so.

        ``reason`` is told with the status ``offline``; None: the link is back in a moment.
        """
        kept, parcels = self._kept, []
        if self._session is not None and self._begun.is_set():
            leaving = self._session.leave(kept.wall_ns())
            parcels += [self._packer.introduction(message) for message in leaving]
        if reason is not None and self._tells_status and self._begun.is_set():
            payload = offline_payload(kept.context, reason, kept.wall_ns())
            parcels.append(self._status_parcel(connection, payload))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await outbox.say(parcels)
        await connection.disconnect()

    async def _tell(self, message: Message) -> None:
        outbox = self._outbox
        await outbox.post(self._packer.introduction(message), outbox.system)

    def _status_parcel(self, connection: Connection, payload: bytes | None = None) -> Parcel:
        kept = self._kept
        if payload is None:
            payload = online_payload(kept.context, kept.wall_ns(), kept.status())
        return Parcel(
            topic=kept.context.status_topic,
            payload=payload,
            properties=pack_properties("application/json", ()),
            retain=connection.limits.retain,
            is_status=True,
        )


async def _first(job: Coroutine[Any, Any, None], end: "asyncio.Future[int | None]") -> None:
    """Return when one of them is done."""
    task = asyncio.create_task(job)
    try:
        either: set[asyncio.Future[Any]] = {task, end}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
