"""The link to one city broker: connects, forwards, and begins again after every end.

What a link promises (docs/architecture.md): nothing is settled before the broker acknowledged it;
whatever ends a connection, everything that is not settled is sent again; accepted = acknowledged +
pending + dropped. "Handed to the library" is not sent.
"""

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.backoff import Backoff
from gateway.buffer import Reader
from gateway.clock import Clock
from gateway.config.model import BrokerSection
from gateway.errors import BrokerRefused, BrokerUnreachable, ConfigError
from gateway.forward.announcer import SeriesOf
from gateway.forward.causes import BrokerError
from gateway.forward.certificates import CertificateWatch
from gateway.forward.connection_number import ConnectionNumber
from gateway.forward.conversation import Conversation
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    History,
    SeriesLookup,
    Session,
    render_topic,
)
from gateway.forward.gate import Pace
from gateway.forward.kept import Kept
from gateway.forward.mqtt import ConnectionSettings, Will, open_connection
from gateway.forward.policy import Policy, coarse
from gateway.forward.refusals import Refusals
from gateway.forward.reports import offline_payload
from gateway.forward.stats import LinkStats
from gateway.forward.time_fixes import TimeFixes

__all__ = ["Link", "connection_settings", "context_for"]

STABLE_NS = 60_000_000_000
"""A connection that lasted so long resets the back-off."""
TAKEN_OVER_PAUSE_S = 60.0
"""Somebody else uses our client id: never fight about it."""
NEVER_CONNECTED = frozenset({"dns", "refused", "unreachable"})
"""Causes of an attempt that sent nothing: a week of them writes no file a minute."""

log = logging.getLogger("citylab_gateway.forward")


class Link:
    """Forwards what one Reader is owed to one broker, for ever."""

    def __init__(  # noqa: PLR0913 - the daemon wires a link together here and nowhere else
        self,
        broker: BrokerSection,
        *,
        reader: Reader,
        series: SeriesLookup,
        series_of: SeriesOf,
        identity: FormatContext,
        format: Format,  # noqa: A002 - the word of the configuration
        password: str | None,
        clock: Clock,
        status: Callable[[], Mapping[str, Any]],
        directory: Path | None = None,
    ) -> None:
        """``directory``: for what a link keeps: doubtful times, and the number of connections.

        Raises ConfigError for a topic template or a treatment of history that cannot be.
        """
        self.broker = broker
        self.reader = reader
        self._format = format
        context = context_for(broker, format, identity)
        for template in (context.topic, broker.gap_topic, broker.time_fix_topic):
            render_topic(template, context)  # a wrong template fails here, not later
        self._kept = Kept(
            broker=broker,
            reader=reader,
            series=series,
            series_of=series_of,
            format=format,
            context=context,
            clock=clock,
            status=status,
            policy=Policy(broker.select, series, context.sensors),
            refusals=Refusals(max_pause_s=broker.backoff_max),
            pace=Pace(broker.history_rate),
            history=_history(broker, format),
            certificates=None if broker.insecure else CertificateWatch(broker.tls),
            began_ns=clock.now_ns(),
            fixes=_fixes(broker, reader, format, directory),
        )
        self.stats: LinkStats = self._kept.stats
        self._clock = clock
        self._backoff = Backoff(max_s=broker.backoff_max)
        will = Will(context.status_topic, offline_payload(context, "lost"))
        self._settings = connection_settings(
            broker,
            gateway=context.gateway,
            password=password,
            will=will if context.status_topic else None,
        )
        self._number = (
            ConnectionNumber(directory, broker.name)
            if directory is not None and type(format).session is not Format.session
            else None
        )
        self._conversation: Conversation | None = None
        self._warned_of = ""
        self._was_stable = False
        """The connection that ended last was up for a minute."""

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
                if error is None:
                    continue
                self.stats.state = "refused" if isinstance(error, BrokerRefused) else "waiting"
                pause_s = self._backoff.next_s()
                await asyncio.sleep(
                    max(pause_s, TAKEN_OVER_PAUSE_S) if error.cause == "taken_over" else pause_s
                )
        finally:
            self.stats.state = "stopped"
            if self._kept.fixes is not None:
                await self._kept.fixes.close()

    def update_context(self, identity: FormatContext) -> None:
        """Speak of other sensors and places from now on; the connection stays."""
        before, self._kept.context = (
            self._kept.context,
            context_for(self.broker, self._format, identity),
        )
        self._kept.policy.configure(self._kept.context.sensors)
        if self._conversation is not None and before != self._kept.context:
            self._conversation.context_changed(before)

    async def _connect_and_forward(self) -> BrokerError | None:
        """Return why there is no connection any more; None: to begin the next one at once."""
        self.stats.state = "connecting"
        self._was_stable = False
        if self._kept.fixes is not None:
            await self._kept.fixes.load()
        session = await self._session()
        conversation = Conversation(self._kept, session)
        settings = self._settings
        if session is not None:
            settings = dataclasses.replace(settings, receive=conversation.hear)
            if session.will is not None:
                will = session.will
                settings = dataclasses.replace(
                    settings, will=Will(will.topic, will.payload, retain=will.retain)
                )
        try:
            if self._kept.certificates is not None:
                await asyncio.to_thread(self._kept.certificates.changed)  # these are used now
            connection = await open_connection(settings)
        except (BrokerUnreachable, BrokerRefused) as failure:
            if self._number is not None and failure.cause in NEVER_CONNECTED:
                self._number.give_back()
            self._note(failure)
            return failure
        self.stats.connects += 1
        self.stats.state = "online"
        self._warned_of = ""
        up_ns = self._clock.now_ns()
        text = "%s: link up (%s:%d)"
        log.info(text, self.broker.name, self.broker.host, self.broker.port, extra={"audit": True})
        self._conversation = conversation
        try:
            error = await conversation.run(connection)
        finally:
            self._conversation = None
            await connection.close()
            conversation.close()
            self.stats.in_flight = 0
            self.reader.rewind()
        self._was_stable = self._clock.now_ns() - up_ns >= STABLE_NS
        if error is not None:
            self._note(error)
        return error

    async def _session(self) -> Session | None:
        if type(self._format).session is Format.session:
            return None
        number = 0 if self._number is None else await self._number.next()
        return self._format.session(self._kept.context, number, self._kept.wall_ns())

    def _note(self, error: BrokerError) -> None:
        stats, cause = self.stats, error.cause
        stats.disconnects[cause] = stats.disconnects.get(cause, 0) + 1
        stats.last_error, stats.last_error_cause = str(error), cause
        # Once per trouble: a broker that is away for a week would fill the journal otherwise.
        level = logging.DEBUG if cause == self._warned_of else logging.WARNING
        log.log(level, "link down, nothing is lost: %s", error, extra={"audit": True})
        self._warned_of = cause


