"""The testable statements of Sparkplug 3.0 for edge nodes, by tck-id, judged on a conversation.

The official TCK is an extension of one broker and runs against a person's clicks; this is what it
looks at, over ``Event`` lists. A rule yields what it looked at and whether that was right. Not
here: templates and data sets (not sent), what only the CONNECT packet shows (clean session:
test_mqtt.py), uniqueness across a city, and "only changed values" (a SHOULD; a filter's business).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from gateway.forward.formats.sparkplug.payload import Metric, Payload, decode_payload
from tests.forward.sparkplug.conversation import HOST, Event

__all__ = ["RULES", "Rule", "Sent", "Trace"]

Found = Iterator[tuple[bool, str]]
ONE_HOUR_MS = 3_600_000
NODE_TYPES = ("NBIRTH", "NDEATH")
DEVICE_TYPES = ("DBIRTH", "DDATA", "DDEATH")
BIRTHS = ("NBIRTH", "DBIRTH")
COUNTED = ("NBIRTH", *DEVICE_TYPES)
BASIC_TYPES = range(1, 15)
ALL_TYPES = range(1, 35)
INT32, INT64, BOOLEAN = 3, 4, 11


@dataclass(frozen=True)
class Sent:
    """One message of the edge node; ``payload`` is None where it is no Sparkplug payload."""

    event: Event
    at: int
    connection: int

    @cached_property
    def levels(self) -> list[str]:
        return self.event.topic.split("/")

    @property
    def type(self) -> str:
        return self.levels[2] if len(self.levels) > 2 else ""

    @property
    def device(self) -> str:
        return self.levels[4] if len(self.levels) > 4 else ""

    @cached_property
    def payload(self) -> Payload | None:
        try:
            return decode_payload(self.event.payload, max_bytes=1 << 20, max_metrics=10_000)
        except ValueError:
            return None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.payload.metrics if self.payload else ()

    def metric(self, name: str) -> Metric:
        return next((metric for metric in self.metrics if metric.name == name), Metric())

    def __str__(self) -> str:
        return f"{self.at}: {self.event.topic} {self.payload}"


@dataclass(frozen=True)
class Trace:
    events: list[Event]
    primary_host: bool = False
    aliases: bool = False
    sent: list[Sent] = field(init=False)
    wills: list[Sent] = field(init=False)

    def __post_init__(self) -> None:
        sent, wills, connection = [], [], -1
        for at, event in enumerate(self.events):
            connection += event.kind == "connect"
            if event.kind == "publish":
                sent.append(Sent(event, at, connection))
            elif event.kind == "connect":
                wills.append(Sent(event, at, connection))
        object.__setattr__(self, "sent", sent)
        object.__setattr__(self, "wills", wills)

    def of(self, *types: str) -> list[Sent]:
        return [sent for sent in self.sent if sent.type in types]

    def will_of(self, sent: Sent) -> Sent | None:
        return next((will for will in self.wills if will.connection == sent.connection), None)


@dataclass(frozen=True)
class Rule:
    what: str
    check: Callable[[Trace], Found]
    needs_host: bool = False
    needs_aliases: bool = False
    refuses_aliases: bool = False


RULES: dict[str, Rule] = {}


def rule(
    what: str, *ids: str, host: bool = False, aliases: bool = False, names: bool = False
) -> Callable[[Callable[[Trace], Found]], Callable[[Trace], Found]]:
    def keep(check: Callable[[Trace], Found]) -> Callable[[Trace], Found]:
        for tck_id in ids:
            assert tck_id not in RULES
            RULES[tck_id] = Rule(what, check, host, aliases, names)
        return check

    return keep


def each(
    what: str, types: tuple[str, ...], right: Callable[[Sent], bool], *ids: str, **where: bool
) -> None:
    """Add a rule for every message of some types."""

    def check(trace: Trace) -> Found:
        for sent in trace.of(*types):
            yield right(sent), str(sent)

    rule(what, *ids, **where)(check)


def each_metric(
    what: str, types: tuple[str, ...], right: Callable[[Metric], bool], *ids: str, **where: bool
) -> None:
    """Add a rule for every metric of messages of some types."""

    def check(trace: Trace) -> Found:
        for sent in trace.of(*types):
            for metric in sent.metrics:
                yield right(metric), f"{sent.at}: {metric}"

    rule(what, *ids, **where)(check)


def topic(*levels: str) -> Callable[[Sent], bool]:
    def right(sent: Sent) -> bool:
        wanted = ["spBv1.0", "aarhus", sent.type, "dokk1-03", *levels]
        return sent.levels[: len(wanted)] == wanted and len(sent.levels) == 4 + bool(sent.device)

    return right


def is_valid(level: int) -> Callable[[Sent], bool]:
    return lambda sent: not set("+#/") & set(sent.levels[level]) and sent.levels[level] != ""


# --- topics ---------------------------------------------------------------------------------
each(
    "namespace/group/type/edge[/device]",
    (*NODE_TYPES, *DEVICE_TYPES, ""),
    lambda sent: len(sent.levels) in (4, 5) and "" not in sent.levels,
    "topic-structure",
)
each(
    "the name space is spBv1.0",
    (*NODE_TYPES, *DEVICE_TYPES),
    lambda sent: sent.levels[0] == "spBv1.0",
    "topic-structure-namespace-a",
)
each("no + # / in the group", COUNTED, is_valid(1), "topic-structure-namespace-valid-group-id")
each("no + # / in the node", COUNTED, is_valid(3), "topic-structure-namespace-valid-edge-node-id")
each(
    "no + # / in the device",
    DEVICE_TYPES,
    is_valid(-1),
    "topic-structure-namespace-valid-device-id",
)
each(
    "a device level for device messages",
    DEVICE_TYPES,
    lambda sent: len(sent.levels) == 5,
    "topic-structure-namespace-device-id-associated-message-types",
)
each(
    "no device level for node messages",
    NODE_TYPES,
    lambda sent: len(sent.levels) == 4,
    "topic-structure-namespace-device-id-non-associated-message-types",
)
for name, ids in {
    "NBIRTH": ("topics-nbirth-topic", "message-flow-edge-node-birth-publish-nbirth-topic"),
    "NDEATH": ("topics-ndeath-topic",),
    "DBIRTH": ("topics-dbirth-topic", "message-flow-device-birth-publish-dbirth-topic"),
    "DDATA": ("topics-ddata-topic",),
    "DDEATH": ("topics-ddeath-topic",),
}.items():
    each(f"topic of {name}", (name,), topic(), *ids)


@rule(
    "DBIRTH has the group and node of the NBIRTH before it",
    "message-flow-device-birth-publish-dbirth-match-edge-node-topic",
)
def _match(trace: Trace) -> Found:
    births = trace.of("NBIRTH")
    for sent in trace.of("DBIRTH"):
        before = [birth for birth in births if birth.at < sent.at]
        same = before and (before[-1].levels[1], before[-1].levels[3])
        yield same == (sent.levels[1], sent.levels[3]), str(sent)


@rule("ids that differ only in case", "case-sensitivity-sparkplug-ids")
def _ids_by_case(trace: Trace) -> Found:
    ids = {sent.device for sent in trace.sent if sent.device}
    yield len({one.lower() for one in ids}) == len(ids), str(ids)


@rule("metric names that differ only in case", "case-sensitivity-metric-names")
def _names_by_case(trace: Trace) -> Found:
    for sent in trace.of(*BIRTHS):
        names = [str(metric.name) for metric in sent.metrics]
        yield len({one.lower() for one in names}) == len(names), str(names)


# --- QoS and retain -------------------------------------------------------------------------
for name, ids in {
    "NBIRTH": ("payloads-nbirth-qos", "message-flow-edge-node-birth-publish-nbirth-qos"),
    "DBIRTH": ("payloads-dbirth-qos", "message-flow-device-birth-publish-dbirth-qos"),
    "DDATA": ("payloads-ddata-qos",),
}.items():
    each(f"{name} at QoS 0", (name,), lambda sent: sent.event.qos == 0, *ids)
for name, ids in {
    "NBIRTH": ("payloads-nbirth-retain", "message-flow-edge-node-birth-publish-nbirth-retained"),
    "DBIRTH": ("payloads-dbirth-retain", "message-flow-device-birth-publish-dbirth-retained"),
    "DDATA": ("payloads-ddata-retain",),
}.items():
    each(f"{name} not retained", (name,), lambda sent: not sent.event.retain, *ids)
for name in COUNTED:
    each(
        f"{name} at QoS 0, not retained",
        (name,),
        lambda sent: sent.event.qos == 0 and not sent.event.retain,
        f"topics-{name.lower()}-mqtt",
    )


# --- the will -------------------------------------------------------------------------------
def _each_will(what: str, right: Callable[[Sent], bool], *ids: str) -> None:
    def check(trace: Trace) -> Found:
        for will in trace.wills:
            yield right(will), str(will)

    rule(what, *ids)(check)


_each_will(
    "CONNECT has an NDEATH as its will",
    lambda will: will.type == "NDEATH",
    "message-flow-edge-node-birth-publish-will-message",
    "payloads-ndeath-will-message",
)
_each_will("topic of the will", topic(), "message-flow-edge-node-birth-publish-will-message-topic")
_each_will(
    "the will is a Sparkplug payload",
    lambda will: will.payload is not None and will.metrics != (),
    "message-flow-edge-node-birth-publish-will-message-payload",
)
_each_will(
    "the will at QoS 1",
    lambda will: will.event.qos == 1,
    "message-flow-edge-node-birth-publish-will-message-qos",
    "payloads-ndeath-will-message-qos",
)
_each_will(
    "the will not retained",
    lambda will: not will.event.retain,
    "message-flow-edge-node-birth-publish-will-message-will-retained",
    "payloads-ndeath-will-message-retain",
)


def _bd_seq(sent: Sent | None) -> object:
    metric = sent.metric("bdSeq") if sent else Metric()
    return metric.value if metric.datatype == INT64 else None


@rule(
    "bdSeq of the will: Int64, one more with each CONNECT, 0 after 255",
    "message-flow-edge-node-birth-publish-will-message-payload-bdSeq",
    "topics-nbirth-bdseq-increment",
)
def _bd_seq_grows(trace: Trace) -> Found:
    for before, after in pairwise(trace.wills):
        old, new = _bd_seq(before), _bd_seq(after)
        right = isinstance(old, int) and isinstance(new, int) and new == (old + 1) % 256
        yield right, f"{old} -> {new}"


@rule(
    "NDEATH and NBIRTH have the bdSeq of the will of their connection",
    "topics-nbirth-bdseq-matching",
    "payloads-nbirth-bdseq-repeat",
    "payloads-ndeath-bdseq",
    "message-flow-edge-node-birth-publish-nbirth-payload-bdSeq",
)
def _bd_seq_matches(trace: Trace) -> Found:
    for sent in trace.of(*NODE_TYPES):
        value = _bd_seq(sent)
        yield value is not None and value == _bd_seq(trace.will_of(sent)), str(sent)


def _deaths(trace: Trace) -> list[Sent]:
    return trace.wills + trace.of("NDEATH")


@rule("NDEATH without a number", "payloads-ndeath-seq", "topics-ndeath-seq")
def _death_is_not_counted(trace: Trace) -> Found:
    for sent in _deaths(trace):
        yield sent.payload is not None and sent.payload.seq is None, str(sent)


@rule("NDEATH has bdSeq and nothing else", "topics-ndeath-payload")
def _death_has_one_metric(trace: Trace) -> Found:
    for sent in _deaths(trace):
        yield [metric.name for metric in sent.metrics] == ["bdSeq"], str(sent)


# --- the session ----------------------------------------------------------------------------
@rule("connected before anything is published", "message-flow-edge-node-birth-publish-connect")
def _connected(trace: Trace) -> Found:
    connected = False
    for event in trace.events:
        if event.kind in ("connect", "disconnect", "lost"):
            connected = event.kind == "connect"
        if event.kind == "publish":
            yield connected, event.topic


@rule(
    "NCMD is subscribed at QoS 1 before the birth of each connection",
    "message-flow-edge-node-ncmd-subscribe",
)
def _listens(trace: Trace) -> Found:
    for will in trace.wills:
        follow = trace.events[will.at + 1 :]
        kinds = [event.kind for event in follow]
        upto = kinds.index("publish") if "publish" in kinds else len(kinds)
        wanted = ("subscribe", "spBv1.0/aarhus/NCMD/dokk1-03", 1)
        told = {(event.kind, event.topic, event.qos) for event in follow[:upto]}
        yield wanted in told, str(told)


@rule("the first message of a connection is NBIRTH", "principles-birth-certificates-order")
def _birth_is_first(trace: Trace) -> Found:
    for connection in {sent.connection for sent in trace.sent}:
        first = next(sent for sent in trace.sent if sent.connection == connection)
        yield first.type == "NBIRTH", str(first)


@rule(
    "an intended end has NDEATH, then DISCONNECT",
    "payloads-ndeath-will-message-publisher",
    "payloads-ndeath-will-message-publisher-disconnect-mqtt311",
    "operational-behavior-edge-node-intentional-disconnect-ndeath",
    "operational-behavior-edge-node-intentional-disconnect-packet",
)
def _says_goodbye(trace: Trace) -> Found:
    for before, event in pairwise(trace.events):
        if event.kind == "disconnect":
            yield "/NDEATH/" in before.topic, before.topic
        if event.kind == "connect":
            yield before.kind in ("disconnect", "lost"), before.kind


# --- numbers --------------------------------------------------------------------------------
each(
    "a number in every message but NDEATH",
    COUNTED,
    lambda sent: sent.payload is not None and sent.payload.seq is not None,
    "payloads-sequence-num-always-included",
)
each(
    "NBIRTH has number 0",
    ("NBIRTH",),
    lambda sent: sent.payload is not None and sent.payload.seq == 0,
    "topics-nbirth-seq-num",
    "payloads-nbirth-seq",
    "payloads-sequence-num-req-nbirth",
    "message-flow-edge-node-birth-publish-nbirth-payload-seq",
)
for name, ids in {
    "DBIRTH": ("payloads-dbirth-seq",),
    "DDATA": ("payloads-ddata-seq",),
    "DDEATH": ("payloads-ddeath-seq", "payloads-ddeath-seq-number"),
}.items():
    each(
        f"{name} has a number",
        (name,),
        lambda sent: sent.payload is not None and sent.payload.seq in range(256),
        *ids,
    )


def _one_more(types: tuple[str, ...]) -> Callable[[Trace], Found]:
    def check(trace: Trace) -> Found:
        for before, sent in pairwise(trace.of(*COUNTED)):
            if sent.type in types and sent.payload and before.payload:
                wanted = ((before.payload.seq or 0) + 1) % 256
                yield sent.payload.seq == wanted, f"{before.payload.seq} then {sent}"

    return check


for name, ids in {
    "DBIRTH": (
        "payloads-dbirth-seq-inc",
        "topics-dbirth-seq",
        "message-flow-device-birth-publish-dbirth-payload-seq",
    ),
    "DDATA": ("payloads-ddata-seq-inc", "topics-ddata-seq-num"),
    "DDEATH": ("payloads-ddeath-seq-inc", "topics-ddeath-seq-num"),
}.items():
    rule(f"{name}: one more than the message before, 0 after 255", *ids)(_one_more((name,)))
rule("one more than the message before, 0 after 255", "payloads-sequence-num-incrementing")(
    _one_more(DEVICE_TYPES)
)


# --- times ----------------------------------------------------------------------------------
def _is_now(sent: Sent) -> bool:
    """The time of publishing: the gateway knows it to a second, see docs."""
    told = sent.payload.timestamp_ms if sent.payload else None
    return told is not None and abs(told - sent.event.time_ms) <= 1000


for name, ids in {
    "NBIRTH": ("payloads-nbirth-timestamp", "topics-nbirth-timestamp"),
    "DBIRTH": ("payloads-dbirth-timestamp", "topics-dbirth-timestamp"),
    "DDATA": ("payloads-ddata-timestamp", "topics-ddata-timestamp"),
    "DDEATH": ("payloads-ddeath-timestamp",),
}.items():
    each(f"{name} has the time of publishing", (name,), _is_now, *ids)
each("payload times are UTC in ms", COUNTED, _is_now, "payloads-timestamp-in-UTC")
each_metric(
    "a time in every metric",
    (*BIRTHS, "DDATA"),
    lambda metric: metric.timestamp_ms is not None,
    "payloads-name-birth-data-requirement",
)


@rule("metric times are UTC in ms", "payloads-metric-timestamp-in-UTC")
def _metric_times(trace: Trace) -> Found:
    for sent in trace.of(*BIRTHS, "DDATA"):
        for metric in sent.metrics:
            age_ms = sent.event.time_ms - (metric.timestamp_ms or 0)
            yield -1000 <= age_ms < ONE_HOUR_MS, str(metric)


def _chronological(*types: str) -> Callable[[Trace], Found]:
    def check(trace: Trace) -> Found:
        for sent in trace.of(*types):
            times = [one.timestamp_ms or 0 for one in sent.metrics if not one.is_historical]
            yield times == sorted(times), str(sent)

    return check


rule("NBIRTH in order of time", "operational-behavior-data-publish-nbirth-order")(
    _chronological("NBIRTH")
)
rule("DBIRTH and DDATA in order of time", "operational-behavior-data-publish-dbirth-order")(
    _chronological("DBIRTH", "DDATA")
)

# --- births ---------------------------------------------------------------------------------
for name, ids in {
    "NBIRTH": ("message-flow-edge-node-birth-publish-nbirth-payload",),
    "DBIRTH": ("message-flow-device-birth-publish-dbirth-payload",),
}.items():
    each(f"{name} is a Sparkplug payload", (name,), lambda sent: sent.payload is not None, *ids)


def _is_whole(metric: Metric) -> bool:
    has_value = metric.value is not None
    return bool(metric.name) and metric.datatype is not None and has_value != metric.is_null


for name in BIRTHS:
    each_metric(
        f"{name}: name, data type, and value or is_null",
        (name,),
        _is_whole,
        f"topics-{name.lower()}-metrics",
        f"operational-behavior-data-publish-{name.lower()}-values",
    )
each(
    "NBIRTH has bdSeq",
    ("NBIRTH",),
    lambda sent: _bd_seq(sent) in range(256),
    "topics-nbirth-bdseq-included",
    "payloads-nbirth-bdseq",
)
each(
    "NBIRTH has Node Control/Rebirth",
    ("NBIRTH",),
    lambda sent: sent.metric("Node Control/Rebirth").name is not None,
    "operational-behavior-data-commands-rebirth-name",
)
each(
    "which is a Boolean",
    ("NBIRTH",),
    lambda sent: sent.metric("Node Control/Rebirth").datatype == BOOLEAN,
    "operational-behavior-data-commands-rebirth-datatype",
)
each(
    "and false",
    ("NBIRTH",),
    lambda sent: sent.metric("Node Control/Rebirth").value is False,
    "operational-behavior-data-commands-rebirth-value",
    "topics-nbirth-rebirth-metric",
    "payloads-nbirth-rebirth-req",
)
each(
    "and never an alias",
    ("NBIRTH",),
    lambda sent: sent.metric("Node Control/Rebirth").alias is None,
    "operational-behavior-data-commands-rebirth-name-aliases",
    aliases=True,
)


@rule(
    "every metric of a DDATA was in the last DBIRTH of its device, and the device is alive",
    "topics-dbirth-metric-reqs",
    "operational-behavior-data-publish-dbirth",
)
def _was_announced(trace: Trace) -> Found:
    known: dict[tuple[int, str], set[object]] = {}
    for sent in trace.sent:
        where = (sent.connection, sent.device)
        if sent.type == "NBIRTH":
            known = {}
        elif sent.type == "DBIRTH":
            known[where] = {one.alias if trace.aliases else one.name for one in sent.metrics}
        elif sent.type == "DDEATH":
            known.pop(where, None)
        elif sent.type == "DDATA":
            told = {one.alias if trace.aliases else one.name for one in sent.metrics}
            yield told <= known.get(where, set()), str(sent)


@rule("NBIRTH before DBIRTH", "message-flow-device-birth-publish-nbirth-wait")
def _node_first(trace: Trace) -> Found:
    born = {birth.connection: birth.at for birth in reversed(trace.of("NBIRTH"))}
    for sent in trace.of("DBIRTH"):
        yield born.get(sent.connection, sent.at) < sent.at, str(sent)


@rule(
    "after NBIRTH all DBIRTH, and no data before them",
    "payloads-dbirth-order",
    "payloads-ddata-order",
)
def _births_together(trace: Trace) -> Found:
    for sent in trace.of("NBIRTH"):
        follow = [one.type for one in trace.sent if one.at > sent.at]
        yield follow[:2] == ["DBIRTH", "DBIRTH"], str(follow[:3])
    first = {one.connection: one for one in reversed(trace.sent)}
    for one in first.values():
        yield one.type != "DDATA", str(one)


@rule("a sensor that falls silent has a DDEATH", "operational-behavior-device-ddeath")
def _death_of_a_device(trace: Trace) -> Found:
    for event, after in pairwise(trace.events):
        if event.kind == "silent":
            yield after.topic.endswith(f"/DDEATH/dokk1-03/{event.topic}"), after.topic


# --- metrics --------------------------------------------------------------------------------
each_metric(
    "a name",
    (*BIRTHS, "DDATA"),
    lambda metric: bool(metric.name),
    "payloads-name-requirement",
    names=True,
)
each_metric(
    "in data the alias and no name",
    ("DDATA",),
    lambda metric: metric.alias is not None and metric.name is None,
    "payloads-alias-data-cmd-requirement",
    aliases=True,
)
each_metric(
    "in data no data type",
    ("DDATA",),
    lambda metric: metric.datatype is None,
    "payloads-metric-datatype-not-req",
    aliases=True,
)


@rule("in births name and alias", "payloads-alias-birth-requirement", aliases=True)
def _births_have_both(trace: Trace) -> Found:
    aliased = {metric.alias for sent in trace.of("DDATA") for metric in sent.metrics}
    named = {one.alias for sent in trace.of("DBIRTH") for one in sent.metrics if one.name}
    yield aliased <= named, str(aliased - named)


@rule("an alias is one metric's", "payloads-alias-uniqueness", aliases=True)
def _aliases_differ(trace: Trace) -> Found:
    owner: dict[int, tuple[str, str | None]] = {}
    for sent in trace.of(*BIRTHS):
        for metric in sent.metrics:
            if metric.alias is not None:
                who = (sent.device, metric.name)
                yield owner.setdefault(metric.alias, who) == who, str(metric)


each_metric(
    "a data type in births",
    BIRTHS,
    lambda metric: metric.datatype is not None,
    "payloads-metric-datatype-req",
)
each_metric(
    "a data type of the list",
    (*BIRTHS, "DDATA"),
    lambda metric: metric.datatype is None or metric.datatype in ALL_TYPES,
    "payloads-metric-datatype-value",
    "payloads-metric-datatype-value-type",
)
each(
    "as many keys as values, in every property set",
    (*BIRTHS, "DDATA"),
    lambda sent: sent.payload is not None,  # the decoder refuses anything else
    "payloads-propertyset-keys-array-size",
    "payloads-propertyset-values-array-size",
)
each_metric(
    "a basic type for every property",
    (*BIRTHS, "DDATA"),
    lambda metric: all(one.type in BASIC_TYPES for one in metric.properties.values()),
    "payloads-metric-propertyvalue-type-type",
    "payloads-metric-propertyvalue-type-value",
    "payloads-metric-propertyvalue-type-req",
)


def _quality(what: str, right: Callable[[Metric], bool], tck_id: str) -> None:
    def check(trace: Trace) -> Found:
        for sent in trace.of("DBIRTH", "DDATA"):
            for metric in sent.metrics:
                if "Quality" in metric.properties:
                    yield right(metric), str(metric)

    rule(what, tck_id)(check)


_quality(
    "Quality is an Int32",
    lambda metric: metric.properties["Quality"].type == INT32,
    "payloads-propertyset-quality-value-type",
)
_quality(
    "Quality is 0, 192 or 500",
    lambda metric: metric.properties["Quality"].value in (0, 192, 500),
    "payloads-propertyset-quality-value-value",
)


# --- rebirth --------------------------------------------------------------------------------
def _after_requests(trace: Trace) -> Iterator[list[Sent]]:
    for at, event in enumerate(trace.events):
        if event.kind == "hear" and "/NCMD/" in event.topic:
            yield [sent for sent in trace.sent if sent.at > at]


@rule("no data between request and birth", "operational-behavior-data-commands-rebirth-action-1")
def _data_stops(trace: Trace) -> Found:
    for follow in _after_requests(trace):
        types = [sent.type for sent in follow]
        born = types.index("NBIRTH") if "NBIRTH" in types else len(types)
        yield "DDATA" not in types[:born], str(types[:5])


@rule("the whole birth sequence", "operational-behavior-data-commands-rebirth-action-2")
def _birth_is_complete(trace: Trace) -> Found:
    for follow in _after_requests(trace):
        types = [sent.type for sent in follow[:3]]
        yield types == ["NBIRTH", "DBIRTH", "DBIRTH"], str(types)


@rule("with the same bdSeq", "operational-behavior-data-commands-rebirth-action-3")
def _same_bd_seq(trace: Trace) -> Found:
    for follow in _after_requests(trace):
        birth = next((sent for sent in follow if sent.type == "NBIRTH"), None)
        will = trace.will_of(follow[0]) if follow else None
        yield birth is not None and _bd_seq(birth) == _bd_seq(will), str(birth)


# --- the primary host -----------------------------------------------------------------------
def _host_at(trace: Trace, upto: int) -> list[tuple[bool, int]]:
    """Return what the host has said on this connection and counts: online, timestamp."""
    said: list[tuple[bool, int]] = []
    last = -1
    for event in trace.events[:upto]:
        if event.kind == "connect":
            said = []
        if event.kind == "hear" and event.topic == f"spBv1.0/STATE/{HOST}":
            told = json.loads(event.payload)
            if told["timestamp"] >= last:
                last = told["timestamp"]
                said.append((told["online"], last))
    return said


@rule(
    "nothing is published on a connection before the host of the right name said online, with a "
    "timestamp that is not older than the last",
    "message-flow-edge-node-birth-publish-phid-wait",
    "message-flow-edge-node-birth-publish-phid-wait-id",
    "message-flow-edge-node-birth-publish-phid-wait-online",
    "message-flow-edge-node-birth-publish-phid-wait-timestamp",
    "operational-behavior-edge-node-birth-sequence-wait",
    host=True,
)
def _waits(trace: Trace) -> Found:
    for sent in trace.of("NBIRTH"):
        said = _host_at(trace, sent.at)
        yield said != [] and said[-1][0], f"{said} before {sent}"


@rule(
    "offline with a timestamp that is not older: NDEATH, DISCONNECT, another connection",
    "message-flow-edge-node-birth-publish-phid-offline",
    "operational-behavior-edge-node-termination-host-offline",
    "operational-behavior-edge-node-termination-host-offline-reconnect",
    "operational-behavior-primary-application-state-with-multiple-servers-walk",
    host=True,
)
def _follows_the_host(trace: Trace) -> Found:
    for at, event in enumerate(trace.events):
        if event.kind == "hear" and event.topic == f"spBv1.0/STATE/{HOST}":
            before, now = _host_at(trace, at), _host_at(trace, at + 1)
            if len(now) > len(before) and before and before[-1][0] and not now[-1][0]:
                follow = trace.events[at + 1 : at + 4]
                kinds = [one.kind for one in follow]
                right = kinds == ["publish", "disconnect", "connect"]
                yield right and "/NDEATH/" in follow[0].topic, str(kinds)


@rule(
    "offline with an older timestamp changes nothing",
    "operational-behavior-edge-node-termination-host-offline-timestamp",
    host=True,
)
def _ignores_the_past(trace: Trace) -> Found:
    for at, event in enumerate(trace.events):
        if event.kind == "hear" and event.topic == f"spBv1.0/STATE/{HOST}":
            told = json.loads(event.payload)
            before, now = _host_at(trace, at), _host_at(trace, at + 1)
            if len(now) == len(before) and before[-1][0] and not told["online"]:
                after = trace.events[at + 1]
                yield (after.kind, "/DDATA/" in after.topic) == ("publish", True), after.kind


@rule(
    "one connection at a time",
    "operational-behavior-primary-application-state-with-multiple-servers-single-server",
)
def _one_connection(trace: Trace) -> Found:
    open_connections = 0
    for event in trace.events:
        open_connections += event.kind == "connect"
        open_connections -= event.kind in ("disconnect", "lost")
        yield open_connections in (0, 1), event.kind
