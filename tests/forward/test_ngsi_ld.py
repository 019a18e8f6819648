"""The NGSI-LD format: expected payloads as data, official schemas, ids for ever."""

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.buffer import Batch
from gateway.forward import FormatContext, load_format
from gateway.forward.formats.base import Message, SensorFacts
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.forward.formats.ngsi_models import CORE_CONTEXT, context_of
from gateway.forward.formats.ngsi_options import NgsiLdOptions
from gateway.forward.formats.ngsi_tables import DOMAINS, VEHICLE_TYPES
from gateway.quantities import registry
from gateway.reading import Aggregation, Dims, Flag, Series, SeriesKey
from tests.forward.entities import (
    attributes,
    context_terms,
    key_values,
    schema_errors,
    series_of,
)
from tests.forward.fakes import CONTEXT, OFFSET_NS, Catalogue
from tests.shared_material import shared

CASES = sorted((Path(__file__).parent / "payloads").glob("ngsi_*.json"))
NGSI = dataclasses.replace(CONTEXT, topic=NgsiLd.topic)
needs_schemas = pytest.mark.skipif(shared("schemas") is None, reason="no schemas beside the repo")

Reading = tuple[str, str, Dims, float]


def batch_of(
    readings: list[Reading], catalogue: Catalogue, *, flags: int = 0, time_ns: int = 0
) -> Batch:
    ids = [catalogue.add(sensor, quantity, dims) for sensor, quantity, dims, _ in readings]
    return Batch(
        epoch=3,
        boot=2,
        first=1000,
        series=ids,
        times_ns=[time_ns] * len(ids),
        values=[value for *_, value in readings],
        flags=[flags] * len(ids),
        offset_ns=OFFSET_NS,
        synced=True,
    )


def encode(
    readings: list[Reading], context: FormatContext = NGSI, *, flags: int = 0
) -> list[dict[str, Any]]:
    catalogue = Catalogue()
    batch = batch_of(readings, catalogue, flags=flags)
    messages = NgsiLd().encode(batch, range(len(batch)), catalogue, context)
    entities: list[dict[str, Any]] = []
    for message in messages:
        entities += json.loads(message.payload)
    return entities


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_payloads_are_as_expected(path: Path) -> None:
    case = json.loads(path.read_text(encoding="utf-8"))
    rows = case["readings"]
    series = {
        number: series_of(
            number,
            row["sensor"],
            row["quantity"],
            tuple(row["dims"].items()),
            aggregation=row.get("aggregation", "instant"),
            window_s=row.get("window_s", ""),
        )
        for number, row in enumerate(rows)
    }
    batch = Batch(
        epoch=3,
        boot=2,
        first=1000,
        series=list(series),
        times_ns=[row["at_ns"] for row in rows],
        values=[row["value"] for row in rows],
        flags=[row.get("flags", 0) for row in rows],
        offset_ns=OFFSET_NS,
        synced=case.get("synced", True),
    )
    context = dataclasses.replace(NGSI, location=None, locations={}) if case.get("lost") else NGSI
    messages = NgsiLd().encode(batch, range(len(rows)), series.__getitem__, context)
    assert [
        {
            "topic": message.topic,
            "first": message.first,
            "last": message.last,
            "count": message.count,
            "payload": json.loads(message.payload),
        }
        for message in messages
    ] == case["messages"]
    if shared("schemas") is not None:
        for message in messages:
            for entity in json.loads(message.payload):
                assert schema_errors(entity) == []


PHASES = ("", "L1", "L2", "L3", "N", "L12", "L23", "L31", "total")
SHAPES: list[Dims] = [
    (),
    *((("phase", phase),) for phase in PHASES if phase),
    (("lane", "1"),),
    (("direction", "inbound"), ("lane", "2"), ("vehicle_class", "car")),
    (("direction", "outbound"), ("vehicle_class", "spaceship")),
    (("lane", "nearside"),),
    (("channel", "1"), ("tariff", "2")),
]


