"""SenML as JSON and CBOR: cases as data, and everything that goes in comes out of a resolver."""

import csv
import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway.forward.formats.base import load_format
from gateway.forward.formats.senml import SenmlCbor, SenmlJson, SenmlOptions
from gateway.forward.formats.senml_cbor import CborWriter
from gateway.forward.formats.senml_json import JsonWriter
from gateway.forward.formats.senml_names import path_of
from gateway.forward.formats.senml_units import PRIMARY, Scale, Units, scale_of, scaled
from gateway.quantities import DIMS, registry
from gateway.reading import Aggregation, Flag, Series, SeriesKey, flag_names, quality_of
from tests.forward.payload_cases import (
    LOST,
    OFFSET_NS,
    Row,
    case_messages,
    cases,
    context_for,
    encode,
    example_of,
    run_case,
)
from tests.forward.senml_resolver import Resolved, from_cbor, from_json, resolve

Decoder = Callable[[bytes], list[dict[str, Any]]]
FORMATS: list[tuple[type[SenmlJson | SenmlCbor], Decoder]] = [
    (SenmlJson, from_json),
    (SenmlCbor, from_cbor),
]
BOTH = pytest.mark.parametrize(
    ("make", "decode"), FORMATS, ids=[make.content_type for make, _ in FORMATS]
)
CASES = cases("payloads_senml")
BASE = "urn:dev:ops:aarhus_dokk1-03_"
AGGREGATIONS: list[Aggregation] = ["instant", "mean", "count", "p85"]
ODD = [0.0, -0.0, 5e-324, -2.2e-308, 1.7976931348623157e308, 2.0**53 + 2, -(2.0**63), 2.0**64]
ODD += [1e22, 1e23, 0.1 + 0.2, 8.4, 123456789.123, -0.5, 4294967296.5, 1e-7, 1.5e-22, 1e-23]

keys = st.builds(
    SeriesKey,
    sensor=st.sampled_from(["air-roof", "radar", "m1"]),
    quantity=st.sampled_from([*sorted(registry()), "soil.moisture", "sød_ting:1"]),
    dims=st.dictionaries(st.sampled_from(DIMS), st.text(max_size=6), max_size=2).map(
        lambda dims: tuple(sorted(dims.items()))
    ),
    aggregation=st.sampled_from(AGGREGATIONS),
)
values = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(ODD)
rows = st.lists(
    st.tuples(keys, st.integers(0, 2**52), values, st.integers(0, sum(Flag))),
    min_size=1,
    max_size=20,
)


