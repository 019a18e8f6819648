"""What holds for every format, ours and those of others: one suite, whatever the payload."""

import dataclasses
import json
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.buffer import Batch
from gateway.config.model import Position
from gateway.errors import ConfigError
from gateway.forward import Format, FormatContext, load_format
from gateway.forward.formats import SensorFacts, format_names, render_topic
from gateway.forward.formats.base import ENTRY_POINT_GROUP, Message, Session
from gateway.quantities import DIMS, registry
from gateway.reading import Aggregation, Dims, Flag, Series
from tests.forward.entities import series_of
from tests.forward.fakes import OFFSET_NS

PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
MAX_TOPIC_LENGTH = 512
WITHOUT_QUALITY = {"homeassistant"}
"""A state there has no room for it; a silent sensor is unavailable instead."""
MODERATE = 1e6
FACTS = SensorFacts(
    driver="sds011",
    title='Nova "SDS011" ø',
    domain="air",
    interval_s=1.0,
    privacy="P0",
    quantities=("air.pm25", "air.pm10"),
)
CONTEXTS = [
    FormatContext(
        "aarhus",
        "dokk1-03",
        Position(lon=10.2134, lat=56.1535),
        {"radar": Position(lon=10.2, lat=56.1)},
        sensors={"air-roof": FACTS, "radar": dataclasses.replace(FACTS, domain="traffic")},
        version="0.1.0",
    ),
    FormatContext("vejle", "g"),
]


def declared() -> dict[str, str]:
    """Return what this checkout declares, whatever is installed: name -> module:class."""
    points = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["entry-points"]
    found: dict[str, str] = points[ENTRY_POINT_GROUP]
    return found


def class_of(name: str) -> type[Format]:
    module, _, attribute = declared()[name].partition(":")
    found: type[Format] = getattr(import_module(module), attribute)
    return found


def make(name: str) -> Format:
    cls = class_of(name)
    return cls(cls.Options.model_validate({}))


def placed(encoder: Format, context: FormatContext) -> FormatContext:
    return dataclasses.replace(context, topic=encoder.topic_template())


every_format = pytest.mark.parametrize("name", sorted(declared()))

AGGREGATIONS: list[Aggregation] = list(get_args(Aggregation))
dims = st.dictionaries(
    st.sampled_from(DIMS),
    st.sampled_from(["L1", "1", "inbound", "car", "total"]) | st.text(min_size=1, max_size=8),
    max_size=3,
)
rows = st.lists(
    st.tuples(
        st.sampled_from(["air-roof", "radar", "gone"]),
        st.sampled_from([*sorted(registry()), "lab.glow", "LAB glöw/1"]),
        dims.map(lambda found: tuple(sorted(found.items()))),
        st.sampled_from(AGGREGATIONS),
        st.integers(0, 10_000_000),
        st.floats() | st.floats(-MODERATE, MODERATE),
        st.integers(0, sum(Flag)),
    ),
    max_size=30,
)
Row = tuple[str, str, Dims, Aggregation, int, float, int]


def batch_of(found: Sequence[Row], *, synced: bool = True) -> tuple[Batch, dict[int, Series]]:
    """Return readings in the order of their times, as a ring has them, and their series."""
    ids: dict[object, int] = {}
    series: dict[int, Series] = {}
    ordered = sorted(found, key=lambda row: row[4])
    for sensor, quantity, shape, aggregation, *_ in ordered:
        key = (sensor, quantity, shape, aggregation)
        if key not in ids:
            number = ids[key] = len(ids) + 1
            window_s = "900" if aggregation != "instant" else ""
            known = registry().get(quantity)
            series[number] = series_of(
                number,
                sensor,
                quantity,
                shape,
                aggregation=aggregation,
                unit=known.ucum if known is not None else "mol/s",
                window_s=window_s,
            )
    batch = Batch(
        epoch=7,
        boot=4,
        first=5000,
        series=[ids[row[:4]] for row in ordered],
        times_ns=[row[4] for row in ordered],
        values=[row[5] for row in ordered],
        flags=[row[6] for row in ordered],
        offset_ns=OFFSET_NS,
        synced=synced,
    )
    return batch, series


def check_topic(topic: str) -> None:
    assert 0 < len(topic) <= MAX_TOPIC_LENGTH
    assert not set(topic) & set("+#\0{}")


def no_constant(text: str) -> Any:
    raise AssertionError(f"{text} is no JSON")


def check_payload(message: Message) -> None:
    if "json" not in message.content_type:
        return
    text = message.payload.decode()
    is_lines = "ndjson" in message.content_type
    assert not is_lines or text.endswith("\n")
    for line in text.splitlines() if is_lines else [text]:  # at every line end of Unicode
        json.loads(line, parse_constant=no_constant)


