"""Moves readings from the ring into the outbox: when to read, and what a batch becomes."""

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import partial

from gateway.buffer import Batch, DropReason, Gap, Reader
from gateway.config.model import BrokerSection
from gateway.forward.formats.base import Format, FormatContext, Message, SeriesLookup
from gateway.forward.outbox import Outbox
from gateway.forward.policy import Policy
from gateway.forward.properties import pack_properties
from gateway.forward.window import Held, Parcel

__all__ = ["Pump"]

LOOKS_PER_LINGER = 10
"""How often a batch that is filling up is looked at; a full one leaves at the next look."""
PACKET_OVERHEAD_BYTES = 16
"""Fixed header, length of the topic and packet id, generously."""


class Pump:
    """Reads, applies the policy, encodes and posts, for the life of one connection."""

    def __init__(  # noqa: PLR0913 - the stations on the way of a reading
        self,
        outbox: Outbox,
        *,
        broker: BrokerSection,
        reader: Reader,
        policy: Policy,
        encoder: Format,
        series: SeriesLookup,
        context: FormatContext,
        packet_limit_bytes: int | None,
    ) -> None:
        self._outbox = outbox
        self._broker = broker
        self._reader = reader
        self._policy = policy
        self._format = encoder
        self._series = series
        self._context = context
        self._packet_limit_bytes = packet_limit_bytes or math.inf
        self._loop = asyncio.get_running_loop()
        self._last_batch_at = -math.inf

    async def run(self) -> None:
        """Forward until cancelled."""
        while True:
            await self._reader.wait()
            await self._fill()
            run = await self._reader.read(self._broker.batch_readings)
            if run is None:
                continue
            self._last_batch_at = self._loop.time()
            if isinstance(run, Gap):
                await self._report(run)
            else:
                await self._forward(run)

    async def _fill(self) -> None:
        """Return when a batch is full, or when the one before it is ``linger`` ago.

        So the first reading after a quiet time leaves at once, and a busy link sends at most one
        partial batch per ``linger``.
        """
        linger_s = self._broker.linger
        while True:
            wait_s = self._last_batch_at + linger_s - self._loop.time()
            if wait_s <= 0 or self._unread() >= self._broker.batch_readings:
                return
            await asyncio.sleep(min(wait_s, linger_s / LOOKS_PER_LINGER))

    def _unread(self) -> int:
        return self._reader.pending - self._outbox.held_readings

    async def _report(self, gap: Gap) -> None:
        count = gap.last - gap.first + 1
        held = self._outbox.hold(gap.first, gap.last, unfinished=1, dropped={})
        parcel = self._outbox.gap(
            gap.first,
            gap.last,
            count,
            gap.reason,
            first_time_ns=gap.first_time_ns,
            last_time_ns=gap.last_time_ns,
        )
        parcel.held = held
        await self._outbox.post(parcel)

    async def _forward(self, batch: Batch) -> None:
        selected, unknown = self._policy.select(batch)
        messages = list(self._fitting(batch, selected))
        carried = sum(message.count for message in messages)
        lost: dict[DropReason, int] = {"corrupt": unknown, "rejected": len(selected) - carried}
        lost = {reason: count for reason, count in lost.items() if count}
        withheld = len(batch) - len(selected) - unknown
        held = self._outbox.hold(
            batch.first,
            batch.last,
            unfinished=len(messages) + len(lost),
            dropped={"policy": withheld} if withheld else {},
        )
        for message in messages:
            await self._outbox.post(self._parcel(batch, message, held))
        for reason, count in lost.items():
            report = self._outbox.gap(batch.first, batch.last, count, reason, epoch=batch.epoch)
            report.held = held
            await self._outbox.post(report)

    def _fitting(self, batch: Batch, selected: Sequence[int]) -> Iterator[Message]:
        """Yield the messages, halved until the broker takes their size.

        A single reading that is still too large is left out, and is reported as rejected.
        """
        if not selected:
            return
        for message in self._format.encode(batch, selected, self._series, self._context):
            parcel_bytes = len(message.payload) + len(message.topic.encode())
            overhead = len(self._properties(batch, message)) + PACKET_OVERHEAD_BYTES
            if parcel_bytes + overhead <= self._packet_limit_bytes:
                yield message
            elif message.count > 1:
                middle = message.count // 2
                yield from self._fitting(batch, message.positions[:middle])
                yield from self._fitting(batch, message.positions[middle:])

    def _parcel(self, batch: Batch, message: Message, held: Held) -> Parcel:
        return Parcel(
            topic=message.topic,
            payload=message.payload,
            properties=self._properties(batch, message),
            first=message.first,
            last=message.last,
            count=message.count,
            epoch=batch.epoch,
            sensors=partial(self._sensors, batch, message.positions),
            held=held,
        )

    def _sensors(self, batch: Batch, positions: Sequence[int]) -> list[str]:
        return sorted({self._series(batch.series[i]).key.sensor for i in positions})

    def _properties(self, batch: Batch, message: Message) -> bytes:
        return pack_properties(
            message.content_type,
            (
                ("gateway", self._context.gateway),
                ("epoch", str(batch.epoch)),
                ("from", str(message.first)),
                ("to", str(message.last)),
                ("schema", self._format.schema),
            ),
        )
