"""The ThingsBoard gateway API: cases as data, devices that come and go, nothing overwritten."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.forward.formats.base import load_format
from gateway.forward.formats.senml_names import path_of
from gateway.forward.formats.thingsboard import ThingsBoard, ThingsBoardOptions
from gateway.quantities import registry
from gateway.reading import Flag, Series, SeriesKey, quality_of
from tests.forward.payload_cases import (
    LOST,
    OFFSET_NS,
    Row,
    cases,
    context_for,
    encode,
    example_of,
    run_case,
)

CASES = cases("payloads_thingsboard")
PM25, PM10 = SeriesKey("air-roof", "air.pm25"), SeriesKey("air-roof", "air.pm10")
WALL_NS = OFFSET_NS
SERIES = [
    Series(1, PM25, "ug/m3"),
    Series(
        2,
        SeriesKey("air-roof", "air.pm10", (), "mean"),
        "ug/m3",
        calibration={"window_s": "60", "id": "k-7"},
    ),
]

keys = st.builds(
    SeriesKey,
    sensor=st.sampled_from(["a", "b"]),
    quantity=st.sampled_from([*sorted(registry()), 'lab "own"']),
    dims=st.sampled_from([(), (("lane", "1"),), (("lane", 'ø"'),)]),
    aggregation=st.sampled_from(["instant", "mean"]),
)
rows = st.lists(
    st.tuples(
        keys,
        st.integers(0, 5_000_000),
        st.floats(),
        st.sampled_from([0, int(Flag.SPIKE), int(Flag.RANGE | Flag.SPIKE), int(Flag.RESTART)]),
    ),
    min_size=1,
    max_size=40,
)


def telemetry(payload: bytes) -> dict[str, Any]:
    """Return the devices; a key that occurs twice in an object is an error."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        assert len(found) == len(items), "a key twice"
        return found

    devices: dict[str, Any] = json.loads(payload, object_pairs_hook=pairs)
    return devices


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_payloads_are_as_expected(path: Path) -> None:
    run_case(path, "thingsboard", telemetry)


