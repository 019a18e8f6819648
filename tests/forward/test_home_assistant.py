"""The Home Assistant format: devices that it accepts, states in order, nobody forgotten."""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.buffer import Batch
from gateway.forward import load_format
from gateway.forward.formats.base import Message, SensorFacts
from gateway.forward.formats.home_assistant import HomeAssistant, HomeAssistantOptions
from gateway.forward.formats.home_assistant_entities import entity_of, identifier
from gateway.quantities import registry
from gateway.reading import Aggregation, Dims, Series, SeriesKey
from tests.forward.entities import series_of
from tests.forward.fakes import CONTEXT, OFFSET_NS

FACTS = SensorFacts(
    driver="sds011", title="Nova SDS011", domain="air", interval_s=1.0, privacy="P0"
)
HOME = dataclasses.replace(
    CONTEXT,
    topic=HomeAssistant.topic,
    sensors={"air-roof": FACTS},
    version="0.1.0",
    status_topic="city/aarhus/dokk1-03/status",
)
ID = re.compile(r"[a-zA-Z0-9_-]+")
AGGREGATIONS: list[Aggregation] = list(get_args(Aggregation))
SHAPES: list[Dims] = [
    (),
    (("phase", "L1"),),
    (("direction", "inbound"), ("lane", "2"), ("vehicle_class", "car")),
    (("lane", "nær/side 1"),),
    (("lane", "nær/side_1"),),
]

# What Home Assistant's sensor platform holds against each other (its tables, written down here
# from its documentation): device class -> units, and the state classes that it warns about.
UNITS: dict[str, set[str | None]] = {
    "apparent_power": {"VA"},
    "aqi": {None},
    "atmospheric_pressure": {"hPa"},
    "battery": {"%"},
    "carbon_dioxide": {"ppm"},
    "carbon_monoxide": {"ppm", "mg/m³"},
    "current": {"A"},
    "distance": {"m", "cm"},
    "duration": {"s"},
    "energy": {"kWh"},
    "frequency": {"Hz"},
    "gas": {"m³"},
    "humidity": {"%"},
    "illuminance": {"lx"},
    "irradiance": {"W/m²"},
    "nitrogen_dioxide": {"μg/m³", "ppb"},
    "nitrogen_monoxide": {"μg/m³"},
    "ozone": {"μg/m³", "ppb"},
    "pm1": {"μg/m³"},
    "pm4": {"μg/m³"},
    "pm10": {"μg/m³"},
    "pm25": {"μg/m³"},
    "power": {"W"},
    "power_factor": {None},
    "precipitation": {"mm"},
    "precipitation_intensity": {"mm/h"},
    "reactive_energy": {"kvarh"},
    "reactive_power": {"var"},
    "signal_strength": {"dB", "dBm"},
    "sound_pressure": {"dBA"},
    "speed": {"km/h"},
    "sulphur_dioxide": {"μg/m³"},
    "temperature": {"°C"},
    "volatile_organic_compounds": {"μg/m³"},
    "volatile_organic_compounds_parts": {"ppb"},
    "voltage": {"V"},
    "volume": {"m³"},
    "volume_flow_rate": {"m³/h"},
    "water": {"m³"},
    "wind_direction": {"°"},
    "wind_speed": {"m/s"},
}
ONLY_TOTALS = {"energy", "gas", "volume", "water"}
ANY_STATE_CLASS = {"distance", "duration", "precipitation", "reactive_energy"}


def batch_of(rows: Sequence[tuple[Series, float]], *, first: int = 1000) -> Batch:
    return Batch(
        epoch=3,
        boot=2,
        first=first,
        series=[series.id for series, _ in rows],
        times_ns=[i * 1_000_000 for i in range(len(rows))],
        values=[value for _, value in rows],
        flags=[0] * len(rows),
        offset_ns=OFFSET_NS,
        synced=True,
    )


def encode(rows: Sequence[tuple[Series, float]], topic: str = HomeAssistant.topic) -> list[Message]:
    by_id = {series.id: series for series, _ in rows}
    context = dataclasses.replace(HOME, topic=topic)
    batch = batch_of(rows)
    return HomeAssistant().encode(batch, range(len(rows)), by_id.__getitem__, context)


def states(messages: Sequence[Message]) -> list[tuple[dict[str, Any], list[int]]]:
    return [(json.loads(message.payload), message.positions) for message in messages]


def discovered(*series: Series, options: dict[str, Any] | None = None) -> dict[str, Any]:
    encoder = HomeAssistant(HomeAssistantOptions.model_validate(options or {}))
    config, _ = encoder.announce(series[0].key.sensor, series, HOME, OFFSET_NS)
    found: dict[str, Any] = json.loads(config.payload)
    return found


PM25 = series_of(1, "air-roof", "air.pm25", unit="ug/m3")
PM10 = series_of(2, "air-roof", "air.pm10", unit="ug/m3")
RAIN = series_of(3, "air-roof", "rain.amount", unit="mm")
JAM = series_of(4, "radar", "traffic.congested")