@needs_schemas
@pytest.mark.parametrize("quantity", sorted(registry()))
@pytest.mark.parametrize("placed", [True, False], ids=["placed", "lost"])
def test_every_quantity_with_every_dimension_is_a_valid_entity(quantity: str, placed: bool) -> None:  # noqa: FBT001
    context = NGSI if placed else dataclasses.replace(NGSI, location=None, locations={})
    for dims in SHAPES:
        for value in (0.0, 0.5, 1.0):
            entities = encode([("s-1", quantity, dims, value)], context)
            assert len(entities) == 1
            (entity,) = entities
            assert schema_errors(entity) == [], entity
            assert entity["@context"] == context_of(entity["type"])
            missing = set(attributes(entity)) - context_terms(DOMAINS[entity["type"]])
            assert not missing, f"{missing} not in the @context of {entity['type']}"


@needs_schemas
def test_vehicle_types_are_those_of_the_schema() -> None:
    folder = shared("schemas", "dataModel.Transportation", "TrafficFlowObserved")
    assert folder is not None
    schema = json.loads((folder / "schema.json").read_text(encoding="utf-8"))
    (found,) = [
        part["properties"]["vehicleType"]["enum"]
        for part in schema["allOf"]
        if "vehicleType" in part.get("properties", {})
    ]
    assert set(found) == VEHICLE_TYPES


@pytest.mark.parametrize("quantity", sorted(registry()))
def test_every_number_says_its_unit_and_time(quantity: str) -> None:
    for dims in SHAPES:
        (entity,) = encode([("s-1", quantity, dims, 2.0)])
        measured = {k: v for k, v in attributes(entity).items() if "observedAt" in v}
        assert len(measured) == 1
        for attribute in measured.values():
            assert attribute["observedAt"] == "2026-11-22T09:00:00.000Z"
            assert isinstance(attribute["value"], bool) or attribute["unitCode"]


def test_units_match_the_value_that_is_sent() -> None:
    readings: list[Reading] = [
        ("a", "air.humidity", (), 57.3),
        ("a", "traffic.occupancy", (), 12.5),
        ("a", "device.battery", (), 99.0),
        ("a", "electric.thd_voltage", (("phase", "L1"),), 2.3),
        ("a", "air.temperature", (), -4.2),
    ]
    said = {
        name: (attribute["value"], attribute["unitCode"])
        for entity in encode(readings)
        for name, attribute in attributes(entity).items()
        if "unitCode" in attribute
    }
    assert said == {
        "relativeHumidity": (0.573, "C62"),
        "occupancy": (0.125, "C62"),
        "batteryLevel": (0.99, "C62"),
        "thdVoltage": ({"L1": 0.023}, "C62"),
        "temperature": (-4.2, "CEL"),
    }


def test_fractions_never_leave_the_range_of_the_schemas() -> None:
    for value, sent in ((100.3, 1), (-0.2, 0)):
        (entity,) = encode([("a", "air.humidity", (), value)])
        assert entity["relativeHumidity"]["value"] == sent


def test_integers_where_the_schema_says_integer_and_no_noise_elsewhere() -> None:
    (entity,) = encode([("a", "air.tsp", (), 73.3), ("a", "air.pm25", (), 0.1 + 0.2)])
    assert entity["tsp"]["value"] == 73
    assert isinstance(entity["tsp"]["value"], int)
    assert entity["pm25"]["value"] == 0.3
    (crowd,) = encode([("a", "people.count", (), 17.0)])
    assert isinstance(crowd["peopleCount"]["value"], int)