def check_messages(messages: Sequence[Message], batch: Batch, selected: Sequence[int]) -> None:
    """Hold messages against what they say about the readings in them."""
    carried: list[int] = []
    for message in messages:
        check_topic(message.topic)
        check_payload(message)
        assert message.positions == sorted(message.positions)
        assert message.count == len(message.positions) > 0
        assert message.first == batch.first + message.positions[0]
        assert message.last == batch.first + message.positions[-1]
        carried += message.positions
    assert len(carried) == len(set(carried))
    finite = {i for i in selected if math.isfinite(batch.values[i])}
    moderate = {i for i in finite if abs(batch.values[i]) <= MODERATE}
    assert moderate <= set(carried) <= finite


def check_without_readings(messages: Sequence[Message]) -> None:
    for message in messages:
        check_topic(message.topic)
        check_payload(message)
        assert (message.count, message.positions) == (0, [])


def check_format(
    make_one: Callable[[], Format],
    found: Sequence[Row],
    *,
    synced: bool,
    history: bool,
    context: FormatContext,
) -> None:
    """Hold a format against its contract with one batch."""
    batch, series = batch_of(found, synced=synced)
    encoder = make_one()
    context = placed(encoder, context)
    for selected in (range(len(batch)), range(0, len(batch), 2)):
        lookup = series.__getitem__
        messages = encoder.encode(batch, selected, lookup, context, history=history)
        check_messages(messages, batch, selected)
        assert messages == encoder.encode(batch, selected, lookup, context, history=history)
        assert messages == make_one().encode(batch, selected, lookup, context, history=history)
    for sensor in ("air-roof", "gone"):
        of_sensor = [one for one in series.values() if one.key.sensor == sensor]
        told = make_one().announce(sensor, of_sensor, context, OFFSET_NS)
        assert told == make_one().announce(sensor, of_sensor, context, OFFSET_NS)
        check_without_readings(told)
        check_without_readings(encoder.announce(sensor, of_sensor, context, OFFSET_NS))
        check_without_readings(encoder.withdraw(sensor, context, OFFSET_NS))


@every_format
@pytest.mark.timeout(60)
def test_every_batch_is_encoded_to_the_contract(name: str) -> None:
    @settings(deadline=None, max_examples=60)
    @given(rows, st.booleans(), st.booleans(), st.sampled_from(CONTEXTS))
    def run(found: list[Row], synced: bool, history: bool, context: FormatContext) -> None:  # noqa: FBT001
        check_format(lambda: make(name), found, synced=synced, history=history, context=context)

    run()


@every_format
def test_what_a_class_says_about_itself_fits(name: str) -> None:
    cls = class_of(name)
    assert cls.history in cls.histories
    assert cls.qos in (0, 1)
    assert cls.schema
    assert cls.Options.model_config.get("extra") == "forbid"
    for field in cls.Options.model_fields.values():
        assert field.description
    context = dataclasses.replace(CONTEXTS[0], topic=make(name).topic_template())
    check_topic(render_topic(context.topic, context, "air-roof"))


@every_format
def test_a_session_takes_whatever_it_hears(name: str) -> None:
    encoder = make(name)
    session = encoder.session(placed(encoder, CONTEXTS[0]), 1, OFFSET_NS)
    if session is None:
        return
    assert isinstance(session, Session)
    for topic in (*session.subscriptions, "somewhere/else"):
        check_topic(topic.replace("+", "x").replace("#", "x"))
        for payload in (b"", b"online", b"{", b"\xff\x00\x08", b"[" * 100_000):
            assert session.hear(topic, payload) in ("nothing", "begin", "begin-again", "leave")
    check_without_readings(session.greet(OFFSET_NS))
    check_without_readings(session.leave(OFFSET_NS))


Told = tuple[object, float]
"""What a consumer knows a value by, and the value."""