def test_a_sensor_is_discovered_as_a_device() -> None:
    encoder = HomeAssistant()
    config, available = encoder.announce("air-roof", [PM25, RAIN], HOME, OFFSET_NS)
    assert config.topic == "homeassistant/device/aarhus_dokk1-03_air-roof/config"
    assert config.retain
    assert config.count == 0
    assert (available.topic, available.payload, available.retain) == (
        "city/aarhus/dokk1-03/air-roof/state/availability",
        b"online",
        True,
    )
    assert json.loads(config.payload) == {
        "device": {
            "identifiers": ["aarhus_dokk1-03_air-roof"],
            "name": "air-roof",
            "model": "Nova SDS011",
        },
        "origin": {"name": "citylab-gateway", "sw_version": "0.1.0"},
        "availability": [
            {"topic": "city/aarhus/dokk1-03/air-roof/state/availability"},
            {
                "topic": "city/aarhus/dokk1-03/status",
                "value_template": "{{ value_json.state }}",
            },
        ],
        "availability_mode": "all",
        "state_topic": "city/aarhus/dokk1-03/air-roof/state",
        "qos": 1,
        "components": {
            "air_pm25": {
                "platform": "sensor",
                "name": "air pm25",
                "value_template": "{{ value_json['air_pm25'] | default('') }}",
                "device_class": "pm25",
                "unit_of_measurement": "μg/m³",
                "state_class": "measurement",
                "unique_id": "aarhus_dokk1-03_air-roof_air_pm25",
            },
            "rain_amount": {
                "platform": "sensor",
                "name": "rain amount",
                "value_template": "{{ value_json['rain_amount'] | default('') }}",
                "device_class": "precipitation",
                "unit_of_measurement": "mm",
                "state_class": "total",
                "last_reset_value_template": "{{ value_json['rain_amount.at'] | default('') }}",
                "unique_id": "aarhus_dokk1-03_air-roof_rain_amount",
            },
        },
    }


def test_a_sensor_that_never_measured_is_not_shown() -> None:
    assert HomeAssistant().announce("air-roof", [], HOME, OFFSET_NS) == []


def test_a_silent_sensor_is_unavailable_and_stays() -> None:
    (message,) = HomeAssistant().withdraw("air-roof", HOME, OFFSET_NS)
    assert message.topic == discovered(PM25)["availability"][0]["topic"]
    assert (message.payload, message.retain) == (b"offline", True)


@pytest.mark.parametrize("quantity", [*sorted(registry()), "lab.glow"])
def test_home_assistant_accepts_every_series(quantity: str) -> None:
    for dims in SHAPES:
        for aggregation in AGGREGATIONS:
            series = series_of(1, "s", quantity, dims, aggregation=aggregation, unit="mol/s")
            ((key, component),) = discovered(series)["components"].items()
            assert ID.fullmatch(key)
            assert ID.fullmatch(component["unique_id"])
            check(component, registry()[quantity].kind if quantity in registry() else "gauge")


def check(component: dict[str, Any], kind: str) -> None:
    """Hold a component against the rules of its platform."""
    if component["platform"] == "binary_sensor":
        assert kind == "bool"
        assert not {"unit_of_measurement", "state_class", "last_reset_value_template"} & set(
            component
        )
        return
    device_class = component.get("device_class")
    state_class = component.get("state_class")
    unit = component.get("unit_of_measurement")
    if device_class is not None:
        assert unit in UNITS[device_class]
        if device_class in ONLY_TOTALS:
            assert state_class in ("total", "total_increasing")
        elif device_class == "wind_direction":
            assert state_class == "measurement_angle"
        elif device_class not in ANY_STATE_CLASS:
            assert state_class == "measurement"
    # Only a number may render as an empty text, which leaves the state as it was.
    assert state_class or unit or "suggested_display_precision" in component
    assert ("last_reset_value_template" in component) <= (state_class == "total")
    if kind == "delta" and state_class == "total":
        assert "last_reset_value_template" in component
    assert "\u00b5" not in (unit or "")


def test_a_lab_quantity_has_its_unit_and_no_class() -> None:
    series = series_of(1, "s", "lab.glow", unit="\u00b5mol/s")
    (component,) = discovered(series)["components"].values()
    assert component["unit_of_measurement"] == "\u03bcmol/s"
    assert "device_class" not in component


def test_ids_of_different_series_differ() -> None:
    names = [*registry(), "lab.x_y", "lab.x.y", "lab_x.y", "air_pm25", "air.pm25.aggregation-max"]
    keys = [
        SeriesKey("s", name, dims, aggregation)
        for name in names
        for dims in SHAPES
        for aggregation in AGGREGATIONS
    ]
    found = {entity_of(Series(1, key, "1")).key for key in keys}
    assert len(found) == len(keys)
    assert all(ID.fullmatch(key) for key in found)


@given(st.lists(st.lists(st.text(min_size=1, max_size=80), min_size=3, max_size=3), max_size=20))
def test_identifiers_are_allowed_and_different(parts: list[list[str]]) -> None:
    found: dict[str, list[str]] = {}
    for part in parts:
        text = identifier(*part)
        assert ID.fullmatch(text)
        assert found.setdefault(text, part) == part