def test_one_time_one_type_one_entity() -> None:
    catalogue = Catalogue()
    names = ["air.pm25", "air.pm10", "air.temperature"]
    ids = [catalogue.add("a", name) for name in names]
    batch = Batch(
        epoch=1,
        boot=1,
        first=10,
        series=ids * 2,
        times_ns=[1_000_000] * 3 + [2_000_000] * 3,
        values=[1.0] * 6,
        flags=[0] * 6,
        offset_ns=OFFSET_NS,
        synced=True,
    )
    (message,) = NgsiLd().encode(batch, range(6), catalogue, NGSI)
    found = [
        (e["type"], sorted(k for k, v in attributes(e).items() if "unitCode" in v))
        for e in json.loads(message.payload)
    ]
    assert (
        found
        == [
            ("AirQualityObserved", ["pm10", "pm25"]),
            ("WeatherObserved", ["temperature"]),
        ]
        * 2
    )
    assert (message.first, message.last, message.count) == (10, 15, 6)
    assert message.positions == list(range(6))


def test_two_values_for_one_attribute_are_two_entities() -> None:
    """Nothing is overwritten in silence, whatever a driver sends at the same time."""
    readings: list[Reading] = [
        ("a", "air.no2", (), 21.0),
        ("a", "air.no2_mole_fraction", (), 11.0),
        ("a", "electric.voltage", (("phase", "L1"),), 230.0),
        ("a", "electric.voltage", (("phase", "L1"),), 231.0),
    ]
    entities = encode(readings)
    assert [e["no2"]["value"] for e in entities if "no2" in e] == [21, 11]
    assert [e["no2"]["unitCode"] for e in entities if "no2" in e] == ["GQ", "61"]
    assert [e["no2"]["observedAt"][-5:] for e in entities if "no2" in e] == [".000Z", ".001Z"]
    assert [e["phaseVoltage"]["value"] for e in entities if "phaseVoltage" in e] == [
        {"L1": 230},
        {"L1": 231},
    ]


def test_doubt_is_said_and_only_doubt() -> None:
    (good,) = encode([("a", "air.pm25", (), 1.0)])
    assert "quality" not in good["pm25"]
    (bad,) = encode([("a", "air.pm25", (), 1.0)], flags=int(Flag.STUCK))
    assert bad["pm25"]["quality"] == {"type": "Property", "value": "bad"}
    catalogue = Catalogue()
    batch = batch_of([("a", "air.pm25", (), 1.0)], catalogue)
    batch.synced = False
    (message,) = NgsiLd().encode(batch, [0], catalogue, NGSI)
    (entity,) = json.loads(message.payload)
    assert entity["pm25"]["quality"]["value"] == "uncertain"


def test_what_is_no_number_is_left_out() -> None:
    catalogue = Catalogue()
    batch = batch_of(
        [("a", "air.pm25", (), value) for value in (math.nan, math.inf, 1.0, -math.inf)], catalogue
    )
    (message,) = NgsiLd().encode(batch, range(4), catalogue, NGSI)
    assert message.positions == [2]
    assert b"nan" not in message.payload.lower()
    assert b"inf" not in message.payload.lower()


def test_a_topic_without_sensor_puts_all_sensors_into_one_array() -> None:
    context = dataclasses.replace(NGSI, topic="devices/1/4/17")
    catalogue = Catalogue()
    batch = batch_of([(name, "air.pm25", (), 1.0) for name in ("a", "b", "c")], catalogue)
    (message,) = NgsiLd().encode(batch, range(3), catalogue, context)
    assert message.topic == "devices/1/4/17"
    assert [entity["id"].rpartition(":")[2] for entity in json.loads(message.payload)] == [
        "a",
        "b",
        "c",
    ]