def check(row: Row, got: Resolved | None, units: Units) -> None:
    """Compare one record with the reading that it stands for, digit by digit."""
    key, time_ns, value, _ = row
    scale = scale_of(Series(1, key, "1"), units)
    exact = Fraction(Decimal(repr(value))) * scale.factor + scale.offset
    if abs(exact) >= 2**1024 - 2**970:  # rounds to infinity
        assert got is None
        return
    assert got is not None
    assert got.name == f"{BASE}{key.sensor}:{path_of(key)}"
    assert got.time == Decimal((time_ns + OFFSET_NS) // 1000).scaleb(-6)
    assert got.unit == scale.unit
    quantity = registry().get(key.quantity)
    if quantity is not None and quantity.kind == "bool" and key.aggregation == "instant":
        assert got.value is (value != 0)
        return
    assert isinstance(got.value, Decimal)
    if scale.is_plain:
        assert got.value in (Decimal(repr(value)), Decimal(value))  # beyond 2**53 they differ
        assert float(got.value) == value
        assert got.value.is_signed() == (math.copysign(1, value) < 0)
        return
    assert Fraction(got.value) == exact or got.value == Decimal(repr(float(exact)))


@BOTH
@given(rows=rows, synced=st.booleans(), units=st.sampled_from(["secondary", "primary"]))
def test_resolved_records_are_the_readings(
    make: type[SenmlJson | SenmlCbor],
    decode: Decoder,
    rows: list[Row],
    synced: bool,  # noqa: FBT001 - hypothesis passes it so
    units: Units,
) -> None:
    encoder = make(SenmlOptions(units=units))
    messages = encode(encoder, rows, synced=synced)
    positions = [i for message in messages for i in message.positions]
    records = [record for message in messages for record in resolve(decode(message.payload))]
    doubts = iter([record for record in records if record.name.endswith(":quality")])
    told = iter(
        [
            record
            for record in records
            if not record.name.endswith((":lat", ":lon", "_lat", "_lon", ":quality"))
        ]
    )
    assert positions == sorted(positions)
    for i in set(range(len(rows))) - set(positions):
        check(rows[i], None, units)
    for i in sorted(positions, key=lambda i: (rows[i][1] + OFFSET_NS) // 1000):
        record = next(told)
        check(rows[i], record, units)
        mark = rows[i][3] | (0 if synced else int(Flag.CLOCK_UNSYNCED))
        if quality_of(mark) != "good":
            words = " ".join([quality_of(mark), *flag_names(mark)])
            assert next(doubts) == Resolved(f"{record.name}:quality", record.time, "", words)
    assert not [*told, *doubts]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_payloads_are_as_expected(path: Path) -> None:
    run_case(path, "senml-json")
    case = json.loads(path.read_text(encoding="utf-8"))
    text, binary = case_messages(case, "senml-json"), case_messages(case, "senml-cbor")
    assert [resolve(from_cbor(message.payload)) for message in binary] == [
        resolve(from_json(message.payload)) for message in text
    ]


@given(values)
def test_cbor_numbers_are_short_and_never_half_or_single_precision(value: float) -> None:
    written = CborWriter().number(value)
    assert len(written) <= 9
    assert written[0] not in (0xF9, 0xFA)


@pytest.mark.parametrize(
    ("value", "cbor", "text"),
    [
        (0.0, "00", "0"),
        (-0.0, "fb8000000000000000", "-0.0"),
        (84.0, "1854", "84"),
        (-1.0, "20", "-1"),
        (8.4, "c482201854", "8.4"),
        (-4.2, "c482203829", "-4.2"),
        (1795338000.0, "1a6b02af10", "1795338000"),
        (2.0**53 + 2, "1b0020000000000002", "9007199254740994"),
        (1e-7, "c4822601", "1e-07"),
        (0.1 + 0.2, "fb3fd3333333333334", "0.30000000000000004"),
        (1e300, "fb7e37e43c8800759c", "1e+300"),
        (5e-324, "fb0000000000000001", "5e-324"),
    ],
)
def test_numbers_byte_by_byte(value: float, cbor: str, text: str) -> None:
    assert CborWriter().number(value).hex() == cbor
    assert JsonWriter().number(value) == text


@pytest.mark.parametrize(
    ("value", "scale", "text"),
    [
        (8.4, Scale("kg/m3", Fraction(1, 10**9)), "8.4E-9"),
        (1.1, Scale("ug/m3", Fraction(1000)), "1100"),
        (10172.1, Scale("J", Fraction(3_600_000)), "36619560000"),
        (0.1 + 0.2, Scale("J", Fraction(3_600_000)), "1080000.000000000144"),
        (1013.25, Scale("Pa", Fraction(100)), "101325"),
        (57.3, Scale("/", Fraction(1, 100)), "0.573"),
        (-71.0, Scale("dBW", Fraction(1), Fraction(-30)), "-101"),
        (7200.0, Scale("1/s", Fraction(1, 3600)), "2"),
        (1.0, Scale("m/s", Fraction(10, 36)), "0.2777777777777778"),
        (0.0, Scale("Pa", Fraction(100)), "0"),
        (-0.0, Scale("Pa", Fraction(100)), "-0.0"),
    ],
)
def test_units_are_changed_without_noise(value: float, scale: Scale, text: str) -> None:
    product = scaled(value, scale)
    assert product is not None
    assert JsonWriter().decimal(product) == text
    (back,) = from_cbor(b"\x81\xa1\x02" + CborWriter().decimal(product))
    assert back["v"] == Decimal(text)


@BOTH
def test_what_consumers_would_read_as_infinity_is_left_out(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    key = SeriesKey("m", "energy.active_import")
    rows: list[Row] = [
        (key, i, value, 0) for i, value in enumerate([1e308, math.nan, 2.0, -math.inf])
    ]
    (message,) = encode(make(SenmlOptions(units="primary")), rows)
    assert message.positions == [2]
    assert resolve(decode(message.payload))[-1].value == 7_200_000
    assert encode(make(SenmlOptions(units="primary")), rows[:2]) == []


@BOTH
def test_a_burst_within_a_millisecond_stays_apart(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    key = SeriesKey("radar", "traffic.speed_avg")
    rows: list[Row] = [(key, 5_000_000 + i * 1000, float(i), 0) for i in range(1000)]
    (message,) = encode(make(), rows)
    speeds = [record for record in resolve(decode(message.payload)) if record.unit == "km/h"]
    assert [record.value for record in speeds] == list(range(1000))
    assert len({record.time for record in speeds}) == 1000
    assert len({float(record.time) for record in speeds}) == 1000, "doubles tell them apart, too"


@BOTH
def test_equal_times_keep_their_order_and_late_readings_find_their_place(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    key = SeriesKey("radar", "traffic.speed_avg")
    rows: list[Row] = [(key, 9_000, 1.0, 0), (key, 9_000, 2.0, 0), (key, 5_000, 3.0, 0)]
    (message,) = encode(make(), rows)
    records = resolve(decode(message.payload))
    assert [record.value for record in records if record.unit == "km/h"] == [3, 1, 2]
    assert (message.first, message.last, message.positions) == (1000, 1002, [0, 1, 2])


@BOTH
def test_a_time_that_would_mean_from_now_is_left_out(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    key = SeriesKey("a", "air.pm25")
    border_ns = 2**28 * 10**9 - OFFSET_NS
    rows: list[Row] = [(key, border_ns - 1, 1.0, 0), (key, border_ns, 2.0, 0)]
    (message,) = encode(make(), rows)
    assert message.positions == [1]
    assert {record.time for record in resolve(decode(message.payload))} == {2**28}


@BOTH
def test_the_place_is_said_once_for_all_that_stand_there(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    rows: list[Row] = [
        (SeriesKey(name, "air.pm25"), 0, 1.0, 0) for name in ("air-roof", "air-square", "radar")
    ]
    (message,) = encode(make(), rows)
    places = [
        record for record in resolve(decode(message.payload)) if record.unit in ("lat", "lon")
    ]
    assert [(place.name, place.unit, place.value) for place in places] == [
        (f"{BASE}lat", "lat", Decimal("56.1535")),
        (f"{BASE}lon", "lon", Decimal("10.2134")),
        (f"{BASE}radar:lat", "lat", Decimal("56.1")),
        (f"{BASE}radar:lon", "lon", Decimal("10.2")),
    ]
    encoder = make()
    (message,) = encode(encoder, rows, context_for(encoder, LOST))
    assert len(resolve(decode(message.payload))) == 3
    (message,) = encode(make(SenmlOptions(location=False)), rows)
    assert len(resolve(decode(message.payload))) == 3


@BOTH
def test_version_is_declared_where_asked_for_and_needed(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    pm, temperature = SeriesKey("a", "air.pm25"), SeriesKey("a", "air.temperature")
    options = SenmlOptions(declare_version=True)
    for key, version in ((pm, 26), (temperature, 10)):
        (message,) = encode(make(options), [(key, 0, 1.0, 0)])
        assert decode(message.payload)[0].get("bver", 10) == version
        (message,) = encode(make(), [(key, 0, 1.0, 0)])
        assert "bver" not in decode(message.payload)[0]


@BOTH
def test_a_topic_with_sensor_makes_a_pack_per_sensor(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    rows: list[Row] = [(SeriesKey(name, "air.pm25"), 0, 1.0, 0) for name in ("a", "b", "a")]
    encoder = make()
    messages = encode(encoder, rows, context_for(encoder, topic="x/{sensor}"))
    assert [(m.topic, m.first, m.last, m.count, m.positions) for m in messages] == [
        ("x/a", 1000, 1002, 2, [0, 2]),
        ("x/b", 1001, 1001, 1, [1]),
    ]
    assert all(message.content_type == make.content_type for message in messages)
    assert all(resolve(decode(message.payload)) for message in messages)


@BOTH
def test_an_instance_gives_the_same_answer_again_and_follows_a_new_context(
    make: type[SenmlJson | SenmlCbor], decode: Decoder
) -> None:
    encoder, rows = make(), [(SeriesKey("a", "air.pm25"), 0, 1.0, 0)]
    first = encode(encoder, rows)
    assert encode(encoder, rows) == first
    (message,) = encode(encoder, rows, context_for(encoder, LOST))
    assert len(resolve(decode(message.payload))) == 1


@given(keys, keys)
def test_two_series_never_share_a_name(one: SeriesKey, other: SeriesKey) -> None:
    names = {path_of(key) for key in (one, other)}
    assert len(names) == len({key[1:] for key in (one, other)})
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9\-:./_]+", name)
        assert not name.endswith(":quality")


def test_escaped_characters_are_no_other_text() -> None:
    lanes = ["a b", "a-20b", "a:20b", "a20b", "a/b", "ø", "ö", ""]
    names = [path_of(SeriesKey("s", "traffic.count", (("lane", lane),))) for lane in lanes]
    assert names[0] == "traffic.count/lane-a:20b"
    assert names[5] == "traffic.count/lane-:c3:b8"
    assert len(set(names)) == len(lanes)


def test_primary_units_are_those_of_the_registry() -> None:
    """The column senml_primary of the registry says "J*3.6e6", "m/s/3.6", "dBW-30" or nothing."""
    text = files("gateway").joinpath("data/quantities.csv").read_text(encoding="utf-8")
    for row in csv.DictReader(text.splitlines()):
        series = Series(1, SeriesKey("a", row["quantity"]), row["ucum"])
        scale = scale_of(series, "primary")
        if row["senml_class"] != "secondary":
            assert scale == scale_of(series, "secondary")
            assert scale.unit not in PRIMARY
            continue
        parts = re.fullmatch(r"(.+?)([*/-])([0-9.e-]+)", row["senml_primary"])
        assert parts is not None
        unit, sign, number = parts.groups()
        told = Fraction(Decimal(number))
        own = Fraction(row["senml_factor"])
        factor = {"*": told, "/": 1 / told, "-": Fraction(1)}[sign]
        assert scale == Scale(unit, own * factor, -told if sign == "-" else Fraction(0))


def test_a_unit_of_an_unknown_quantity_is_told_where_it_has_one_name() -> None:
    for ucum, unit in (("ug/m3", "ug/m3"), ("Cel", "Cel"), ("%", ""), ("1", ""), ("furlong", "")):
        assert scale_of(Series(1, SeriesKey("a", "lab.own"), ucum), "secondary").unit == unit


@pytest.mark.parametrize(
    "options", [{"units": "metric"}, {"unit": "primary"}, {"location": "perhaps"}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        load_format("senml-json", options)


PAGE_ROWS: list[Row] = [
    (SeriesKey("air-roof", "air.pm25"), 125_000_000, 8.4, 0),
    (SeriesKey("air-roof", "air.pm10"), 125_000_000, 12.0, int(Flag.SPIKE)),
    (
        SeriesKey("radar", "traffic.count", (("direction", "inbound"), ("lane", "1")), "sum"),
        700_250_000,
        3.0,
        0,
    ),
]


def test_the_page_shows_what_the_code_writes() -> None:
    (mixed,) = encode(SenmlJson(), PAGE_ROWS)
    assert example_of("senml.md", "pack") == mixed.payload.decode()
    one = [(PAGE_ROWS[0][0], 125_000_000 + i * 10**9, 8.4 + i, 0) for i in range(3)]
    (series,) = encode(SenmlJson(), one)
    assert example_of("senml.md", "series") == series.payload.decode()
    (binary,) = encode(SenmlCbor(), one)
    hexadecimal = example_of("senml.md", "cbor").replace("\n", "").replace(" ", "")
    assert bytes.fromhex(hexadecimal) == binary.payload
