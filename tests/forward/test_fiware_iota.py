"""Measures for the FIWARE IoT Agent: cases as data, the same entities as ngsi-ld, provisioning."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.forward.formats.base import load_format
from gateway.forward.formats.fiware_iota import FiwareIota, FiwareIotaOptions, provisioning
from gateway.forward.formats.ngsi_ld import NgsiLd
from gateway.quantities import registry
from gateway.reading import Dims, Flag, Series, SeriesKey
from tests.forward.payload_cases import (
    CONTEXT,
    LOST,
    Row,
    cases,
    context_for,
    encode,
    example_of,
    run_case,
)

CASES = cases("payloads_fiware_iota")
PM25, PM10 = SeriesKey("air-roof", "air.pm25"), SeriesKey("air-roof", "air.pm10")
SHAPES: list[Dims] = [
    (),
    *((("phase", phase),) for phase in ("L1", "N", "L12", "total")),
    (("lane", "1"),),
    (("direction", "inbound"), ("lane", "2"), ("vehicle_class", "car")),
    (("channel", "a+b/#é"),),
]
AGENT_KEYS = {"TimeInstant", "quality"}


def measures(payload: bytes) -> list[dict[str, Any]]:
    found = json.loads(payload)
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_payloads_are_as_expected(path: Path) -> None:
    run_case(path, "fiware-iota")


def test_one_measure_is_an_object_and_several_are_an_array() -> None:
    (one,) = encode(FiwareIota(), [(PM25, 0, 1.0, 0), (PM10, 0, 2.0, 0)])
    assert one.payload.startswith(b'{"TimeInstant"')
    (two,) = encode(FiwareIota(), [(PM25, 0, 1.0, 0), (PM25, 10**9, 2.0, 0)])
    assert two.payload.startswith(b'[{"TimeInstant"')


@pytest.mark.parametrize("quantity", [*sorted(registry()), "soil.moisture"])
@pytest.mark.parametrize("placed", [True, False], ids=["placed", "lost"])
def test_the_broker_ends_up_with_the_entities_of_ngsi_ld(quantity: str, placed: bool) -> None:  # noqa: FBT001
    """What the agent makes of a measure, by its own rules, is what ngsi-ld would have sent."""
    context = CONTEXT if placed else LOST
    for dims in SHAPES[:-1]:
        sent: list[Row] = [(SeriesKey("s-1", quantity, dims), 0, 0.5, 0)]
        (message,) = encode(FiwareIota(), sent, context_for(FiwareIota(), context))
        (other,) = encode(NgsiLd(), sent, context_for(NgsiLd(), context))
        (measure,) = measures(message.payload)
        (entity,) = json.loads(other.payload)
        _, apikey, device, attrs = message.topic.split("/")
        assert (apikey, attrs) == (f"citylab-{entity['type']}", "attrs")
        assert f"urn:ngsi-ld:{device}" == entity["id"]
        assert {name: value for name, value in measure.items() if name not in AGENT_KEYS} == {
            name: part["object"] if part["type"] == "Relationship" else part["value"]
            for name, part in entity.items()
            if name not in ("id", "type", "@context")
        }


def test_device_ids_hold_nothing_that_mqtt_or_an_agent_takes_for_something_else() -> None:
    (message,) = encode(FiwareIota(), [(SeriesKey("a", "device.voltage", SHAPES[-1]), 0, 1.0, 0)])
    _, _, device, _ = message.topic.split("/")
    assert not set(device) & set("+#/<>\"'=;()")


@given(
    st.lists(
        st.tuples(
            st.builds(
                SeriesKey,
                sensor=st.sampled_from(["a", "b"]),
                quantity=st.sampled_from(sorted(registry())),
                dims=st.sampled_from(SHAPES),
            ),
            st.integers(0, 3_000_000),
            st.floats(),
            st.just(0),
        ),
        max_size=40,
    )
)
def test_every_reading_is_carried_once_in_a_place_of_its_own(rows: list[Row]) -> None:
    finite = [i for i, row in enumerate(rows) if math.isfinite(row[2])]
    messages = encode(FiwareIota(), rows)
    assert sorted(i for message in messages for i in message.positions) == finite
    plans = {
        attribute["name"]
        for service in provisioning(
            [Series(1, key, "1") for key, *_ in rows],
            context_for(FiwareIota()),
            FiwareIotaOptions(),
        )["services"]
        for attribute in service["attributes"]
        if attribute["type"] in ("Number", "Boolean", "StructuredValue")
    } - {"laneId", "controlledProperty"}
    values = 0
    for message in messages:
        found = measures(message.payload)
        times = [measure["TimeInstant"] for measure in found]
        assert times == sorted(times), "a broker keeps what comes last"
        assert len(set(times)) == len(times), "a time twice"
        for measure in found:
            for name in plans & set(measure):
                values += len(measure[name]) if isinstance(measure[name], dict) else 1
    assert values == len(finite)


def test_a_burst_moves_on_to_free_milliseconds() -> None:
    key = SeriesKey("radar", "traffic.speed_avg")
    (message,) = encode(FiwareIota(), [(key, 7_000_000 + i, float(i), 0) for i in range(500)])
    found = measures(message.payload)
    assert [measure["averageVehicleSpeed"] for measure in found] == list(range(500))
    assert found[0]["TimeInstant"] == "2026-11-22T09:00:00.007Z"
    assert found[-1]["TimeInstant"] == "2026-11-22T09:00:00.506Z"


def test_a_late_reading_finds_its_place_within_a_message() -> None:
    (message,) = encode(FiwareIota(), [(PM25, 10**9, 1.0, 0), (PM25, 0, 2.0, 0)])
    assert [measure["pm25"] for measure in measures(message.payload)] == [2, 1]
    assert (message.first, message.last, message.positions) == (1000, 1001, [0, 1])


def test_quality_is_that_of_the_worst_reading_and_always_said() -> None:
    rows: list[Row] = [(PM25, 0, 1.0, 0), (PM10, 0, 2.0, int(Flag.SPIKE)), (PM25, 10**9, 3.0, 0)]
    (message,) = encode(FiwareIota(), rows)
    assert [measure["quality"] for measure in measures(message.payload)] == ["uncertain", "good"]
    (message,) = encode(FiwareIota(), rows, synced=False)
    assert {measure["quality"] for measure in measures(message.payload)} == {"uncertain"}


def test_integers_fractions_and_noise_are_as_in_the_models() -> None:
    rows: list[Row] = [
        (SeriesKey("a", "air.tsp"), 0, 73.3, 0),
        (PM25, 0, 0.1 + 0.2, 0),
        (SeriesKey("a", "air.humidity"), 0, 57.3, 0),
    ]
    texts = b"".join(message.payload for message in encode(FiwareIota(), rows))
    for part in (b'"tsp":73,', b'"pm25":0.3,', b'"relativeHumidity":0.573,'):
        assert part in texts


def test_an_instance_gives_the_same_answer_again_and_follows_a_new_context() -> None:
    encoder, sent = FiwareIota(), [(PM25, 0, 1.0, 0)]
    first = encode(encoder, sent)
    assert encode(encoder, sent) == first
    (moved,) = encode(encoder, sent, context_for(encoder, topic="/json/{sensor}/attrs"))
    assert moved.topic == f"/{first[0].topic}"


# What the agent is told


def told(keys: list[SeriesKey], **options: Any) -> dict[str, list[dict[str, Any]]]:
    series = [Series(i, key, "1") for i, key in enumerate(keys)]
    return provisioning(series, context_for(FiwareIota()), FiwareIotaOptions(**options))


def units(attributes: list[dict[str, Any]]) -> dict[str, str]:
    return {a["name"]: a["metadata"]["unitCode"]["value"] for a in attributes if "metadata" in a}


@pytest.mark.parametrize("quantity", sorted(registry()))
def test_units_are_provisioned_as_ngsi_ld_sends_them(quantity: str) -> None:
    for dims in SHAPES:
        key = SeriesKey("s-1", quantity, dims)
        (other,) = encode(NgsiLd(), [(key, 0, 0.5, 0)])
        (entity,) = json.loads(other.payload)
        (service,) = told([key])["services"]
        assert service["entity_type"] == entity["type"]
        assert units(service["attributes"]) == {
            name: part["unitCode"]
            for name, part in entity.items()
            if isinstance(part, dict) and "unitCode" in part
        }
        (message,) = encode(FiwareIota(), [(key, 0, 0.5, 0)])
        (measure,) = measures(message.payload)
        assert {a["name"] for a in service["attributes"]} == set(measure) - {"TimeInstant"}


def test_types_of_attributes_are_those_that_the_agent_understands() -> None:
    (service,) = told([SeriesKey("m1", "electric.voltage", (("phase", "L1"),))])["services"]
    assert {a["name"]: a["type"] for a in service["attributes"]} == {
        "location": "geo:json",
        "phaseVoltage": "StructuredValue",
        "quality": "Text",
        "refDevice": "Relationship",
    }


def test_a_group_per_type_needs_no_devices() -> None:
    found = told([PM25, PM10, SeriesKey("air-roof", "air.temperature")])
    assert found["devices"] == []
    assert [
        (s["apikey"], s["resource"], s["entity_type"], s["transport"], s["entityNameExp"])
        for s in found["services"]
    ] == [
        (f"citylab-{name}", "/iot/json", name, "MQTT", "'urn:ngsi-ld:'+id")
        for name in ("AirQualityObserved", "WeatherObserved")
    ]


def test_devices_are_listed_where_a_group_cannot_say_it() -> None:
    temperature = SeriesKey("air-roof", "air.temperature")
    shared = told([PM25, temperature], apikey="k")
    assert shared["services"] == []
    assert [
        (d["device_id"], d["apikey"], d["entity_name"], d["entity_type"], units(d["attributes"]))
        for d in shared["devices"]
    ] == [
        (
            "AirQualityObserved:aarhus:air-roof",
            "k",
            "urn:ngsi-ld:AirQualityObserved:aarhus:air-roof",
            "AirQualityObserved",
            {"pm25": "GQ"},
        ),
        (
            "WeatherObserved:aarhus:air-roof",
            "k",
            "urn:ngsi-ld:WeatherObserved:aarhus:air-roof",
            "WeatherObserved",
            {"temperature": "CEL"},
        ),
    ]
    mixed = told([SeriesKey("a", "air.no2"), SeriesKey("b", "air.no2_mole_fraction")])
    assert units(mixed["services"][0]["attributes"]) == {}
    assert [units(d["attributes"]) for d in mixed["devices"]] == [{"no2": "GQ"}, {"no2": "61"}]
    named = told([PM25], device="{gateway}-{sensor}")
    assert "entityNameExp" not in named["services"][0]
    assert [d["device_id"] for d in named["devices"]] == ["dokk1-03-air-roof"]
    plain = told([PM25], device="{tenant}:{sensor}")
    assert "entityNameExp" not in plain["services"][0]
    assert plain["devices"] == []


def test_nothing_to_tell_is_an_empty_document() -> None:
    assert told([]) == {"services": [], "devices": []}


@pytest.mark.parametrize(
    "options",
    [
        {"apikey": "a/b"},
        {"apikey": "{tenant}"},
        {"apikey": ""},
        {"apikeys": {"WeatherObserved": "a+"}},
        {"device": "all"},
        {"device": "{sensor}/x"},
        {"device": "{sensor}{unit}"},
        {"key": "x"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load_format("fiware-iota", options)


def test_the_page_shows_what_the_code_writes() -> None:
    rows: list[Row] = [
        (PM25, 125_000_000, 8.4, 0),
        (PM10, 125_000_000, 12.0, 0),
        (PM25, 1_125_000_000, 8.5, int(Flag.SPIKE)),
    ]
    (one,) = encode(FiwareIota(), rows[:2])
    (several,) = encode(FiwareIota(), rows)
    assert example_of("fiware-iota.md", "measure") == one.payload.decode()
    assert example_of("fiware-iota.md", "measures") == several.payload.decode()
    assert json.loads(example_of("fiware-iota.md", "provisioning")) == told([PM25, PM10])


def test_windows_of_different_lengths_are_measures_of_their_own() -> None:
    """They share the entity, not the dates; an attribute that both have moves on."""
    first = SeriesKey("a", "air.no2", (), "mean")
    second = SeriesKey("a", "air.no2_mole_fraction", (), "mean")
    (message,) = encode(
        FiwareIota(),
        [(first, 0, 21.0, 0), (second, 0, 11.0, 0)],
        calibrations={"air.no2": {"window_s": "60"}, "air.no2_mole_fraction": {"window_s": "3600"}},
    )
    assert [
        (m["TimeInstant"], m["dateObservedFrom"], m["no2"]) for m in measures(message.payload)
    ] == [
        ("2026-11-22T09:00:00.000Z", "2026-11-22T08:59:00.000Z", 21),
        ("2026-11-22T09:00:00.001Z", "2026-11-22T08:00:00.001Z", 11),
    ]
