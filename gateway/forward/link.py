"""The link to one city broker: connects, forwards, and begins again after every end.

What a link promises (docs/architecture.md): nothing is settled before the broker acknowledged it;
whatever ends a connection, everything from the cursor on is sent again; accepted = acknowledged +
pending + dropped. "Handed to the library" is not sent.
"""

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.backoff import Backoff
from gateway.buffer import Reader
from gateway.clock import Clock
from gateway.config.model import BrokerSection
from gateway.errors import BrokerRefused, BrokerUnreachable
from gateway.forward.causes import BrokerError, disconnect_error
from gateway.forward.formats.base import Format, FormatContext, SeriesLookup, render_topic
from gateway.forward.mqtt import (
    MAX_WINDOW,
    Connection,
    ConnectionSettings,
    Will,
    open_connection,
)
from gateway.forward.outbox import Outbox
from gateway.forward.policy import Policy
from gateway.forward.properties import pack_properties
from gateway.forward.pump import Pump
from gateway.forward.refusals import Refusals
from gateway.forward.reports import STATUS_TOPIC, offline_payload, online_payload
from gateway.forward.stats import LinkStats
from gateway.forward.window import Parcel

__all__ = ["Link"]

STABLE_NS = 60_000_000_000
"""A connection that lasted so long resets the back-off."""
GOODBYE_TIMEOUT_S = 2.0
"""For the status ``offline`` to be acknowledged at a clean stop."""
TAKEN_OVER_PAUSE_S = 60.0
"""Somebody else uses our client id: never fight about it."""
LOOKS_PER_ACK_TIMEOUT = 10

log = logging.getLogger("citylab_gateway.forward")