def context_for(broker: BrokerSection, encoder: Format, identity: FormatContext) -> FormatContext:
    """Return what a format may know on one broker. Raises ConfigError for an unknown placeholder.

    ``identity`` is what the gateway knows of itself and its sensors.
    """
    context = dataclasses.replace(
        identity,
        topic=broker.topic or encoder.topic_template(),
        status_topic=render_topic(broker.status_topic, identity),
    )
    return coarse(context, broker.select)


def connection_settings(
    broker: BrokerSection, *, gateway: str, password: str | None, will: Will | None
) -> ConnectionSettings:
    """Return how to connect to a broker as the gateway of that id; nothing is received."""
    return ConnectionSettings(
        broker=broker.name,
        host=broker.host,
        port=broker.port,
        client_id=broker.client_id_of(gateway),
        protocol_5=broker.protocol == "5",
        username=broker.username,
        password=password,
        tls=None if broker.insecure else broker.tls,
        websocket_path=broker.websocket_path,
        will=will,
        keepalive_s=broker.keepalive,
        connect_timeout_s=broker.connect_timeout,
    )


def _fixes(
    broker: BrokerSection, reader: Reader, encoder: Format, directory: Path | None
) -> TimeFixes | None:
    """Return what mends times; None where nobody wants that, or no times are sent."""
    if not broker.time_fix_topic or _history(broker, encoder) == "latest":
        return None
    return TimeFixes(reader, directory, broker.name, broker.previous_name)


def _history(broker: BrokerSection, encoder: Format) -> History:
    chosen: History = broker.history or encoder.history
    if chosen != encoder.history and chosen not in encoder.histories:
        raise ConfigError(
            f"the format {broker.format!r} cannot do this",
            key=f"broker[{broker.name}].history",
            value=chosen,
            allowed=", ".join(encoder.histories),
        )
    return chosen