def test_a_new_context_is_used_at_once() -> None:
    catalogue, encoder = Catalogue(), NgsiLd()
    batch = batch_of([("a", "air.pm25", (), 1.0)], catalogue)
    encoder.encode(batch, [0], catalogue, NGSI)
    (message,) = encoder.encode(batch, [0], catalogue, dataclasses.replace(NGSI, tenant="vejle"))
    assert message.topic.startswith("city/vejle/")
    assert b"urn:ngsi-ld:AirQualityObserved:vejle:a" in message.payload


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(sorted(registry())),
            st.sampled_from(SHAPES),
            st.floats(allow_nan=False, allow_infinity=False),
            st.integers(0, 3),
        ),
        max_size=40,
    )
)
def test_every_reading_is_carried_exactly_once(
    rows: list[tuple[str, str, Dims, float, int]],
) -> None:
    catalogue = Catalogue()
    batch = batch_of([row[:4] for row in rows], catalogue)
    batch.times_ns = [row[4] * 1_000_000 for row in rows]
    messages = NgsiLd().encode(batch, range(len(rows)), catalogue, NGSI)
    carried = sorted(i for message in messages for i in message.positions)
    assert carried == list(range(len(rows)))
    numbers = 0
    ids: dict[str, list[str]] = {}
    for message in messages:
        for entity in json.loads(message.payload):
            ids.setdefault(entity["id"], entity["@context"])
            assert ids[entity["id"]] == entity["@context"]
            for attribute in attributes(entity).values():
                if "observedAt" in attribute:
                    value = attribute["value"]
                    numbers += len(value) if isinstance(value, dict) else 1
            assert key_values(entity)["id"] == entity["id"]
    assert numbers == len(rows)


AGGREGATIONS: list[Aggregation] = list(get_args(Aggregation))


@needs_schemas
@pytest.mark.parametrize("quantity", sorted(registry()))
@pytest.mark.parametrize("placed", [True, False], ids=["placed", "lost"])
def test_every_statistic_of_every_quantity_is_a_valid_entity(quantity: str, placed: bool) -> None:  # noqa: FBT001
    context = NGSI if placed else dataclasses.replace(NGSI, location=None, locations={})
    seen: dict[tuple[str, str, str], SeriesKey] = {}
    for dims in SHAPES:
        if dims == (("phase", "total"),):
            continue  # the same as none
        for aggregation in AGGREGATIONS:
            window_s = "" if aggregation == "instant" else "900"
            series = series_of(1, "s-1", quantity, dims, aggregation=aggregation, window_s=window_s)
            entity = encode_one(series, 0.5, context)
            assert schema_errors(entity) == [], entity
            missing = set(attributes(entity)) - context_terms(DOMAINS[entity["type"]])
            assert not missing, f"{missing} not in the @context of {entity['type']}"
            ((name, attribute),) = (
                (k, v) for k, v in attributes(entity).items() if "observedAt" in v
            )
            member = next(iter(attribute["value"])) if isinstance(attribute["value"], dict) else ""
            place = entity["id"], name, member
            assert place not in seen, f"{seen[place]} and {series.key} are both {place}"
            seen[place] = series.key
            if window_s:
                assert entity["id"].endswith(f":aggregation-{aggregation}")
                assert interval_of(entity) == START_AND_END


START_AND_END = ("2026-11-22T08:45:00.000Z", "2026-11-22T09:00:00.000Z")


def interval_of(entity: dict[str, Any]) -> tuple[str, str]:
    """Return the ends of the window that an entity tells, wherever its type tells them."""
    told = attributes(entity)
    (measured,) = (value for value in told.values() if "observedAt" in value)
    start = told.get("dateObservedFrom") or measured["dateObservedFrom"]
    if "dateObservedTo" in told:
        assert told["dateObservedTo"]["value"] == measured["observedAt"]
    if "dateObserved" in told:
        ends = told["dateObserved"]["value"].split("/")
        assert ends[-1] == measured["observedAt"]
        assert ends in ([measured["observedAt"]], [start["value"], measured["observedAt"]])
    return start["value"], measured["observedAt"]


def encode_one(series: Series, value: float, context: FormatContext = NGSI) -> dict[str, Any]:
    batch = Batch(
        epoch=3,
        boot=2,
        first=1000,
        series=[series.id],
        times_ns=[0],
        values=[value],
        flags=[0],
        offset_ns=OFFSET_NS,
        synced=True,
    )
    (message,) = NgsiLd().encode(batch, [0], {series.id: series}.__getitem__, context)
    (entity,) = json.loads(message.payload)
    found: dict[str, Any] = entity
    return found


