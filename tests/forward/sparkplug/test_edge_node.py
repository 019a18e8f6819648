"""What readings become: names, data types, times, quality; and what births tell of them."""

import dataclasses
import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.buffer import Batch
from gateway.errors import ConfigError
from gateway.forward.formats.base import FormatContext, Message
from gateway.forward.formats.sparkplug import SparkplugB, SparkplugOptions
from gateway.forward.formats.sparkplug.metrics import data_type, metric_name
from gateway.forward.formats.sparkplug.payload import DataType, Metric, decode_payload
from gateway.quantities import DIMS, registry
from gateway.reading import Aggregation, Flag, Series, SeriesKey, quality_of
from tests.forward.sparkplug.conversation import CONTEXT, START_MS

OFFSET_NS = START_MS * 1_000_000
PM25 = Series(1, SeriesKey("air-roof", "air.pm25"), "ug/m3")
CARS = Series(4, SeriesKey("radar", "traffic.count", (("lane", "1"),)), "{vehicle}")
Row = tuple[Series, float, float, int]
"""Series, time in ms after the start, value, flags."""


def encoded(
    rows: list[Row],
    encoder: SparkplugB | None = None,
    *,
    history: bool = False,
    synced: bool = True,
    context: FormatContext = CONTEXT,
) -> list[Message]:
    by_id = {row[0].id: row[0] for row in rows}
    batch = Batch(
        epoch=1,
        boot=1,
        first=100,
        series=[row[0].id for row in rows],
        times_ns=[round(row[1] * 1_000_000) for row in rows],
        values=[row[2] for row in rows],
        flags=[row[3] for row in rows],
        offset_ns=OFFSET_NS,
        synced=synced,
    )
    return (encoder or SparkplugB()).encode(
        batch, range(len(rows)), by_id.__getitem__, context, history=history
    )


def metrics_of(message: Message) -> tuple[Metric, ...]:
    return decode_payload(message.payload, max_bytes=10**7, max_metrics=10**5).metrics


def announced(encoder: SparkplugB, *series: Series, after_ms: int = 0) -> dict[str, Metric]:
    (birth,) = encoder.announce(
        series[0].key.sensor, series, CONTEXT, OFFSET_NS + after_ms * 1_000_000
    )
    return {str(metric.name): metric for metric in metrics_of(birth)}


def test_one_message_per_sensor_in_ring_order() -> None:
    rows: list[Row] = [(PM25, 1, 8.4, 0), (CARS, 2, 3, 0), (PM25, 3, 8.5, 0)]
    first, second = encoded(rows)
    assert first.topic == "spBv1.0/aarhus/DDATA/dokk1-03/air-roof"
    assert second.topic == "spBv1.0/aarhus/DDATA/dokk1-03/radar"
    assert (first.positions, first.first, first.last, first.count) == ([0, 2], 100, 102, 2)
    assert (second.positions, second.first, second.last, second.count) == ([1], 101, 101, 1)
    assert not first.retain
    assert metrics_of(first)[0] == Metric(
        name="air/pm25", timestamp_ms=START_MS + 1, datatype=DataType.DOUBLE, value=8.4
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (SeriesKey("a", "air.pm25"), "air/pm25"),
        (SeriesKey("a", "air.pm25", (), "mean"), "air/pm25-mean"),
        (SeriesKey("a", "electric.voltage", (("phase", "L1"),)), "electric/phase-L1/voltage"),
        (
            SeriesKey("a", "traffic.count", (("lane", "1"), ("vehicle_class", "car")), "sum"),
            "traffic/lane-1/vehicle_class-car/count-sum",
        ),
        (SeriesKey("a", "own", (("channel", "a/b ø"),)), "channel-a%2Fb%20%C3%B8/own"),
    ],
)
def test_names(key: SeriesKey, name: str) -> None:
    assert metric_name(key) == name


keys = st.builds(
    SeriesKey,
    sensor=st.just("a"),
    quantity=st.sampled_from(sorted(registry())),
    dims=st.dictionaries(st.sampled_from(DIMS), st.text(max_size=4), max_size=2).map(
        lambda dims: tuple(sorted(dims.items()))
    ),
    aggregation=st.sampled_from(get_args(Aggregation)),
)


@given(st.lists(keys, unique=True, max_size=8))
def test_different_series_have_different_names(several: list[SeriesKey]) -> None:
    names = [metric_name(key) for key in several]
    assert len(set(names)) == len(names)
    folders = {name.rpartition("/")[0] for name in names}
    assert not folders & set(names), "a tag cannot be a folder"