def told_by_ngsi_ld(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        for entity in json.loads(message.payload):
            for name, attribute in entity.items():
                if isinstance(attribute, dict) and "observedAt" in attribute:
                    yield (entity["id"], name, attribute["observedAt"]), attribute["value"]


def told_by_json(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        for line in map(json.loads, message.payload.splitlines()):
            yield (line["gateway"], line["epoch"], line["sequence"]), line["value"]


def told_by_senml(records: Sequence[Mapping[Any, Any]], keys: Sequence[Any]) -> Iterator[Told]:
    """Yield by name, time and place in the pack: a pack is a list, and may say a name twice."""
    base_name, base_time, base_value, name, time, value = keys
    base: dict[Any, Any] = {}
    for number, record in enumerate(records):
        base |= {key: record[key] for key in (base_name, base_time, base_value) if key in record}
        if value in record:
            whole = base.get(base_name, "") + record.get(name, "")
            if whole.rpartition(":")[2].endswith(("lat", "lon")):
                continue
            at = float(base.get(base_time, 0)) + float(record.get(time, 0))
            yield (
                (whole, round(at, 6), number),
                float(base.get(base_value, 0)) + float(record[value]),
            )


def told_by_senml_json(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        records = json.loads(message.payload)
        yield from told_by_senml(records, ("bn", "bt", "bv", "n", "t", "v"))


def told_by_senml_cbor(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        yield from told_by_senml(cbor2.loads(message.payload), (-2, -3, -5, 0, 6, 2))


def told_by_thingsboard(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        for device, entries in json.loads(message.payload).items():
            for entry in entries:
                for key, value in entry["values"].items():
                    yield (device, key, entry["ts"]), value


def told_by_fiware_iota(messages: Sequence[Message]) -> Iterator[Told]:
    for message in messages:
        found = json.loads(message.payload)
        for measure in found if isinstance(found, list) else [found]:
            for key, value in measure.items():
                if isinstance(value, float | int):
                    yield (message.topic, key, measure["TimeInstant"]), value


TOLD: Mapping[str, Callable[[Sequence[Message]], Iterator[Told]]] = {
    "ngsi-ld": told_by_ngsi_ld,
    "json": told_by_json,
    "senml-json": told_by_senml_json,
    "senml-cbor": told_by_senml_cbor,
    "thingsboard": told_by_thingsboard,
    "fiware-iota": told_by_fiware_iota,
}
"""How a consumer reads each format; Sparkplug's is read in its own tests, by another's code."""


@pytest.mark.parametrize("name", sorted(set(declared()) & set(TOLD)))
@pytest.mark.parametrize("spacing_ns", [0, 1, 1000, 1_000_000])
def test_readings_of_one_moment_arrive_as_themselves(name: str, spacing_ns: int) -> None:
    found: list[Row] = [
        ("air-roof", quantity, (), "instant", i * spacing_ns, float(10 * i + at), 0)
        for i in range(20)
        for at, quantity in enumerate(("air.pm25", "air.pm10"))
    ]
    batch, series = batch_of(found)
    encoder = make(name)
    context = placed(encoder, CONTEXTS[0])
    messages = encoder.encode(batch, range(len(batch)), series.__getitem__, context)
    told: dict[object, float] = {}
    for known_by, value in TOLD[name](messages):
        assert known_by not in told, f"{known_by} is told twice"
        told[known_by] = value
    assert sorted(told.values()) == pytest.approx(sorted(row[5] for row in found))


@pytest.mark.parametrize("name", sorted(set(declared()) - WITHOUT_QUALITY))
def test_doubt_is_told(name: str) -> None:
    def payloads(flags: int, *, synced: bool = True) -> list[bytes]:
        row: Row = ("air-roof", "air.pm25", (), "instant", 0, 8.4, flags)
        batch, series = batch_of([row], synced=synced)
        encoder = make(name)
        messages = encoder.encode(batch, [0], series.__getitem__, placed(encoder, CONTEXTS[0]))
        return [message.payload for message in messages]

    good = payloads(0)
    assert payloads(int(Flag.STUCK)) != good
    assert payloads(int(Flag.STALE)) != good
    assert payloads(0, synced=False) != good


def test_what_is_declared_is_installed() -> None:
    assert set(declared()) <= set(format_names())


@pytest.mark.parametrize("name", ["ngsi-ld", "json", "homeassistant"])
def test_default_topics_tell_tenant_gateway_and_sensor(name: str) -> None:
    topic = class_of(name).topic
    rendered = render_topic(topic, CONTEXTS[0], "air-roof")
    assert rendered.startswith("city/aarhus/dokk1-03/air-roof/")


def test_an_unknown_format_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError) as error:
        load_format("no-such-format")
    assert error.value.key == "format"


@pytest.mark.parametrize("template", ["devices/{org}/1", "a/{", "a/}", "{}", "{tenant"])
def test_an_unknown_placeholder_is_a_configuration_error(template: str) -> None:
    with pytest.raises(ConfigError, match="unknown placeholder"):
        render_topic(template, CONTEXTS[0], "a")


def test_a_topic_may_do_without_placeholders() -> None:
    assert render_topic("devices/1/4/17", CONTEXTS[0], "a") == "devices/1/4/17"
