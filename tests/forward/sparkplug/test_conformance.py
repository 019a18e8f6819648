"""A whole conversation keeps every rule, and every rule can be broken."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from gateway.forward.formats.sparkplug import SparkplugOptions, wire
from gateway.forward.formats.sparkplug import payload as schema
from gateway.forward.formats.sparkplug.payload import DataType, Metric, Payload, Property
from tests.forward.sparkplug.conversation import HOST, Event, full_conversation, state
from tests.forward.sparkplug.rules import RULES, Rule, Sent, Trace

OPTIONS = {
    "plain": SparkplugOptions(),
    "aliases": SparkplugOptions(aliases=True),
    "host": SparkplugOptions(primary_host=HOST),
}
TYPES = ("NBIRTH", "DBIRTH", "DDATA", "DDEATH", "NDEATH")
Change = Callable[[list[Event]], list[Event]]


@cache
def conversation(name: str) -> tuple[Event, ...]:
    return tuple(full_conversation(OPTIONS[name]))


def trace_of(name: str, events: list[Event]) -> Trace:
    options = OPTIONS[name]
    return Trace(events, primary_host=bool(options.primary_host), aliases=options.aliases)


@cache
def trace(name: str) -> Trace:
    return trace_of(name, list(conversation(name)))


@cache
def noticed(name: str, change: str) -> frozenset[str]:
    """Return the rules that a changed conversation breaks."""
    changed = trace_of(name, CHANGES[change](list(conversation(name))))
    return frozenset(
        tck_id
        for tck_id, rule in judged_by(name).items()
        if not all(right for right, _ in rule.check(changed))
    )


def judged_by(name: str) -> dict[str, Rule]:
    aliases, host = OPTIONS[name].aliases, bool(OPTIONS[name].primary_host)
    return {
        tck_id: rule
        for tck_id, rule in RULES.items()
        if host >= rule.needs_host
        and aliases >= rule.needs_aliases
        and not (aliases and rule.refuses_aliases)
    }


CASES = [(name, tck_id) for name in OPTIONS for tck_id in judged_by(name)]


@pytest.mark.parametrize(("name", "tck_id"), CASES, ids=["-".join(case) for case in CASES])
def test_the_edge_node_keeps_the_rule(name: str, tck_id: str) -> None:
    found = list(RULES[tck_id].check(trace(name)))
    assert found, f"nothing to look at: {RULES[tck_id].what}"
    assert [what for right, what in found if not right] == [], RULES[tck_id].what


# --- every rule can be broken ---------------------------------------------------------------
def encode(payload: Payload) -> bytes:
    """Write what was read, however wrong it has been made."""
    out = b"".join(wire.blob(schema.METRICS, encode_metric(metric)) for metric in payload.metrics)
    if payload.timestamp_ms is not None:
        out += wire.unsigned(schema.TIMESTAMP, payload.timestamp_ms)
    if payload.seq is not None:
        out += wire.unsigned(schema.SEQ, payload.seq)
    return out


def encode_metric(metric: Metric) -> bytes:
    out = b"" if metric.name is None else wire.blob(schema.NAME, metric.name.encode())
    for field, number in (
        (schema.ALIAS, metric.alias),
        (schema.METRIC_TIMESTAMP, metric.timestamp_ms),
        (schema.DATATYPE, metric.datatype),
        (schema.IS_HISTORICAL, metric.is_historical or None),
        (schema.IS_NULL, metric.is_null or None),
    ):
        out += b"" if number is None else wire.unsigned(field, int(number))
    out += schema.property_set(
        {
            key: (DataType(one.type), one.value)
            for key, one in metric.properties.items()
            if one.type is not None and one.value is not None
        }
    )
    kinds = {bool: DataType.BOOLEAN, int: DataType.INT64, float: DataType.DOUBLE}
    if metric.value is not None:
        kind = kinds.get(type(metric.value), DataType.STRING)
        out += schema.value_field(kind, metric.value)
    return out


def messages(change: Callable[[Event, Payload], Event], *types: str) -> Change:
    """Change each message of some types; a will counts as NDEATH."""

    def apply(events: list[Event]) -> list[Event]:
        out = []
        for at, event in enumerate(events):
            sent = Sent(event, at, 0)
            if event.kind in ("publish", "connect") and sent.type in types:
                assert sent.payload is not None
                event = change(event, sent.payload)  # noqa: PLW2901 - the changed one goes on
            out.append(event)
        return out

    return apply


def payloads(change: Callable[[Payload], Payload], *types: str) -> Change:
    return messages(lambda event, old: replace(event, payload=encode(change(old))), *types)


def metrics(change: Callable[[Metric], Metric], *types: str, name: str | None = None) -> Change:
    def apply(old: Payload) -> Payload:
        changed = [change(one) if name in (None, one.name) else one for one in old.metrics]
        return replace(old, metrics=tuple(changed))

    return payloads(apply, *types)


def without(*names: str, of: tuple[str, ...]) -> Change:
    return payloads(
        lambda old: replace(
            old, metrics=tuple(one for one in old.metrics if one.name not in names)
        ),
        *of,
    )


def dropped(unwanted: Callable[[Event], bool]) -> Change:
    return lambda events: [event for event in events if not unwanted(event)]


def sent_as(*types: str) -> Callable[[Event], bool]:
    return lambda event: event.kind == "publish" and event.topic.split("/")[2] in types


def doubled(unwanted: Callable[[Event], bool], after: Change) -> Change:
    """Repeat events with something changed."""

    def apply(events: list[Event]) -> list[Event]:
        return [
            one
            for event in events
            for one in ([event, *after([event])] if unwanted(event) else [event])
        ]

    return apply


def moved(change: Callable[[str], str], *types: str) -> Change:
    return messages(lambda event, _: replace(event, topic=change(event.topic)), *types)


def states(change: Callable[[Event], Event]) -> Change:
    return lambda events: [
        change(event) if event.kind == "hear" and "/STATE/" in event.topic else event
        for event in events
    ]


def late_birth(events: list[Event]) -> list[Event]:
    """Let the data that follows a birth come before it."""
    out = list(events)
    at = next(i for i, event in enumerate(out) if event.kind == "hear" and "/NCMD/" in event.topic)
    data = next(i for i in range(at, len(out)) if sent_as("DDATA")(out[i]))
    out.insert(at + 1, out.pop(data))
    return out


def data_first(events: list[Event]) -> list[Event]:
    out = list(events)
    birth = next(i for i, event in enumerate(out) if sent_as("NBIRTH")(event))
    data = next(i for i, event in enumerate(out) if sent_as("DDATA")(event))
    out.insert(birth, out.pop(data))
    return out


def plus(amount: int) -> Callable[[Payload], Payload]:
    return lambda old: replace(old, seq=None if old.seq is None else old.seq + amount)


def quality(one: Property) -> Callable[[Metric], Metric]:
    def apply(metric: Metric) -> Metric:
        return replace(metric, properties={"Quality": one}) if metric.properties else metric

    return apply


HALF_A_PROPERTY_SET = wire.blob(
    schema.METRICS, wire.blob(schema.PROPERTIES, wire.blob(schema.KEYS, b"Quality"))
)
STRANGE_PROPERTY = wire.blob(
    schema.METRICS,
    wire.blob(
        schema.PROPERTIES,
        wire.blob(schema.KEYS, b"Quality")
        + wire.blob(schema.VALUES, wire.unsigned(schema.PROPERTY_TYPE, 99)),
    ),
)
CHANGES: dict[str, Change] = {
    "a property of a strange type": messages(
        lambda event, _: replace(event, payload=STRANGE_PROPERTY), *TYPES
    ),
    "retained": messages(lambda event, _: replace(event, retain=True), *TYPES),
    "not retained at other QoS": messages(
        lambda event, _: replace(event, qos=1 - event.qos), *TYPES
    ),
    "wrong name space": moved(lambda topic: topic.replace("spBv1.0", "spAv1.0"), *TYPES),
    "wild group": moved(lambda topic: topic.replace("aarhus", "a+b"), *TYPES),
    "wild node": moved(lambda topic: topic.replace("dokk1-03", "#"), *TYPES),
    "wild device": moved(lambda topic: topic.replace("radar", "ra+dar"), *TYPES),
    "another group": moved(lambda topic: topic.replace("aarhus", "vejle"), "DBIRTH"),
    "one more level": moved(lambda topic: f"{topic}/x/y", *TYPES),
    "node messages with device": moved(lambda topic: f"{topic}/x", "NBIRTH", "NDEATH"),
    "device messages without": moved(
        lambda topic: topic.rpartition("/")[0], "DBIRTH", "DDATA", "DDEATH"
    ),
    "capitals": moved(lambda topic: topic.replace("radar", "Air-Roof"), "DDATA"),
    "no will": lambda events: [
        replace(event, topic="", payload=b"") if event.kind == "connect" else event
        for event in events
    ],
    "numbered death": payloads(lambda old: replace(old, seq=1), "NDEATH"),
    "talkative death": payloads(
        lambda old: replace(old, metrics=(*old.metrics, Metric(name="Reason"))), "NDEATH"
    ),
    "bdSeq stands still": metrics(lambda one: replace(one, value=7), "NDEATH", name="bdSeq"),
    "bdSeq of its own": metrics(lambda one: replace(one, value=7), "NBIRTH", name="bdSeq"),
    "no bdSeq": without("bdSeq", of=("NBIRTH", "NDEATH")),
    "no rebirth": without("Node Control/Rebirth", of=("NBIRTH",)),
    "rebirth at once": metrics(
        lambda one: replace(one, value=True), "NBIRTH", name="Node Control/Rebirth"
    ),
    "rebirth is a number": metrics(
        lambda one: replace(one, datatype=3), "NBIRTH", name="Node Control/Rebirth"
    ),
    "rebirth with alias": metrics(
        lambda one: replace(one, alias=9), "NBIRTH", name="Node Control/Rebirth"
    ),
    "no connection": dropped(lambda event: event.kind == "connect"),
    "never ends": dropped(lambda event: event.kind in ("disconnect", "lost")),
    "deaf": dropped(lambda event: event.kind == "subscribe"),
    "no node births": dropped(sent_as("NBIRTH")),
    "no device births": dropped(sent_as("DBIRTH")),
    "no device deaths": dropped(sent_as("DDEATH")),
    "no farewell": dropped(sent_as("NDEATH")),
    "no numbers": payloads(lambda old: replace(old, seq=None), *TYPES),
    "numbers from one": payloads(plus(1), "NBIRTH"),
    "numbers with gaps": payloads(lambda old: replace(old, seq=(old.seq or 0) * 2), *TYPES[1:4]),
    "no times": payloads(lambda old: replace(old, timestamp_ms=None), *TYPES),
    "times in seconds": payloads(
        lambda old: replace(
            old,
            timestamp_ms=(old.timestamp_ms or 0) // 1000,
            metrics=tuple(
                replace(one, timestamp_ms=(one.timestamp_ms or 0) // 1000) for one in old.metrics
            ),
        ),
        *TYPES,
    ),
    "metrics without time": metrics(lambda one: replace(one, timestamp_ms=None), *TYPES),
    "backwards": payloads(
        lambda old: replace(
            old,
            metrics=tuple(
                replace(one, timestamp_ms=(one.timestamp_ms or 0) - at)
                for at, one in enumerate(old.metrics)
            ),
        ),
        *TYPES,
    ),
    "no protobuf": messages(lambda event, _: replace(event, payload=b"{}"), *TYPES),
    "half a property set": messages(
        lambda event, _: replace(event, payload=HALF_A_PROPERTY_SET), *TYPES
    ),
    "nameless": metrics(lambda one: replace(one, name=None), *TYPES),
    "named": metrics(lambda one: replace(one, name=one.name or "x", datatype=10), "DDATA"),
    "untyped": metrics(lambda one: replace(one, datatype=None), *TYPES),
    "no such type": metrics(lambda one: replace(one, datatype=99), *TYPES),
    "no value and no null": metrics(lambda one: replace(one, value=None, is_null=False), *TYPES),
    "two names by case": payloads(
        lambda old: replace(
            old,
            metrics=(*old.metrics, *(replace(m, name=str(m.name).upper()) for m in old.metrics)),
        ),
        *TYPES[:2],
    ),
    "one alias for all": metrics(lambda one: replace(one, alias=1), "DBIRTH"),
    "aliases from nowhere": metrics(lambda one: replace(one, alias=77), "DDATA"),
    "wrong quality": metrics(quality(Property(DataType.INT32, 64)), *TYPES),
    "wrong type of quality": metrics(quality(Property(DataType.INT64, 192)), *TYPES),
    "data before the birth": late_birth,
    "data before everything": data_first,
    "another host": states(lambda event: replace(event, topic="spBv1.0/STATE/nobody")),
    "the host is away": states(
        lambda event: replace(event, payload=state(online=False, timestamp_ms=1))
    ),
    "stays": dropped(lambda event: event.kind in ("disconnect", "connect")),
    "left for an old word": doubled(
        lambda event: event.kind == "hear" and b"false" in event.payload,
        lambda events: [replace(events[0], kind="disconnect", topic="", payload=b"")],
    ),
}


@pytest.mark.timeout(60)  # the first of them judges for all
@pytest.mark.parametrize("tck_id", sorted(RULES))
def test_each_rule_notices_something(tck_id: str) -> None:
    rule = RULES[tck_id]
    name = "aliases" if rule.needs_aliases else "host" if rule.needs_host else "plain"
    assert any(tck_id in noticed(name, change) for change in CHANGES), rule.what


@pytest.mark.timeout(60)  # the first of them judges for all
@pytest.mark.parametrize("change", sorted(CHANGES))
def test_each_change_is_noticed(change: str) -> None:
    assert any(noticed(name, change) for name in OPTIONS)


def test_so_many_statements_are_checked() -> None:
    assert len(RULES) >= 100
