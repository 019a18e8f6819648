"""The json format loses nothing: what goes in comes out of the lines again, and fits the schema."""

import dataclasses
import json
import math
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.buffer import Batch
from gateway.forward.formats.base import TimeText
from gateway.forward.formats.json_lines import JsonLines
from gateway.quantities import DIMS, registry
from gateway.reading import Aggregation, Flag, PrivacyClass, Series, SeriesKey, flag_names
from tests.forward.entities import series_of
from tests.forward.fakes import CONTEXT, OFFSET_NS, Catalogue

JSON = dataclasses.replace(CONTEXT, topic=JsonLines.topic)
SCHEMA = json.loads(
    files("gateway").joinpath("data/reading.schema.json").read_text(encoding="utf-8")
)
VALIDATOR = Draft202012Validator(SCHEMA)
PRIVACY: PrivacyClass = "P0"

keys = st.builds(
    SeriesKey,
    sensor=st.sampled_from(["air-roof", "radar", "m1"]),
    quantity=st.sampled_from(sorted(registry())),
    dims=st.dictionaries(st.sampled_from(DIMS), st.text(max_size=8), max_size=3).map(
        lambda dims: tuple(sorted(dims.items()))
    ),
    aggregation=st.sampled_from(["instant", "mean", "p85", "sum"]),
)
rows = st.lists(
    st.tuples(
        keys,
        st.integers(0, 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.integers(0, sum(Flag)),
    ),
    min_size=1,
    max_size=30,
)


def batch_of(
    readings: list[tuple[SeriesKey, int, float, int]], *, synced: bool = True
) -> tuple[Batch, dict[int, Series]]:
    by_key: dict[SeriesKey, Series] = {}
    for key, *_ in readings:
        by_key.setdefault(key, Series(len(by_key), key, f'unit "{len(by_key)}" ø', PRIVACY))
    batch = Batch(
        epoch=7,
        boot=4,
        first=5000,
        series=[by_key[row[0]].id for row in readings],
        times_ns=[row[1] for row in readings],
        values=[row[2] for row in readings],
        flags=[row[3] for row in readings],
        offset_ns=OFFSET_NS,
        synced=synced,
    )
    return batch, {series.id: series for series in by_key.values()}


def flags_of(names: list[str]) -> int:
    return sum(int(Flag[name.upper()]) for name in names)


@given(rows, st.booleans())
def test_lines_give_back_what_went_in(
    readings: list[tuple[SeriesKey, int, float, int]],
    synced: bool,  # noqa: FBT001 - hypothesis passes it so
) -> None:
    batch, series = batch_of(readings, synced=synced)
    messages = JsonLines().encode(batch, range(len(batch)), series.__getitem__, JSON)
    found: dict[int, dict[str, Any]] = {}
    for message in messages:
        assert message.payload.endswith(b"\n")
        lines = [json.loads(line) for line in message.payload.splitlines()]
        assert len(lines) == message.count == len(message.positions)
        assert [line["sequence"] for line in lines] == [5000 + i for i in message.positions]
        assert (message.first, message.last) == (lines[0]["sequence"], lines[-1]["sequence"])
        for line in lines:
            assert line["sequence"] not in found
            found[line["sequence"]] = line
            assert message.topic == f"city/aarhus/dokk1-03/{line['sensor']}/json"
    assert set(found) == {5000 + i for i in range(len(readings))}
    doubt = 0 if synced else int(Flag.CLOCK_UNSYNCED)
    for i, (key, time_ns, value, flags) in enumerate(readings):
        line = found[5000 + i]
        assert not list(VALIDATOR.iter_errors(line))
        assert (line["gateway"], line["epoch"], line["boot"]) == ("dokk1-03", 7, 4)
        assert line["boottime_ns"] == time_ns
        assert line["value"] == value
        assert math.copysign(1, line["value"]) == math.copysign(1, value)
        assert flags_of(line["flags"]) == flags | doubt
        assert line["unit"] == series[batch.series[i]].unit
        dims = tuple(sorted(line["dims"].items()))
        assert SeriesKey(line["sensor"], line["quantity"], dims, line["aggregation"]) == key


@given(st.integers(-(2**62), 2**62), st.sampled_from([3, 6, 9]))
def test_times_are_rfc_3339_and_cut_never_rounded(wall_ns: int, digits: int) -> None:
    text = TimeText(digits)(wall_ns)
    unit_ns = 10 ** (9 - digits)
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert len(fraction) == digits
    told_ns = (seconds - epoch) // timedelta(seconds=1) * 10**9 + int(fraction) * unit_ns
    assert told_ns == wall_ns // unit_ns * unit_ns


def test_numbers_are_as_short_as_they_can_be() -> None:
    key = SeriesKey("a", "air.pm25")
    values = [8.0, 8.4, 0.1 + 0.2, -0.0, 1e16, 1e-7]
    batch, series = batch_of([(key, i, value, 0) for i, value in enumerate(values)])
    (message,) = JsonLines().encode(batch, range(len(values)), series.__getitem__, JSON)
    written = [
        line.split('"value":')[1].split(",")[0]
        for line in message.payload.decode().split("\n")[:-1]
    ]
    assert written == ["8", "8.4", "0.30000000000000004", "-0.0", "1e+16", "1e-07"]


def test_what_is_no_number_is_left_out() -> None:
    key = SeriesKey("a", "air.pm25")
    values = [math.nan, 1.0, math.inf]
    batch, series = batch_of([(key, i, value, 0) for i, value in enumerate(values)])
    (message,) = JsonLines().encode(batch, range(3), series.__getitem__, JSON)
    assert message.positions == [1]


def test_only_what_was_selected_is_written() -> None:
    catalogue = Catalogue()
    ids = [catalogue.add("a", "air.pm25"), catalogue.add("b", "air.pm25")]
    batch = Batch(
        epoch=1,
        boot=1,
        first=10,
        series=ids * 3,
        times_ns=list(range(6)),
        values=[1.0] * 6,
        flags=[0] * 6,
        offset_ns=OFFSET_NS,
        synced=True,
    )
    messages = JsonLines().encode(batch, [1, 2, 5], catalogue, JSON)
    assert {m.topic.split("/")[3]: (m.first, m.last, m.count) for m in messages} == {
        "a": (12, 12, 1),
        "b": (11, 15, 2),
    }


def test_the_schema_names_what_the_code_knows() -> None:
    fields = SCHEMA["properties"]
    assert SCHEMA["$id"] == JsonLines.schema
    assert fields["dims"]["propertyNames"]["enum"] == list(DIMS)
    assert fields["flags"]["items"]["enum"] == flag_names(sum(Flag))
    assert sorted([*SCHEMA["required"], "window_s"]) == sorted(fields)
    assert fields["aggregation"]["enum"] == list(get_args(Aggregation))


@pytest.mark.parametrize(("text", "length_s"), [("900", 900), ("0.5", 0.5), ("3600.0", 3600)])
def test_a_window_says_how_long_it_is(text: str, length_s: float) -> None:
    series = series_of(0, "a", "air.pm25", aggregation="mean", window_s=text)
    batch, _ = batch_of([(series.key, 0, 8.4, 0)])
    (message,) = JsonLines().encode(batch, [0], {0: series}.__getitem__, JSON)
    line = json.loads(message.payload)
    assert not list(VALIDATOR.iter_errors(line))
    assert line["window_s"] == length_s


def test_what_is_no_window_says_nothing_of_one() -> None:
    batch, series = batch_of([(SeriesKey("a", "air.pm25"), 0, 8.4, 0)])
    (message,) = JsonLines().encode(batch, [0], series.__getitem__, JSON)
    assert b"window_s" not in message.payload