@pytest.mark.parametrize(
    ("quantity", "dims", "aggregation", "entity_type", "attribute"),
    [
        ("air.pm25", (), "mean", "AirQualityObserved", "pm25"),
        ("air.pm25", (), "max", "DeviceMeasurement", "numValue"),
        ("air.quality_index", (), "mean", "DeviceMeasurement", "numValue"),
        ("traffic.count", (), "sum", "TrafficFlowObserved", "intensity"),
        ("traffic.count", (), "mean", "DeviceMeasurement", "numValue"),
        ("traffic.speed_avg", (("lane", "1"),), "max", "ItemFlowObserved", "maxSpeed"),
        ("traffic.speed_avg", (("lane", "1"),), "min", "ItemFlowObserved", "minSpeed"),
        ("traffic.speed_avg", (), "max", "DeviceMeasurement", "numValue"),
        ("traffic.speed_avg", (), "p85", "DeviceMeasurement", "numValue"),
        ("wind.gust", (), "max", "WeatherObserved", "gustSpeed"),
        ("wind.gust", (), "mean", "DeviceMeasurement", "numValue"),
        ("energy.active_import", (), "last", "ThreePhaseAcMeasurement", "totalActiveEnergyImport"),
        ("energy.active_import", (), "sum", "DeviceMeasurement", "numValue"),
        ("device.battery", (), "last", "DeviceMeasurement", "numValue"),
    ],
)
def test_a_statistic_goes_where_a_model_means_it(
    quantity: str, dims: Dims, aggregation: Aggregation, entity_type: str, attribute: str
) -> None:
    series = series_of(1, "s-1", quantity, dims, aggregation=aggregation, window_s="900")
    entity = encode_one(series, 3.0)
    assert entity["type"] == entity_type
    assert attribute in entity
    if entity_type == "DeviceMeasurement":
        assert entity["controlledProperty"]["value"] == f"{quantity} {aggregation}"


@pytest.mark.parametrize("window_s", ["", "0", "-900", "nan", "inf", "1e30", "a quarter"])
def test_what_is_no_window_has_no_interval(window_s: str) -> None:
    series = series_of(1, "s-1", "air.pm25", aggregation="mean", window_s=window_s)
    entity = encode_one(series, 3.0)
    assert "dateObservedFrom" not in entity
    assert entity["dateObserved"]["value"] == "2026-11-22T09:00:00.000Z"


def test_windows_of_different_lengths_share_no_entity() -> None:
    series = [
        series_of(0, "a", "air.pm25", aggregation="mean", window_s="60"),
        series_of(1, "a", "air.pm10", aggregation="mean", window_s="3600"),
    ]
    batch = batch_of([("a", "air.pm25", (), 1.0)] * 2, Catalogue())
    batch.series = [0, 1]
    (message,) = NgsiLd().encode(batch, [0, 1], series.__getitem__, NGSI)
    starts = [entity["dateObservedFrom"]["value"] for entity in json.loads(message.payload)]
    assert starts == ["2026-11-22T08:59:00.000Z", "2026-11-22T08:00:00.000Z"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["air.pm25", "air.pm10", "air.no2", "air.no2_mole_fraction"]),
            st.integers(0, 3_000_000),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_no_two_values_share_entity_attribute_and_millisecond(rows: list[tuple[str, int]]) -> None:
    catalogue = Catalogue()
    batch = batch_of([("a", name, (), float(i)) for i, (name, _) in enumerate(rows)], catalogue)
    batch.times_ns = [time_ns for _, time_ns in rows]
    (message,) = NgsiLd().encode(batch, range(len(rows)), catalogue, NGSI)
    found: dict[tuple[str, str, str], float] = {}
    for entity in json.loads(message.payload):
        for name, attribute in attributes(entity).items():
            if "observedAt" in attribute:
                place = entity["id"], name, attribute["observedAt"]
                assert place not in found
                found[place] = attribute["value"]
                row = int(attribute["value"])
                moved_ms = int(attribute["observedAt"][-4:-1]) - rows[row][1] // 1_000_000
                assert 0 <= moved_ms < len(rows)
    assert sorted(found.values()) == list(range(len(rows)))


