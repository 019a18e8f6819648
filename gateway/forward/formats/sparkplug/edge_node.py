"""The format: readings to DDATA, sensors to DBIRTH and DDEATH, and a session per connection.

Metrics leave in chronological order within a message, and two readings of one series are never in
the same millisecond of one call: the later one moves to the next free one, because a host knows a
value by metric and millisecond. Time and sequence number of a payload are appended when it leaves
(session.py).
"""

from collections.abc import Callable, Sequence
from math import isfinite
from operator import attrgetter, itemgetter, le
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.buffer import Batch
from gateway.forward.formats.base import (
    Format,
    FormatContext,
    Growing,
    History,
    Message,
    SeriesLookup,
    finished,
)
from gateway.forward.formats.sparkplug import payload, wire
from gateway.forward.formats.sparkplug.births import (
    device_properties,
    named_metrics,
    node_properties,
)
from gateway.forward.formats.sparkplug.metrics import (
    Plan,
    plan_series,
    quality_properties,
)
from gateway.forward.formats.sparkplug.session import (
    CONTENT_TYPE,
    NS_PER_MS,
    EdgeSession,
    Memory,
)
from gateway.forward.formats.sparkplug.topics import NAMESPACE, EdgeTopics
from gateway.quantities import registry
from gateway.reading import Series

__all__ = ["SparkplugB", "SparkplugOptions"]

ID = r"^[^+/#\x00]{1,128}$"
"""What the specification allows as the id of a group, a node or a host."""
LOW_BITS = 14
"""Two bytes of a varint."""
OPENERS = tuple(wire.varint(payload.METRICS << 3 | wire.BYTES) + wire.varint(n) for n in range(256))
"""Key and length of a metric of the usual sizes."""

Known = tuple[int, bytes, int]
"""Time in ms, value field and flags of the newest reading of a series."""