@given(rows)
def test_every_value_has_a_place_of_its_own(rows: list[Row]) -> None:
    """ThingsBoard keeps one value per device, key and millisecond."""
    finite = [row for row in rows if math.isfinite(row[2])]
    stored: dict[tuple[str, str], list[tuple[int, Any]]] = {}
    doubts = 0
    for message in encode(ThingsBoard(), rows):
        for device, entries in telemetry(message.payload).items():
            assert len({entry["ts"] for entry in entries}) == len(entries)
            for entry in entries:
                for name, value in entry["values"].items():
                    if name.endswith("/quality"):
                        doubts += 1
                        continue
                    stored.setdefault((device, name), []).append((entry["ts"], value))
    assert doubts == sum(quality_of(row[3]) != "good" for row in finite)
    for (device, name), found in stored.items():
        came = [
            ((time_ns + OFFSET_NS) // 1_000_000, value)
            for key, time_ns, value, _ in finite
            if (f"dokk1-03/{key.sensor}", path_of(key)) == (device, name)
        ]
        assert len({ts for ts, _ in found}) == len(found) == len(came)
        assert sorted(float(value) for _, value in found) == sorted(
            float(value) if not isinstance(found[0][1], bool) else float(value != 0)
            for _, value in came
        )
        assert min(ts for ts, _ in found) == min(ms for ms, _ in came), "never moved back"
    assert sum(map(len, stored.values())) == len(finite)


def test_a_burst_moves_on_to_free_milliseconds_and_only_its_own_series() -> None:
    burst: list[Row] = [(PM25, 7_000_000 + i * 1000, float(i), 0) for i in range(999)]
    burst += [(PM25, 8_000_000, 999.0, 0), (PM10, 7_999_000, 1.0, 0)]
    (message,) = encode(ThingsBoard(), burst)
    entries = telemetry(message.payload)["dokk1-03/air-roof"]
    began = OFFSET_NS // 1_000_000 + 7
    assert [(e["ts"], e["values"]["air.pm25"]) for e in entries] == [
        (began + i, i) for i in range(1000)
    ]
    assert [e["ts"] for e in entries if "air.pm10" in e["values"]] == [began]


def test_numbers_keep_their_digits() -> None:
    values = [8.0, 8.4, 0.1 + 0.2, -0.0, 1e22, 5e-324, 2.0**53 + 2]
    sent: list[Row] = [(PM25, i * 1_000_000, value, 0) for i, value in enumerate(values)]
    (message,) = encode(ThingsBoard(), sent)
    found = [e["values"]["air.pm25"] for e in telemetry(message.payload)["dokk1-03/air-roof"]]
    assert [repr(float(value)) for value in found] == [repr(value) for value in values]


def test_a_device_is_connected_and_described() -> None:
    encoder = ThingsBoard(ThingsBoardOptions(device_type="Air station"))
    connect, attributes = encoder.announce("air-roof", SERIES, context_for(encoder), WALL_NS)
    assert (connect.topic, json.loads(connect.payload)) == (
        "v1/gateway/connect",
        {"device": "dokk1-03/air-roof", "type": "Air station"},
    )
    assert (attributes.topic, json.loads(attributes.payload)) == (
        "v1/gateway/attributes",
        {
            "dokk1-03/air-roof": {
                "tenant": "aarhus",
                "gateway": "dokk1-03",
                "sensor": "air-roof",
                "title": "Fine dust",
                "driver": "sds011",
                "domain": "air",
                "interval_s": 1.0,
                "privacy": "P0",
                "latitude": 56.1535,
                "longitude": 10.2134,
                "air.pm10/mean/unit": "ug/m3",
                "air.pm10/mean/window_s": "60",
                "air.pm10/mean/id": "k-7",
                "air.pm25/unit": "ug/m3",
            }
        },
    )
    assert not connect.retain
    assert (connect.count, connect.positions) == (0, [])


def test_a_sensor_that_never_measured_and_is_nowhere_is_connected_too() -> None:
    encoder = ThingsBoard()
    connect, attributes = encoder.announce("new", [], context_for(encoder, LOST), WALL_NS)
    assert json.loads(connect.payload) == {"device": "dokk1-03/new"}
    assert json.loads(attributes.payload) == {
        "dokk1-03/new": {"tenant": "aarhus", "gateway": "dokk1-03", "sensor": "new"}
    }


def test_a_silent_device_is_disconnected() -> None:
    encoder = ThingsBoard()
    (message,) = encoder.withdraw("air-roof", context_for(encoder), WALL_NS)
    assert (message.topic, json.loads(message.payload)) == (
        "v1/gateway/disconnect",
        {"device": "dokk1-03/air-roof"},
    )


def test_the_other_topics_stand_beside_the_configured_one() -> None:
    encoder = ThingsBoard()
    context = context_for(encoder, topic="bridge/v1/gateway/telemetry")
    topics = [message.topic for message in encoder.announce("a", [], context, WALL_NS)]
    topics += [message.topic for message in encoder.withdraw("a", context, WALL_NS)]
    assert topics == [f"bridge/v1/gateway/{x}" for x in ("connect", "attributes", "disconnect")]


def test_an_instance_gives_the_same_answer_again_and_follows_a_new_context() -> None:
    encoder, sent = ThingsBoard(), [(PM25, 0, 1.0, 0)]
    first = encode(encoder, sent)
    assert encode(encoder, sent) == first
    (moved,) = encode(encoder, sent, context_for(encoder, topic="x/y"))
    assert moved.topic == "x/y"


@pytest.mark.parametrize(
    "options",
    [{"device": "all"}, {"device": "{sensor}{id}"}, {"device": "{sensor}{"}, {"devices": "x"}],
)
def test_wrong_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        load_format("thingsboard", options)


def test_the_page_shows_what_the_code_writes() -> None:
    encoder = ThingsBoard()
    context = context_for(encoder)
    (sent,) = encode(
        encoder, [(PM25, 125_000_000, 8.4, 0), (PM10, 125_000_000, 12.0, int(Flag.SPIKE))]
    )
    connect, attributes = encoder.announce("air-roof", SERIES[:1], context, WALL_NS)
    (disconnect,) = encoder.withdraw("air-roof", context, WALL_NS)
    for name, message in (
        ("telemetry", sent),
        ("connect", connect),
        ("attributes", attributes),
        ("disconnect", disconnect),
    ):
        assert example_of("thingsboard.md", name) == message.payload.decode()