def test_a_burst_costs_no_more_than_its_length() -> None:
    """Searching from the start for each would take minutes here, and the test would time out."""
    catalogue = Catalogue()
    batch = batch_of([("a", "air.pm25", (), float(i)) for i in range(50_000)], catalogue)
    (message,) = NgsiLd().encode(batch, range(len(batch)), catalogue, NGSI)
    last = json.loads(message.payload)[-1]
    assert last["pm25"]["observedAt"] == "2026-11-22T09:00:49.999Z"


RADAR = SensorFacts(
    driver="ops243",
    title="Doppler radar",
    domain="traffic",
    interval_s=1.0,
    privacy="P1",
    quantities=("traffic.speed_avg", "device.battery"),
)
METER = dataclasses.replace(RADAR, domain="energy", quantities=("power.active",))


def announced(
    sensor: str,
    series: Sequence[Series] = (),
    context: FormatContext = NGSI,
    options: dict[str, Any] | None = None,
) -> list[Message]:
    encoder = NgsiLd(NgsiLdOptions.model_validate(options or {}))
    return encoder.announce(sensor, series, context, OFFSET_NS)


def device_of(sensor: str, facts: SensorFacts, series: Sequence[Series] = ()) -> dict[str, Any]:
    context = dataclasses.replace(NGSI, sensors={sensor: facts})
    (message,) = announced(sensor, series, context)
    assert message.topic == f"city/aarhus/dokk1-03/{sensor}/ngsi"
    assert (message.count, message.positions, message.retain) == (0, [], False)
    (entity,) = json.loads(message.payload)
    if shared("schemas") is not None:
        assert schema_errors(entity) == []
        assert set(attributes(entity)) <= context_terms("Device")
    found: dict[str, Any] = entity
    return found


def test_a_sensor_is_a_device_that_its_readings_refer_to() -> None:
    device = device_of("radar", RADAR)
    (reading,) = encode([("radar", "traffic.speed_avg", (), 50.0)])
    assert device["id"] == reading["refDevice"]["object"] == "urn:ngsi-ld:Device:aarhus:radar"
    assert device["location"] == reading["location"]
    assert key_values(device) | {"@context": 0} == {
        "id": "urn:ngsi-ld:Device:aarhus:radar",
        "type": "Device",
        "location": {"type": "Point", "coordinates": [10.2, 56.1]},
        "name": "radar",
        "description": "Doppler radar",
        "deviceCategory": ["sensor"],
        "controlledProperty": ["averageVelocity", "batteryLife", "trafficFlow"],
        "@context": 0,
    }
    assert device["@context"] == context_of("Device")


def test_a_meter_is_a_meter_and_what_filters_add_is_told() -> None:
    device = device_of("m1", METER, [series_of(1, "m1", "electric.voltage")])
    assert device["deviceCategory"]["value"] == ["meter"]
    assert device["controlledProperty"]["value"] == ["electricityConsumption", "power"]


def test_a_battery_reading_does_not_change_what_the_device_senses() -> None:
    context = dataclasses.replace(NGSI, sensors={"radar": RADAR})
    (reading,) = encode([("radar", "device.battery", (), 80.0)], context)
    assert reading["controlledProperty"] == device_of("radar", RADAR)["controlledProperty"]


def test_a_sensor_of_which_the_schema_knows_nothing_is_no_device() -> None:
    assert announced("x", [series_of(1, "x", "lab.glow")]) == []
    assert announced("x", [series_of(1, "x", "light.illuminance")], options={}) != []
    off = {"device_entities": False}
    assert announced("x", [series_of(1, "x", "light.illuminance")], options=off) == []