def test_the_data_types_of_the_registry_are_all_known() -> None:
    for quantity in registry().values():
        assert data_type(SeriesKey("a", quantity.name)).name.title() == quantity.sparkplug_type


@pytest.mark.parametrize(
    ("quantity", "aggregation", "kind"),
    [
        ("traffic.count", "sum", DataType.INT64),
        ("traffic.count", "mean", DataType.DOUBLE),
        ("people.present", "max", DataType.INT32),
        ("people.present", "p85", DataType.DOUBLE),
        ("air.pm25", "count", DataType.INT64),
        ("traffic.congested", "mean", DataType.DOUBLE),
        ("traffic.congested", "sum", DataType.INT64),
        ("parking.occupied", "last", DataType.BOOLEAN),
        ("a.lab.s.own", "instant", DataType.DOUBLE),
    ],
)
def test_an_aggregation_may_change_the_data_type(
    quantity: str, aggregation: Aggregation, kind: DataType
) -> None:
    assert data_type(SeriesKey("a", quantity, (), aggregation)) == kind


@pytest.mark.parametrize(
    ("quantity", "value", "told"),
    [
        ("air.pm25", 8.4, 8.4),
        ("air.temperature", -40.5, -40.5),
        ("traffic.count", 12.0, 12),
        ("traffic.count", 2.0**53, 2**53),
        ("people.present", 3.0, 3),
        ("people.present", -1.0, -1),
        ("people.present", 2.6, 3),
        ("parking.occupied", 1.0, True),
        ("parking.occupied", 0.0, False),
        ("traffic.vehicle_class", 3.0, "3"),
    ],
)
def test_values(quantity: str, value: float, told: object) -> None:
    (message,) = encoded([(Series(1, SeriesKey("a", quantity), "1"), 0, value, 0)])
    (metric,) = metrics_of(message)
    assert metric.value == told
    assert type(metric.value) is type(told)


@pytest.mark.parametrize(
    ("quantity", "value"),
    [
        ("air.pm25", math.nan),
        ("air.pm25", math.inf),
        ("people.present", 2.0**31),
        ("people.present", -(2.0**31) - 1),
        ("traffic.count", 2.0**63),
        ("traffic.count", 1e300),
    ],
)
def test_what_cannot_be_carried_is_left_out(quantity: str, value: float) -> None:
    series = Series(2, SeriesKey("air-roof", quantity), "1")
    (message,) = encoded([(series, 0, value, 0), (PM25, 1, 1.0, 0)])
    assert message.positions == [1]
    assert encoded([(series, 0, value, 0)]) == []


def test_a_time_before_1970_cannot_be_carried() -> None:
    assert encoded([(PM25, -START_MS - 1, 1.0, 0)]) == []


@given(
    st.lists(
        st.tuples(st.sampled_from([PM25, CARS]), st.integers(0, 12), st.integers(0, 9)),
        min_size=1,
        max_size=25,
    ),
    st.booleans(),
)
def test_metrics_are_in_order_of_time_and_none_shares_a_millisecond(
    drawn: list[tuple[Series, int, int]],
    history: bool,  # noqa: FBT001 - hypothesis passes it so
) -> None:
    rows: list[Row] = [(series, quarter / 4, value, 0) for series, quarter, value in drawn]
    messages = encoded(rows, history=history)
    assert sorted(i for message in messages for i in message.positions) == list(range(len(rows)))
    for message in messages:
        assert message.positions == sorted(message.positions)
        metrics = metrics_of(message)
        times = [metric.timestamp_ms for metric in metrics]
        assert times == sorted(set(times), key=lambda at: at or 0)
        ordered = sorted((rows[i] for i in message.positions), key=lambda row: row[1])
        assert [metric.value for metric in metrics] == [row[2] for row in ordered]
        assert {metric.is_historical for metric in metrics} == {history}


def test_a_burst_moves_to_the_next_free_milliseconds() -> None:
    rows: list[Row] = [(PM25, at, at, 0) for at in (0, 0.1, 0.2, 1, 7)]
    (message,) = encoded(rows)
    times = [(one.timestamp_ms or 0) - START_MS for one in metrics_of(message)]
    assert times == [0, 1, 2, 3, 7]
    again = encoded(rows)
    assert again == [message], "the same answer each time"


