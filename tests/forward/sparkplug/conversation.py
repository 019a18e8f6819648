"""A Sparkplug edge node in conversation: what a link does with format and session, no more.

Everything that crosses the line between gateway and broker is an ``Event``; ``rules`` judges them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.forward.formats.base import FormatContext, Message, SensorFacts, Session
from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions, wire
from gateway.forward.formats.sparkplug import payload as schema
from gateway.reading import Flag, Series, SeriesKey

__all__ = [
    "CONTEXT",
    "HOST",
    "START_MS",
    "EdgeNode",
    "Event",
    "Reading",
    "full_conversation",
    "rebirth_request",
    "state",
]

START_MS = 1_795_338_000_000
"""2026-11-22T09:00:00Z."""
OFFSET_NS = START_MS * 1_000_000
HOST = "scada-1"
CONTEXT = FormatContext(
    tenant="aarhus",
    gateway="dokk1-03",
    location=Position(lon=10.213, lat=56.153),
    topic="",
    sensors={
        "air-roof": SensorFacts(
            driver="sds011",
            title="Nova SDS011 particle sensor",
            domain="air",
            interval_s=1.0,
            privacy="P0",
        )
    },
    version="0.1.0",
)
Kind = Literal["connect", "subscribe", "publish", "lost", "hear", "silent", "disconnect"]


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    ``connect`` carries the will, ``lost`` is the broker publishing it, ``hear`` came from a host,
    ``silent`` names in ``topic`` a sensor that stopped; the rest is what it says.
    """

    kind: Kind
    time_ms: int
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    series: Series
    age_ms: float
    value: float
    flags: int = 0


@dataclass
class EdgeNode:
    """Drives one format over any number of connections; time stands still unless it is moved."""

    format: SparkplugB
    series: list[Series]
    context: FormatContext = CONTEXT
    connection_number: int = 0
    now_ms: int = START_MS
    events: list[Event] = field(default_factory=list)
    session: Session = field(default_factory=Session)
    waiting: list[Message] = field(default_factory=list)
    """Encoded and not sent."""
    send: Callable[[Event], None] = lambda event: None
    """Takes what is published, for those who have a broker."""

    @property
    def now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def note(self, kind: Kind, topic: str = "", payload: bytes = b"", **more: Any) -> Event:
        event = Event(kind, self.now_ms, topic, payload, **more)
        self.events.append(event)
        return event

    def connect(self) -> None:
        session = self.format.session(self.context, self.connection_number, self.now_ns)
        assert session is not None
        self.session, self.waiting = session, []
        self.connection_number += 1
        will = session.will
        assert will is not None
        self.note("connect", will.topic, will.payload, qos=1, retain=will.retain)
        for topic in session.subscriptions:
            self.note("subscribe", topic, qos=1)
        if session.begins_at_once:
            self.begin()

    def begin(self) -> None:
        self.post(self.session.greet(self.now_ns))
        for sensor in sorted({series.key.sensor for series in self.series}):
            self.announce(sensor)

    def announce(self, sensor: str) -> None:
        series = [one for one in self.series if one.key.sensor == sensor]
        self.post(self.format.announce(sensor, series, self.context, self.now_ns))

    def withdraw(self, sensor: str) -> None:
        self.note("silent", sensor)
        self.post(self.format.withdraw(sensor, self.context, self.now_ns))

    def encode(self, *readings: Reading, history: bool = False) -> None:
        by_id = {reading.series.id: reading.series for reading in readings}
        batch = Batch(
            epoch=1,
            boot=1,
            first=1,
            series=[reading.series.id for reading in readings],
            times_ns=[
                int((self.now_ms - reading.age_ms) * 1_000_000) - OFFSET_NS for reading in readings
            ],
            values=[reading.value for reading in readings],
            flags=[reading.flags for reading in readings],
            offset_ns=OFFSET_NS,
            synced=True,
        )
        self.waiting += self.format.encode(
            batch, range(len(batch)), by_id.__getitem__, self.context, history=history
        )

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.post(waiting)

    def data(self, *readings: Reading, history: bool = False) -> None:
        self.encode(*readings, history=history)
        self.flush()

    def post(self, messages: Sequence[Message]) -> None:
        for message in messages:
            payload = self.session.complete(message.payload)
            self.send(
                self.note(
                    "publish", message.topic, payload, qos=self.format.qos, retain=message.retain
                )
            )

    def hear(self, topic: str, payload: bytes) -> str:
        self.note("hear", topic, payload)
        heard = self.session.hear(topic, payload)
        if heard in ("begin", "begin-again"):
            self.begin()
        elif heard == "leave":
            self.end()
        return heard

    def end(self) -> None:
        self.post(self.session.leave(self.now_ns))
        self.note("disconnect")

    def lose(self) -> None:
        will = self.session.will
        assert will is not None
        self.note("lost", will.topic, will.payload, qos=1, retain=will.retain)


