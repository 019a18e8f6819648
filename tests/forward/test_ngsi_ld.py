"""The NGSI-LD format: expected payloads as data, official schemas, ids for ever."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer import Batch
from gateway.forward import FormatContext
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.forward.formats.ngsi_models import DOMAINS, VEHICLE_TYPES, context_of
from gateway.quantities import registry
from gateway.reading import Dims, Flag
from tests.forward.entities import attributes, context_terms, key_values, schema_errors
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
    catalogue = Catalogue()
    rows = case["readings"]
    batch = Batch(
        epoch=3,
        boot=2,
        first=1000,
        series=[
            catalogue.add(row["sensor"], row["quantity"], tuple(sorted(row["dims"].items())))
            for row in rows
        ],
        times_ns=[row["at_ns"] for row in rows],
        values=[row["value"] for row in rows],
        flags=[row.get("flags", 0) for row in rows],
        offset_ns=OFFSET_NS,
        synced=case.get("synced", True),
    )
    context = dataclasses.replace(NGSI, location=None, locations={}) if case.get("lost") else NGSI
    messages = NgsiLd().encode(batch, range(len(rows)), catalogue, context)
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