def test_the_newest_value_wins_and_every_reading_is_accounted_for() -> None:
    messages = encode([(PM25, 8.4), (PM10, 12.0), (PM25, 9.0), (JAM, 1.0), (PM25, 9.5)])
    assert [message.topic for message in messages] == [
        "city/aarhus/dokk1-03/air-roof/state",
        "city/aarhus/dokk1-03/radar/state",
    ]
    assert states(messages) == [
        ({"air_pm25": 9.5, "air_pm10": 12}, [0, 1, 2, 4]),
        ({"traffic_congested": "ON"}, [3]),
    ]
    assert [(m.first, m.last, m.count) for m in messages] == [(1000, 1004, 4), (1003, 1003, 1)]
    assert not any(message.retain for message in messages)


def test_every_count_is_told_because_they_are_added_up() -> None:
    messages = encode([(RAIN, 0.2), (PM25, 8.4), (RAIN, 0.4), (RAIN, 0.2)])
    assert states(messages) == [
        (
            {"rain_amount": 0.2, "rain_amount.at": "2026-11-22T09:00:00.000000Z", "air_pm25": 8.4},
            [0, 1],
        ),
        ({"rain_amount": 0.4, "rain_amount.at": "2026-11-22T09:00:00.002000Z"}, [2]),
        ({"rain_amount": 0.2, "rain_amount.at": "2026-11-22T09:00:00.003000Z"}, [3]),
    ]


def test_what_a_counter_filter_gives_is_added_up() -> None:
    series = series_of(5, "m1", "energy.active_import", aggregation="sum", unit="kW.h")
    (component,) = discovered(series)["components"].values()
    assert (component["device_class"], component["state_class"]) == ("energy", "total")
    assert "last_reset_value_template" in component
    assert len(encode([(series, 0.5), (series, 0.25)])) == 2


def test_what_is_no_number_is_left_out() -> None:
    messages = encode([(PM25, float("nan")), (PM25, 1.0), (PM10, float("inf"))])
    assert states(messages) == [({"air_pm25": 1}, [1])]


def test_sensors_have_topics_of_their_own_whatever_the_template() -> None:
    messages = encode([(PM25, 1.0), (JAM, 0.0)], topic="lab/{gateway}")
    assert [message.topic for message in messages] == [
        "lab/dokk1-03/air-roof",
        "lab/dokk1-03/radar",
    ]


def test_templates_name_members_that_the_states_have() -> None:
    rows = [(PM25, 1.0), (RAIN, 1.0), (series_of(9, "air-roof", "lab.glow"), 1.0)]
    (message,) = encode(rows)
    (state,) = [json.loads(message.payload)]
    components = discovered(*[series for series, _ in rows])["components"]
    wanted = {
        name
        for component in components.values()
        for key in ("value_template", "last_reset_value_template")
        for name in re.findall(r"value_json\['([^']+)'\]", component.get(key, ""))
    }
    assert wanted == set(state)


def test_home_assistants_birth_begins_everything_again() -> None:
    session = HomeAssistant().session(HOME, 1, OFFSET_NS)
    assert session is not None
    assert session.subscriptions == ("homeassistant/status",)
    assert session.begins_at_once
    assert session.will is None
    assert session.hear("homeassistant/status", b"online") == "begin-again"
    for topic, payload in [
        ("homeassistant/status", b"offline"),
        ("homeassistant/status", b""),
        ("homeassistant/status", b"\xff" * 1000),
        ("other", b"online"),
    ]:
        assert session.hear(topic, payload) == "nothing"
    assert session.complete(b"as it is") == b"as it is"


def test_options_change_topics() -> None:
    options = {"discovery_prefix": "ha/lab", "birth_topic": ""}
    encoder = HomeAssistant(HomeAssistantOptions.model_validate(options))
    assert encoder.session(HOME, 1, OFFSET_NS) is None
    config, _ = encoder.announce("air-roof", [PM25], HOME, OFFSET_NS)
    assert config.topic == "ha/lab/device/aarhus_dokk1-03_air-roof/config"


def test_without_a_status_topic_only_the_sensor_itself_says_whether_it_is_there() -> None:
    nowhere = dataclasses.replace(HOME, status_topic="")
    config, said = HomeAssistant().announce("air-roof", [PM25], nowhere, OFFSET_NS)
    assert json.loads(config.payload)["availability"] == [{"topic": said.topic}]


@pytest.mark.parametrize(
    "options",
    [
        {"discovery_prefix": ""},
        {"discovery_prefix": "home/#"},
        {"discovery_prefix": "home/{tenant}"},
        {"birth_topic": "+/status"},
        {"status_topic": "city/x/status"},
        {"colour": "red"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        load_format("homeassistant", options)


def test_a_new_context_is_used_at_once() -> None:
    encoder, batch = HomeAssistant(), batch_of([(PM25, 1.0)])
    series = {1: PM25}.__getitem__
    encoder.encode(batch, [0], series, HOME)
    (message,) = encoder.encode(batch, [0], series, dataclasses.replace(HOME, tenant="vejle"))
    assert message.topic.startswith("city/vejle/")
