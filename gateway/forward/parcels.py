"""Makes parcels of readings: encodes, keeps the broker's packet limit, adds the properties."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from gateway.buffer import Batch
from gateway.forward.formats.base import Format, FormatContext, Message, SeriesLookup
from gateway.forward.properties import pack_properties
from gateway.forward.window import Held, Parcel

__all__ = ["Packer"]

PACKET_OVERHEAD_BYTES = 16
"""Fixed header, length of the topic and packet id, generously."""


class Packer:
    """What turns batches and announcements into parcels on one connection."""

    def __init__(  # noqa: PLR0913 - what the broker allows, and what it is told
        self,
        encoder: Format,
        *,
        series: SeriesLookup,
        context: Callable[[], FormatContext],
        packet_limit_bytes: int | None,
        retain: bool,
        expiry_s: float | None,
    ) -> None:
        """``retain``: the broker takes retained messages. ``expiry_s`` is for readings."""
        self._format = encoder
        self._series = series
        self._context = context
        self._packet_limit_bytes = packet_limit_bytes or math.inf
        self._retain = retain
        self._expiry_s = None if expiry_s is None else math.ceil(expiry_s)

    def messages(
        self, batch: Batch, selected: Sequence[int], *, history: bool
    ) -> Iterator[Message]:
        """Yield the messages, halved until the broker takes their size.

        A single reading that is still too large is left out, and is reported as rejected.
        """
        if not selected:
            return
        context = self._context()
        for message in self._format.encode(batch, selected, self._series, context, history=history):
            if self._fits(batch, message):
                yield message
            elif message.count > 1:
                middle = message.count // 2
                yield from self.messages(batch, message.positions[:middle], history=history)
                yield from self.messages(batch, message.positions[middle:], history=history)

    def parcel(self, batch: Batch, message: Message, held: Held, *, history: bool) -> Parcel:
        """Return a message of readings with all that the outbox has to know of it."""
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
            retain=message.retain and self._retain,
            qos=self._format.qos,
            completes=True,
            is_history=history,
        )

    def introduction(self, message: Message) -> Parcel:
        """Return a message without readings: an announcement, a greeting or a goodbye."""
        gateway = ("gateway", self._context().gateway)
        return Parcel(
            topic=message.topic,
            payload=message.payload,
            properties=pack_properties(
                message.content_type, (gateway, ("schema", self._format.schema))
            ),
            retain=message.retain and self._retain,
            qos=self._format.qos,
            completes=True,
        )

    def _fits(self, batch: Batch, message: Message) -> bool:
        if math.isinf(self._packet_limit_bytes):
            return True
        parcel_bytes = len(message.payload) + len(message.topic.encode())
        overhead = len(self._properties(batch, message)) + PACKET_OVERHEAD_BYTES
        return parcel_bytes + overhead <= self._packet_limit_bytes

    def _sensors(self, batch: Batch, positions: Sequence[int]) -> list[str]:
        return sorted({self._series(batch.series[i]).key.sensor for i in positions})

    def _properties(self, batch: Batch, message: Message) -> bytes:
        return pack_properties(
            message.content_type,
            (
                ("gateway", self._context().gateway),
                ("epoch", str(batch.epoch)),
                ("from", str(message.first)),
                ("to", str(message.last)),
                ("schema", self._format.schema),
            ),
            expiry_s=self._expiry_s,
        )