@needs_schemas
@pytest.mark.parametrize("quantity", sorted(registry()))
def test_every_quantity_has_a_word_of_the_schema(quantity: str) -> None:
    if quantity.startswith("radiation.") or quantity in {
        "device.rssi",
        "device.snr",
        "device.uptime",
    }:
        assert announced("s-1", [series_of(1, "s-1", quantity)]) == []
        return
    (message,) = announced("s-1", [series_of(1, "s-1", quantity)])
    (entity,) = json.loads(message.payload)
    assert schema_errors(entity) == []
    assert entity["controlledProperty"]["value"]


OS2IOT = {"organization": 1, "application": 4}


def routed(options: dict[str, Any]) -> tuple[str, list[tuple[str, list[int]]]]:
    encoder = NgsiLd(NgsiLdOptions.model_validate({"os2iot": OS2IOT | options}))
    context = dataclasses.replace(CONTEXT, topic=encoder.topic_template())
    catalogue = Catalogue()
    batch = batch_of([(name, "air.pm25", (), 1.0) for name in ("a", "b", "a")], catalogue)
    messages = encoder.encode(batch, range(3), catalogue, context)
    for sensor in ("a", "b"):
        told = encoder.announce(sensor, [catalogue(1)], context, 0)
        assert [m.topic for m in told] == sorted(
            {m.topic for m in messages if f':{sensor}"'.encode() in m.payload}
        )
    return context.topic, [(m.topic, m.positions) for m in messages]


def test_os2iot_gets_one_device_for_all_or_one_for_each() -> None:
    assert routed({"device": 17}) == ("devices/1/4/17", [("devices/1/4/17", [0, 1, 2])])
    assert routed({"devices": {"a": 18}, "device": 17}) == (
        "devices/1/4/{sensor}",
        [("devices/1/4/18", [0, 2]), ("devices/1/4/17", [1])],
    )


def test_a_sensor_without_a_device_in_os2iot_is_not_carried() -> None:
    assert routed({"devices": {"a": 18}}) == ("devices/1/4/{sensor}", [("devices/1/4/18", [0, 2])])


def test_contexts_may_lie_on_the_citys_own_server() -> None:
    options = {
        "context_url": "https://city.example/{tenant}/{domain}.jsonld",
        "context_urls": {"WeatherObserved": "https://city.example/weather.jsonld"},
    }
    encoder, catalogue = NgsiLd(NgsiLdOptions.model_validate(options)), Catalogue()
    batch = batch_of([("a", "air.pm25", (), 1.0), ("a", "air.temperature", (), 1.0)], catalogue)
    (message,) = encoder.encode(batch, [0, 1], catalogue, NGSI)
    assert [entity["@context"] for entity in json.loads(message.payload)] == [
        ["https://city.example/aarhus/Environment.jsonld", CORE_CONTEXT],
        ["https://city.example/weather.jsonld", CORE_CONTEXT],
    ]


def test_quality_may_be_left_out() -> None:
    encoder, catalogue = NgsiLd(NgsiLdOptions(quality=False)), Catalogue()
    batch = batch_of([("a", "air.pm25", (), 1.0)], catalogue, flags=int(Flag.STUCK))
    (message,) = encoder.encode(batch, [0], catalogue, NGSI)
    assert b"quality" not in message.payload


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"os2iot": OS2IOT}, "needs device"),
        ({"os2iot": OS2IOT | {"device": 0}}, "greater than or equal to 1"),
        ({"os2iot": OS2IOT | {"device": 1, "org": 1}}, "Extra inputs"),
        ({"context_url": "ftp://city.example"}, "match pattern"),
        ({"context_urls": {"AirQuality": "https://city.example"}}, "'AirQuality' is none of"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        load_format("ngsi-ld", options)


def test_ids_are_uris_whatever_a_driver_calls_its_lanes() -> None:
    (entity,) = encode([("a", "traffic.count", (("lane", "nær 1%"),), 1.0)])
    assert entity["id"] == "urn:ngsi-ld:TrafficFlowObserved:aarhus:a:lane-n%C3%A6r%201%25"