def state(*, online: bool, timestamp_ms: int) -> bytes:
    return json.dumps({"online": online, "timestamp": timestamp_ms}).encode()


def rebirth_request(*, value: bool = True) -> bytes:
    metric = (
        wire.blob(schema.NAME, b"Node Control/Rebirth")
        + wire.unsigned(schema.DATATYPE, schema.DataType.BOOLEAN)
        + wire.unsigned(schema.BOOLEAN_VALUE, int(value))
    )
    return wire.unsigned(schema.TIMESTAMP, START_MS) + wire.blob(schema.METRICS, metric)


PM25 = Series(1, SeriesKey("air-roof", "air.pm25"), "ug/m3")
AIR = Series(2, SeriesKey("air-roof", "air.temperature"), "Cel")
LATER = Series(3, SeriesKey("air-roof", "air.humidity", (), "mean"), "%")
CARS = Series(4, SeriesKey("radar", "traffic.count", (("lane", "1"),)), "{vehicle}")
JAM = Series(5, SeriesKey("radar", "traffic.congested"), "1")


def full_conversation(options: SparkplugOptions) -> list[Event]:
    """Return a whole life.

    Birth, data, rebirth, a silent sensor, a new series, hosts that come and go, a lost connection,
    numbers that wrap, and the end.
    """
    node = EdgeNode(SparkplugB(options), [PM25, AIR, CARS, JAM], connection_number=254)
    host = f"spBv1.0/STATE/{HOST}" if options.primary_host else ""
    command = "spBv1.0/aarhus/NCMD/dokk1-03"
    node.connect()
    if host:
        node.hear("spBv1.0/STATE/other", state(online=True, timestamp_ms=START_MS))
        node.hear(host, state(online=False, timestamp_ms=START_MS - 5000))
        node.now_ms += 700
        node.hear(host, state(online=True, timestamp_ms=START_MS - 9000))
        node.hear(host, state(online=True, timestamp_ms=START_MS))
    node.now_ms += 1000
    node.data(
        Reading(PM25, 400, 8.4),
        Reading(AIR, 400, -3.25),
        Reading(CARS, 300, 12),
        Reading(JAM, 900, 1),
        Reading(PM25, 399.9, 8.5),
        Reading(PM25, 399.8, 8.6, int(Flag.SPIKE)),
        Reading(PM25, 700, 8.3, int(Flag.RANGE)),
        Reading(AIR, 0, -3.5, int(Flag.STALE)),
    )
    node.data(Reading(PM25, 60_000, 7.0), Reading(CARS, 59_000, 3), history=True)
    node.now_ms += 1000
    node.encode(Reading(PM25, 10, 9.0), Reading(CARS, 10, 0))
    node.hear(command, rebirth_request())
    node.flush()
    node.now_ms += 1000
    node.withdraw("radar")
    node.now_ms += 5000
    node.announce("radar")
    node.data(Reading(CARS, 10, 4), Reading(JAM, 10, 0))
    node.series.append(LATER)
    node.announce("air-roof")
    for _ in range(300):
        node.now_ms += 100
        node.data(Reading(LATER, 5, 81.5))
    if host:
        node.hear(host, state(online=False, timestamp_ms=START_MS - 1))
        node.now_ms += 100
        node.data(Reading(PM25, 5, 8.0))
        node.hear(host, state(online=False, timestamp_ms=node.now_ms))
    else:
        node.lose()
    for _ in range(3):
        node.now_ms += 1000
        node.connect()
        if host:
            node.now_ms += 1000
            node.hear(host, state(online=True, timestamp_ms=node.now_ms))
        node.now_ms += 1000
        node.data(Reading(PM25, 20_000, 8.8), history=True)
        node.data(Reading(PM25, 5, 8.9))
        node.end()
    return node.events
