"""Topics and messages of a broker: what the real format makes of one made-up reading a series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from gateway.buffer import Batch
from gateway.cli.describe.leaving import Leaving
from gateway.forward import Message
from gateway.forward.formats import Session, load_format, render_topic
from gateway.forward.reports import (
    gap_payload,
    offline_payload,
    online_payload,
    time_fix_payload,
)
from gateway.reading import Series

__all__ = ["EXAMPLE_WALL_NS", "Channels", "Kind", "Sample", "channels"]

EXAMPLE_WALL_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z."""
EXAMPLE_BOOT_NS = 3_600_000_000_000
EXAMPLE_STEP_NS = 60_000_000_000
EXAMPLE_VALUE = 1.0
STEPS = (1, 2)
"""One reading a series; two for formats that only tell what lies between two."""

Kind = Literal["data", "announcement", "withdrawal", "session", "will", "status", "gap", "time-fix"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One message as it would go out."""

    kind: Kind
    message: Message
    qos: int
    sensors: tuple[str, ...] = ()
    """Whose readings are in it."""


@dataclass(frozen=True, slots=True)
class Channels:
    """Everything that passes between the gateway and one broker."""

    samples: tuple[Sample, ...]
    subscriptions: tuple[str, ...]
    carried: frozenset[int]
    """Ids of the series that the format can carry; the readings of the others are rejected."""
    will: Message | None = None
    by_topic: dict[str, list[Sample]] = field(default_factory=dict)


def channels(leaving: Leaving) -> Channels:
    """Return the samples of one broker, each kind of message once a topic."""
    encoder, context = leaving.format, leaving.context
    session = encoder.session(context, 1, EXAMPLE_WALL_NS)
    samples = list(_introductions(leaving, session))
    data, carried = _data(leaving, session)
    samples += [*data, *_endings(leaving, session)]
    will = session.will if session is not None else None
    if will is None:
        samples += _status(leaving)
        if context.status_topic:
            will = Message(context.status_topic, offline_payload(context, "lost"))
            will.retain, will.content_type = True, "application/json"
    else:
        samples.append(Sample("will", will, 1))
    samples += [*_gap(leaving), *_time_fix(leaving)]
    found = Channels(
        tuple(_once(samples)), session.subscriptions if session is not None else (), carried, will
    )
    for sample in found.samples:
        found.by_topic.setdefault(sample.message.topic, []).append(sample)
    return found


def _once(samples: Sequence[Sample]) -> Iterator[Sample]:
    """Yield the first sample of each kind and topic."""
    seen = set()
    for sample in samples:
        what = sample.kind, sample.message.topic
        if what not in seen:
            seen.add(what)
            yield sample


def _completed(session: Session | None, message: Message) -> Message:
    if session is not None:
        message.payload = session.complete(message.payload)
    return message


def _introductions(leaving: Leaving, session: Session | None) -> Iterator[Sample]:
    encoder, qos = leaving.format, leaving.format.qos
    for message in session.greet(EXAMPLE_WALL_NS) if session is not None else ():
        yield Sample("session", _completed(session, message), qos)
    for sensor in leaving.sensors:
        if not sensor.known:
            continue
        name = sensor.section.name
        for message in encoder.announce(name, sensor.series, leaving.context, EXAMPLE_WALL_NS):
            yield Sample("announcement", _completed(session, message), qos, (name,))


def _data(leaving: Leaving, session: Session | None) -> tuple[list[Sample], frozenset[int]]:
    """Return the data messages, and which series are in them."""
    series = {each.id: each for each in leaving.series}
    found: list[Sample] = []
    carried: set[int] = set()
    for steps in STEPS:
        batch = _batch(list(series), steps)
        # A fresh one each time: a format may remember what it saw of a series.
        encoder = load_format(leaving.broker.format, leaving.broker.options)
        for history in (False, True):
            for message in encoder.encode(
                batch, range(len(batch)), series.__getitem__, leaving.context, history=history
            ):
                ids = {batch.series[at] for at in message.positions}
                if not ids <= carried or history:
                    found.append(_sample(message, session, leaving.format.qos, ids, series))
                carried |= ids
        if carried == set(series):
            break
    return found, frozenset(carried)


def _sample(
    message: Message, session: Session | None, qos: int, ids: set[int], series: dict[int, Series]
) -> Sample:
    sensors = tuple(dict.fromkeys(series[each].key.sensor for each in sorted(ids)))
    return Sample("data", _completed(session, message), qos, sensors)


def _batch(ids: Sequence[int], steps: int) -> Batch:
    """Return ``steps`` readings of each series, a minute apart."""
    count = len(ids) * steps
    return Batch(
        epoch=1,
        boot=1,
        first=1,
        series=list(ids) * steps,
        times_ns=[EXAMPLE_BOOT_NS + step * EXAMPLE_STEP_NS for step in range(steps) for _ in ids],
        values=[EXAMPLE_VALUE] * count,
        flags=[0] * count,
        offset_ns=EXAMPLE_WALL_NS - EXAMPLE_BOOT_NS,
        synced=True,
    )


def _endings(leaving: Leaving, session: Session | None) -> Iterator[Sample]:
    encoder, qos = leaving.format, leaving.format.qos
    for sensor in leaving.sensors:
        if not sensor.known:
            continue
        name = sensor.section.name
        for message in encoder.withdraw(name, leaving.context, EXAMPLE_WALL_NS):
            yield Sample("withdrawal", _completed(session, message), qos, (name,))
    for message in session.leave(EXAMPLE_WALL_NS) if session is not None else ():
        yield Sample("session", _completed(session, message), qos)


def _status(leaving: Leaving) -> Iterator[Sample]:
    context = leaving.context
    if context.status_topic:
        yield Sample(
            "status",
            Message(
                topic=context.status_topic,
                payload=online_payload(context, EXAMPLE_WALL_NS, {"version": context.version}),
                content_type="application/json",
                retain=True,
            ),
            1,
        )


def _gap(leaving: Leaving) -> Iterator[Sample]:
    if leaving.broker.gap_topic:
        payload = gap_payload(leaving.context, first=1, last=2, count=2, reason="overwritten")
        topic = render_topic(leaving.broker.gap_topic, leaving.context)
        yield Sample("gap", Message(topic, payload, content_type="application/json"), 1)


def _time_fix(leaving: Leaving) -> Iterator[Sample]:
    broker = leaving.broker
    if broker.time_fix_topic and (broker.history or leaving.format.history) != "latest":
        payload = time_fix_payload(
            leaving.context,
            epoch=1,
            boot=1,
            first=1,
            last=2,
            correction_s=3600.0,
            bound_s=16.0,
            estimated=False,
            wall_ns=EXAMPLE_WALL_NS,
        )
        topic = render_topic(broker.time_fix_topic, leaving.context)
        yield Sample("time-fix", Message(topic, payload, content_type="application/json"), 1)