@pytest.mark.parametrize(
    ("flags", "code", "names"),
    [
        (0, None, None),
        (int(Flag.SPIKE | Flag.WARM_UP), 192, "spike warm_up"),
        (int(Flag.RANGE), 0, "range"),
        (int(Flag.STALE), 500, "stale"),
        (int(Flag.RESTART), 192, "restart"),
    ],
)
def test_quality(flags: int, code: int | None, names: str | None) -> None:
    (message,) = encoded([(PM25, 0, 1.0, flags)])
    (metric,) = metrics_of(message)
    told = {key: one.value for key, one in metric.properties.items()}
    assert told == ({} if code is None else {"Quality": code, "Flags": names})


def test_bad_is_never_told_as_good() -> None:
    for flag in Flag:
        (message,) = encoded([(PM25, 0, 1.0, int(flag))])
        code = metrics_of(message)[0].properties["Quality"].value
        assert (code == 0) == (quality_of(flag) == "bad")


def test_a_clock_that_may_be_wrong_is_told() -> None:
    (message,) = encoded([(PM25, 0, 1.0, 0)], synced=False)
    assert metrics_of(message)[0].properties["Flags"].value == "clock_unsynced"


def test_aliases_are_series_ids_and_leave_out_name_and_type() -> None:
    encoder = SparkplugB(SparkplugOptions(aliases=True))
    birth = announced(encoder, PM25)
    assert birth["air/pm25"].alias == PM25.id
    (message,) = encoded([(PM25, 0, 8.4, 0)], encoder)
    assert metrics_of(message) == (Metric(alias=PM25.id, timestamp_ms=START_MS, value=8.4),)
    (named,) = encoded([(PM25, 0, 8.4, 0)])
    assert len(message.payload) < len(named.payload)


def test_a_birth_without_a_reading_has_null_and_the_unit() -> None:
    birth = announced(SparkplugB(), PM25, after_ms=5)
    metric = birth["air/pm25"]
    assert (metric.is_null, metric.value, metric.timestamp_ms) == (True, None, START_MS + 5)
    units = {key: one.value for key, one in metric.properties.items()}
    assert units == {"engUnit": "μg/m³", "unitCode": "GQ"}


def test_a_birth_has_the_newest_value_with_its_time_and_quality() -> None:
    encoder = SparkplugB()
    encoded([(PM25, 10, 8.4, 0), (PM25, 30, 8.6, int(Flag.STALE)), (PM25, 20, 8.5, 0)], encoder)
    encoded([(PM25, 5, 1.0, 0)], encoder, history=True)
    metric = announced(encoder, PM25, after_ms=1000)["air/pm25"]
    assert (metric.value, metric.timestamp_ms) == (8.6, START_MS + 30)
    assert metric.properties["Quality"].value == 500
    assert metric.properties["engUnit"].value == "μg/m³"
    assert not metric.is_historical


def test_a_time_that_was_wrong_does_not_stay_the_newest() -> None:
    encoder = SparkplugB()
    encoded([(PM25, 10**9, 1.0, 0)], encoder, synced=False)
    encoded([(PM25, 10, 8.4, 0)], encoder)
    assert announced(encoder, PM25)["air/pm25"].value == 8.4


def test_a_series_that_got_another_unit_is_one_metric() -> None:
    later = dataclasses.replace(PM25, id=9, unit="mg/m3")
    for aliases, ids in ((False, [None]), (True, [1, 9])):
        encoder = SparkplugB(SparkplugOptions(aliases=aliases))
        (birth,) = encoder.announce("air-roof", [later, PM25], CONTEXT, OFFSET_NS)
        found = [one for one in metrics_of(birth) if one.name == "air/pm25"]
        assert sorted(one.alias or 0 for one in found) == [one or 0 for one in ids]
        assert "mg/m3" in [one.properties["engUnit"].value for one in found]


def test_a_birth_keeps_its_values_when_the_context_changes() -> None:
    encoder = SparkplugB()
    encoded([(PM25, 10, 8.4, 0)], encoder)
    encoded([(CARS, 10, 1, 0)], encoder, context=dataclasses.replace(CONTEXT, gateway="other"))
    assert announced(encoder, PM25)["air/pm25"].value == 8.4


def test_a_sensor_that_never_measured_is_born_with_what_is_known_of_it() -> None:
    (birth,) = SparkplugB().announce("air-roof", [], CONTEXT, OFFSET_NS)
    assert birth.topic == "spBv1.0/aarhus/DBIRTH/dokk1-03/air-roof"
    assert {metric.name: metric.value for metric in metrics_of(birth)} == {
        "Properties/Driver": "sds011",
        "Properties/Model": "Nova SDS011 particle sensor",
        "Properties/Latitude": 56.153,
        "Properties/Longitude": 10.213,
    }