class Link:
    """Forwards what one Reader is owed to one broker, for ever."""

    def __init__(  # noqa: PLR0913 - the daemon wires a link together here and nowhere else
        self,
        broker: BrokerSection,
        *,
        reader: Reader,
        series: SeriesLookup,
        identity: FormatContext,
        format: Format,  # noqa: A002 - the word of the configuration
        password: str | None,
        clock: Clock,
        status: Callable[[], Mapping[str, Any]],
    ) -> None:
        self.broker = broker
        self.reader = reader
        self.stats = LinkStats()
        self._series = series
        self._context = dataclasses.replace(identity, topic=broker.topic or format.topic)
        render_topic(self._context.topic, self._context)  # a wrong template fails here, not later
        self._format = format
        self._clock = clock
        self._status = status
        self._policy = Policy(broker.select, series)
        self._backoff = Backoff(max_s=broker.backoff_max)
        self._refusals = Refusals(max_pause_s=broker.backoff_max)
        self._status_topic = render_topic(STATUS_TOPIC, self._context)
        self._settings = self._connection_settings(password)
        self._warned_of = ""
        self._was_stable = False
        """The connection that ended last was up for a minute."""
        self._sent_to = -1
        """Last sequence that ever went out, to count what goes out again."""

    async def run(self) -> None:
        """Connect, forward, back off, for ever.

        On cancellation the status ``offline`` is published first, if that is possible in two
        seconds. Broker trouble never leaves here; anything else does, and means a defect.
        """
        try:
            while True:
                error = await self._connect_and_forward()
                if self._was_stable:
                    self._backoff.reset()
                self.stats.state = "refused" if isinstance(error, BrokerRefused) else "waiting"
                pause_s = self._backoff.next_s()
                await asyncio.sleep(
                    max(pause_s, TAKEN_OVER_PAUSE_S) if error.cause == "taken_over" else pause_s
                )
        finally:
            self.stats.state = "stopped"

    async def _connect_and_forward(self) -> BrokerError:
        """Return why there is no connection any more."""
        self.stats.state = "connecting"
        self._was_stable = False
        try:
            connection = await open_connection(self._settings)
        except (BrokerUnreachable, BrokerRefused) as failure:
            self._note(failure)
            return failure
        self.stats.connects += 1
        self.stats.state = "online"
        self._warned_of = ""
        up_ns = self._clock.now_ns()
        log.info("%s: link up (%s:%d)", self.broker.name, self.broker.host, self.broker.port)
        try:
            error = await self._forward(connection)
        finally:
            await connection.close()
            self.stats.in_flight = 0
            self.reader.rewind()
        self._was_stable = self._clock.now_ns() - up_ns >= STABLE_NS
        self._note(error)
        return error

    async def _forward(self, connection: Connection) -> BrokerUnreachable:
        outbox = Outbox(
            connection,
            broker=self.broker.name,
            reader=self.reader,
            refusals=self._refusals,
            context=self._context,
            stats=self.stats,
            in_flight=min(self.broker.in_flight, MAX_WINDOW),
            now_ns=self._clock.now_ns,
            sent_to=self._sent_to,
        )
        pump = Pump(
            outbox,
            broker=self.broker,
            reader=self.reader,
            policy=self._policy,
            encoder=self._format,
            series=self._series,
            context=self._context,
            packet_limit_bytes=connection.limits.maximum_packet_bytes,
        )
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(outbox.repeat_refused()),
                    group.create_task(self._renew_status(connection, outbox)),
                    group.create_task(pump.run()),
                ]
                error = await self._watch(connection, outbox)
                for task in tasks:
                    task.cancel()
        except asyncio.CancelledError:
            await self._say_goodbye(connection, outbox)
            raise
        finally:
            self._sent_to = max(self._sent_to, outbox.sent_to)
        return error

    async def _watch(self, connection: Connection, outbox: Outbox) -> BrokerUnreachable:
        """Return why the connection ended, or has to: an acknowledgement is overdue."""
        name, timeout_s = self.broker.name, self.broker.ack_timeout
        while True:
            await asyncio.wait({connection.ended}, timeout=timeout_s / LOOKS_PER_ACK_TIMEOUT)
            if connection.ended.done():
                code = connection.ended.result()
                self._refusals.connection_ended(code, outbox.window.parcels)
                return disconnect_error(name, code)
            if outbox.window.overdue(timeout_s):
                connection.abort()
                return BrokerUnreachable(name, "ack_timeout", f"none for {timeout_s:g} s")

    async def _renew_status(self, connection: Connection, outbox: Outbox) -> None:
        while True:
            now_ns = self._clock.wall_ns(self._clock.now_ns())
            payload = online_payload(self._context, now_ns, self._status())
            await outbox.post(self._status_parcel(connection, payload))
            await asyncio.sleep(self.broker.status_interval)

    async def _say_goodbye(self, connection: Connection, outbox: Outbox) -> None:
        now_ns = self._clock.wall_ns(self._clock.now_ns())
        payload = offline_payload(self._context, "stopped", now_ns)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_TIMEOUT_S):
                await outbox.window.room()
                await asyncio.wait({outbox.window.send(self._status_parcel(connection, payload))})
        await connection.disconnect()

    def _status_parcel(self, connection: Connection, payload: bytes) -> Parcel:
        return Parcel(
            topic=self._status_topic,
            payload=payload,
            properties=pack_properties("application/json", ()),
            retain=connection.limits.retain,
        )

    def _note(self, error: BrokerError) -> None:
        stats, cause = self.stats, error.cause
        stats.disconnects[cause] = stats.disconnects.get(cause, 0) + 1
        stats.last_error, stats.last_error_cause = str(error), cause
        # Once per trouble: a broker that is away for a week would fill the journal otherwise.
        level = logging.DEBUG if cause == self._warned_of else logging.WARNING
        log.log(level, "link down, nothing is lost: %s", error)
        self._warned_of = cause

    def _connection_settings(self, password: str | None) -> ConnectionSettings:
        broker = self.broker
        return ConnectionSettings(
            broker=broker.name,
            host=broker.host,
            port=broker.port,
            client_id=broker.client_id or f"citylab-{self._context.gateway}-{broker.name}",
            protocol_5=broker.protocol == "5",
            username=broker.username,
            password=password,
            tls=None if broker.insecure else broker.tls,
            will=Will(self._status_topic, offline_payload(self._context, "lost")),
            keepalive_s=broker.keepalive,
            connect_timeout_s=broker.connect_timeout,
        )