class SparkplugOptions(BaseModel):
    """The table ``[broker.options]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str = Field(
        default="{tenant}",
        pattern=ID,
        description="Group id; utilities often have one per plant or district. "
        "{tenant} and {gateway} are replaced.",
        examples=["{tenant}", "Water North"],
    )
    edge: str = Field(
        default="{gateway}",
        pattern=ID,
        description="Edge node id, unique within the group. {tenant} and {gateway} are replaced.",
        examples=["{gateway}"],
    )
    primary_host: str = Field(
        default="",
        pattern=ID.replace("{1,", "{0,"),
        description="Id of the host application that must be online before anything is sent. "
        "Without it the gateway sends whenever the broker is there, and what no host "
        "listens to counts as delivered, because Sparkplug data is QoS 0.",
        examples=["scada-1"],
    )
    aliases: bool = Field(
        default=False,
        description="Numbers instead of names and data types in the data: smaller, and the letter "
        "of the specification, but not every host can read data that does not repeat the type.",
    )
    unit_property: str = Field(
        default="engUnit",
        min_length=1,
        max_length=64,
        description="Name of the property with the unit in births. The specification has none; "
        "engUnit is what Ignition shows.",
    )


class SparkplugB(Format):
    """An edge node of Sparkplug B 3.0: ``spBv1.0/{tenant}/DDATA/{gateway}/{sensor}``."""

    Options: ClassVar[type[BaseModel]] = SparkplugOptions
    topic: ClassVar[str] = f"{NAMESPACE}/{{tenant}}/DDATA/{{gateway}}/{{sensor}}"
    schema: ClassVar[str] = NAMESPACE
    content_type: ClassVar[str] = CONTENT_TYPE
    history: ClassVar[History] = "beside"
    histories: ClassVar[tuple[History, ...]] = ("beside", "in-order")
    qos: ClassVar[Literal[0, 1]] = 0

    def __init__(self, options: Any = None) -> None:
        super().__init__(options or SparkplugOptions())
        registry()  # a file: read here, not at the first reading
        self._memory = Memory()
        self._context: FormatContext | None = None
        self._topics: EdgeTopics | None = None
        self._plans: dict[int, Plan] = {}
        self._known: dict[int, Known] = {}
        self._qualities: dict[int, bytes] = {}
        self._time = _TimeField()

    def topic_template(self) -> str:
        """Return the data topic with the ids of the options."""
        return f"{NAMESPACE}/{self.options.group}/DDATA/{self.options.edge}/{{sensor}}"

    def session(self, context: FormatContext, connection_number: int, wall_ns: int) -> EdgeSession:
        """Return the conversation of the next connection."""
        return EdgeSession(
            self._of(context),
            connection_number=connection_number,
            primary_host=self.options.primary_host,
            properties=node_properties(context),
            memory=self._memory,
            wall_ns=wall_ns,
        )

    def announce(
        self, sensor: str, series: Sequence[Series], context: FormatContext, wall_ns: int
    ) -> list[Message]:
        """Return DBIRTH with every metric: its last known value, or null."""
        topics = self._of(context)
        self._memory.now_ms = now_ms = wall_ns // NS_PER_MS
        metrics = [(now_ms, named_metrics(device_properties(sensor, context), now_ms))]
        if not self.options.aliases:  # of two with one name, in another unit, the later
            series = list({one.key: one for one in sorted(series, key=attrgetter("id"))}.values())
        for found in series:
            plan = self._plan(found, topics)
            time_ms, value, flags = self._known.get(found.id, (now_ms, None, 0))
            metric = payload.metric_field(
                plan.identity,
                time_ms,
                plan.datatype,
                value,
                payload.property_set({**plan.unit, **quality_properties(flags)}),
            )
            metrics.append((time_ms, metric))
        birth = Message(topic=topics.device("DBIRTH", sensor), payload=_in_order(metrics))
        birth.content_type = CONTENT_TYPE
        return [birth]

    def withdraw(self, sensor: str, context: FormatContext, wall_ns: int) -> list[Message]:
        """Return DDEATH, which has nothing but its time and number."""
        topics = self._of(context)
        self._memory.now_ms = wall_ns // NS_PER_MS
        topic = topics.device("DDEATH", sensor)
        return [Message(topic=topic, payload=b"", content_type=CONTENT_TYPE)]

    def encode(
        self,
        batch: Batch,
        selected: Sequence[int],
        series: SeriesLookup,
        context: FormatContext,
        *,
        history: bool = False,
    ) -> list[Message]:
        """Return one DDATA per sensor; ``history`` marks every metric of it as historical."""
        topics = self._of(context)
        times_ns = [batch.times_ns[i] for i in selected]
        in_order = all(map(le, times_ns, times_ns[1:]))
        if not in_order:
            selected = sorted(selected, key=batch.times_ns.__getitem__)
        seen: dict[int, Known] = {}
        growing = self._metrics(
            batch, selected, lambda at: self._plan(series(at), topics), seen, history=history
        )
        if not in_order:
            for target in growing.values():
                target.positions.sort()
        for series_id, newest in seen.items():
            if not history or self._known.get(series_id, newest)[0] <= newest[0]:
                self._known[series_id] = newest
        if seen and batch.synced and not history:
            self._memory.now_ms = max(newest[0] for newest in seen.values())
        return finished(growing, batch, _in_order, CONTENT_TYPE)

    def _metrics(
        self,
        batch: Batch,
        selected: Sequence[int],
        plan_of: Callable[[int], Plan],
        seen: dict[int, Known],
        *,
        history: bool,
    ) -> dict[str, Growing[tuple[int, bytes]]]:
        """Return the metrics by topic with their times; ``selected`` is in order of time."""
        plans, qualities, time_field = self._plans, self._qualities, self._time
        ids, times_ns, values, flags = batch.series, batch.times_ns, batch.values, batch.flags
        offset_ns = batch.offset_ns
        doubt = batch.doubt
        growing: dict[str, Growing[tuple[int, bytes]]] = {}
        for i in selected:
            value = values[i]
            time_ms = (times_ns[i] + offset_ns) // NS_PER_MS
            if not isfinite(value) or time_ms < 0:
                continue
            series_id = ids[i]
            plan = plans.get(series_id) or plan_of(series_id)
            data = plan.write(value)
            if not data:
                continue
            before = seen.get(series_id)
            if before is not None and time_ms <= before[0]:
                time_ms = before[0] + 1
            mark = flags[i] | doubt
            seen[series_id] = (time_ms, data, mark)
            if mark:
                data = (qualities.get(mark) or self._quality(mark)) + data
            body = plan.head + time_field(time_ms) + plan.tails[history] + data
            size = len(body)
            opener = OPENERS[size] if size < len(OPENERS) else _opener(size)
            target = growing.get(plan.topic)
            if target is None:
                target = growing[plan.topic] = Growing()
            target.pieces.append((time_ms, opener + body))
            target.positions.append(i)
        return growing

    def _of(self, context: FormatContext) -> EdgeTopics:
        """Return the topics; plans belong to one context, known values to none."""
        if context is not self._context or self._topics is None:
            self._topics = EdgeTopics.of(context.topic or self.topic_template(), context)
            self._context, self._plans = context, {}
        return self._topics

    def _plan(self, found: Series, topics: EdgeTopics) -> Plan:
        plan = self._plans.get(found.id)
        if plan is None:
            plan = self._plans[found.id] = plan_series(
                found,
                topics.device("DDATA", found.key.sensor),
                aliases=self.options.aliases,
                unit_property=self.options.unit_property,
            )
        return plan

    def _quality(self, flags: int) -> bytes:
        properties = payload.property_set(quality_properties(flags))
        self._qualities[flags] = properties
        return properties


class _TimeField:
    """Writes a time as varint; remembers the upper bits, which change every 16 s."""

    __slots__ = ("_high", "_high_bytes")

    def __init__(self) -> None:
        self._high = 0
        self._high_bytes = b""

    def __call__(self, time_ms: int) -> bytes:
        high = time_ms >> LOW_BITS
        if not high:
            return wire.varint(time_ms)
        if high != self._high:
            self._high, self._high_bytes = high, wire.varint(high)
        return bytes((time_ms & 0x7F | 0x80, time_ms >> 7 & 0x7F | 0x80)) + self._high_bytes


def _opener(size: int) -> bytes:
    return wire.varint(payload.METRICS << 3 | wire.BYTES) + wire.varint(size)


def _in_order(metrics: list[tuple[int, bytes]]) -> bytes:
    metrics.sort(key=itemgetter(0))
    return b"".join([metric for _, metric in metrics])