@pytest.mark.parametrize(
    ("series", "units"),
    [
        (Series(1, SeriesKey("a", "air.humidity"), "%"), {"engUnit": "%", "unitCode": "P1"}),
        (Series(1, SeriesKey("a", "power.factor"), "1"), {"unitCode": "C62"}),
        (Series(1, SeriesKey("a", "meter.total"), "m3"), {"engUnit": "m3"}),
        (Series(1, SeriesKey("a", "my.own"), "kg"), {"engUnit": "kg"}),
        (Series(1, SeriesKey("a", "my.own"), "1"), {}),
        (Series(1, SeriesKey("a", "air.pm25", (), "count"), "1"), {}),
    ],
)
def test_units(series: Series, units: dict[str, str]) -> None:
    metric = announced(SparkplugB(), series)[metric_name(series.key)]
    assert {key: one.value for key, one in metric.properties.items()} == units


def test_the_unit_has_the_name_that_a_host_wants() -> None:
    encoder = SparkplugB(SparkplugOptions(unit_property="Unit"))
    assert announced(encoder, PM25)["air/pm25"].properties["Unit"].value == "μg/m³"


def test_the_ids_come_from_the_options_or_the_topic() -> None:
    encoder = SparkplugB(SparkplugOptions(group="Water {tenant}", edge="box-1"))
    assert encoder.topic_template() == "spBv1.0/Water {tenant}/DDATA/box-1/{sensor}"
    (message,) = encoded([(PM25, 0, 1.0, 0)], encoder)
    assert message.topic == "spBv1.0/Water aarhus/DDATA/box-1/air-roof"
    session = encoder.session(CONTEXT, 0, OFFSET_NS)
    assert session.subscriptions == ("spBv1.0/Water aarhus/NCMD/box-1",)
    context = dataclasses.replace(CONTEXT, topic="spBv1.0/g/DDATA/{gateway}/{sensor}")
    (message,) = encoded([(PM25, 0, 1.0, 0)], context=context)
    assert message.topic == "spBv1.0/g/DDATA/dokk1-03/air-roof"


@pytest.mark.parametrize(
    "topic",
    [
        "city/{tenant}/{gateway}/{sensor}",
        "spBv1.0/{tenant}/NDATA/{gateway}/{sensor}",
        "spAv1.0/{tenant}/DDATA/{gateway}/{sensor}",
        "spBv1.0/{tenant}/DDATA/{gateway}",
        "spBv1.0/{tenant}/DDATA/{gateway}/{sensor}/x",
        "spBv1.0/{tenant}/DDATA/{gateway}/all",
        "spBv1.0//DDATA/{gateway}/{sensor}",
        "spBv1.0/a+b/DDATA/{gateway}/{sensor}",
        "spBv1.0/{city}/DDATA/{gateway}/{sensor}",
    ],
)
def test_a_topic_that_no_host_looks_at_is_refused(topic: str) -> None:
    context = dataclasses.replace(CONTEXT, topic=topic)
    with pytest.raises(ConfigError) as error:
        SparkplugB().session(context, 0, OFFSET_NS)
    assert error.value.key == "topic"


@pytest.mark.parametrize(
    "options",
    [
        {"group": "a/b"},
        {"group": ""},
        {"edge": "a+"},
        {"primary_host": "#"},
        {"unit_property": ""},
        {"alias": True},
    ],
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SparkplugB.Options.model_validate(options)


def test_every_option_has_a_reason() -> None:
    assert all(field.description for field in SparkplugOptions.model_fields.values())


def test_the_time_of_a_payload_is_the_latest_that_was_mentioned() -> None:
    encoder = SparkplugB()
    session = encoder.session(CONTEXT, 0, OFFSET_NS)

    def sent_ms(payload: bytes) -> int | None:
        return decode_payload(session.complete(payload)).timestamp_ms

    (history,) = encoded([(PM25, -60_000, 1.0, 0)], encoder, history=True)
    assert sent_ms(history.payload) == START_MS
    (live,) = encoded([(PM25, 700, 1.0, 0)], encoder)
    assert sent_ms(history.payload) == START_MS + 700
    encoded([(PM25, 10**9, 1.0, 0)], encoder, synced=False)
    assert sent_ms(live.payload) == START_MS + 700, "a clock that may be wrong is not believed"
    (death,) = encoder.withdraw("air-roof", CONTEXT, OFFSET_NS + 900_000_000)
    assert sent_ms(death.payload) == START_MS + 900
