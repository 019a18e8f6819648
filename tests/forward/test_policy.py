"""What may leave for whom; everything else stays, and is counted."""

from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer import Batch
from gateway.config.model import Position, SelectSection
from gateway.forward.formats.base import SensorFacts
from gateway.forward.policy import Policy, allows, coarse
from gateway.reading import PrivacyClass, Series, SeriesKey
from tests.forward.fakes import CONTEXT, Catalogue

HOUR_NS = 3_600_000_000_000
PLACE = Position(lon=10.213456, lat=-0.000123)
CLASSES: tuple[PrivacyClass, ...] = ("P0", "P1", "P2", "P3")


def facts(privacy: PrivacyClass, **more: float) -> SensorFacts:
    return SensorFacts(
        driver="p1",
        title="a meter",
        domain="energy",
        interval_s=10.0,
        privacy=privacy,
        min_publish_interval=more.get("min_publish_interval"),
        location_decimals=int(more["decimals"]) if "decimals" in more else None,
    )


@pytest.mark.parametrize("limit", ["P0", "P1", "P3"])
@pytest.mark.parametrize("privacy", CLASSES)
def test_priv_08_the_privacy_class_is_an_upper_limit_and_p2_leaves_for_nobody(
    limit: Literal["P0", "P1", "P3"], privacy: PrivacyClass
) -> None:
    series = Series(1, SeriesKey("meter", "power.active"), "W", privacy)
    expected = privacy <= limit and privacy != "P2"
    assert allows(SelectSection(privacy=limit), series, {"meter": facts(privacy)}) == expected


def test_priv_07_what_is_attributable_leaves_only_while_the_configuration_says_why() -> None:
    select = SelectSection(privacy="P3")
    series = Series(1, SeriesKey("unknown-7", "power.active"), "W", "P3")
    assert not allows(select, series)
    assert not allows(select, series, {"meter": facts("P3")})


def test_nobody_gets_p2_or_p3() -> None:
    for privacy, expected in zip(CLASSES, [True, True, False, False], strict=True):
        series = Series(1, SeriesKey("meter", "power.active"), "W", privacy)
        assert allows(SelectSection(), series) is expected


@pytest.mark.parametrize(
    ("sensors", "quantities", "expected"),
    [
        (("*",), ("*",), True),
        (("air-*",), ("*",), True),
        (("air-?oof",), ("air.pm*",), True),
        (("radar", "air-roof"), ("traffic.*", "air.pm25"), True),
        (("AIR-ROOF",), ("*",), False),
        (("air",), ("*",), False),
        (("*",), ("air.pm",), False),
        ((), ("*",), False),
    ],
)
def test_patterns(sensors: tuple[str, ...], quantities: tuple[str, ...], expected: bool) -> None:  # noqa: FBT001
    select = SelectSection(sensors=sensors, quantities=quantities)
    assert allows(select, Series(1, SeriesKey("air-roof", "air.pm25"), "ug/m3")) is expected


@given(st.lists(st.integers(1, 6), max_size=50))
def test_every_position_is_selected_withheld_or_unknown(ids: list[int]) -> None:
    catalogue = Catalogue()
    for number in range(4):
        catalogue.add(f"s{number}", "air.pm25", privacy=CLASSES[number])
    batch = Batch(epoch=1, boot=1, first=0, series=ids)
    selected, unknown = Policy(SelectSection(), catalogue).select(batch)
    assert selected == [i for i, series_id in enumerate(ids) if series_id in (1, 2)]
    assert unknown == sum(series_id > 4 for series_id in ids)


def test_a_series_is_judged_once() -> None:
    asked: list[int] = []
    catalogue = Catalogue()
    series_id = catalogue.add("a", "air.pm25")

    def lookup(wanted: int) -> Series:
        asked.append(wanted)
        return catalogue(wanted)

    policy = Policy(SelectSection(), lookup)
    for _ in range(3):
        policy.select(Batch(epoch=1, boot=1, first=0, series=[series_id] * 5))
    assert asked == [series_id]


def chosen(policy: Policy, ids: list[int], times_ns: list[int], first: int = 0) -> list[int]:
    batch = Batch(epoch=1, boot=1, first=first, series=ids, times_ns=times_ns)
    return [first + position for position in policy.select(batch)[0]]


def test_priv_09_a_dwellings_readings_leave_once_an_hour_over_all_connections() -> None:
    catalogue = Catalogue()
    dwelling = catalogue.add("home", "energy.active_import", privacy="P3")
    policy = Policy(SelectSection(privacy="P3"), catalogue, {"home": facts("P3")})
    minute_ns = HOUR_NS // 60
    times_ns = [minute * minute_ns for minute in range(130)]
    first = chosen(policy, [dwelling] * 130, times_ns)
    assert first == [0, 60, 120]
    again = chosen(policy, [dwelling] * 100, times_ns[30:], first=30)
    assert again == [60, 120], "what is read again after a lost connection is the same"


def test_a_sensor_may_ask_for_another_interval_and_the_longer_one_counts() -> None:
    catalogue = Catalogue()
    home = catalogue.add("home", "power.active", privacy="P3")
    times_ns = [second * 10**9 for second in range(0, 120, 10)]
    for own_s, broker_text, expected in ((20.0, "0 s", 6), (20.0, "60 s", 2), (0.0, "0 s", 12)):
        policy = Policy(
            SelectSection.model_validate({"privacy": "P3", "interval": broker_text}),
            catalogue,
            {"home": facts("P3", min_publish_interval=own_s)},
        )
        assert len(chosen(policy, [home] * 12, times_ns)) == expected


def test_live_and_history_share_the_intervals() -> None:
    catalogue = Catalogue()
    home = catalogue.add("home", "power.active", privacy="P3")
    policy = Policy(SelectSection(privacy="P3"), catalogue, {"home": facts("P3")})
    minute_ns = HOUR_NS // 60
    assert chosen(policy, [home], [70 * minute_ns], first=70) == [70]
    history = chosen(policy, [home] * 70, [minute * minute_ns for minute in range(70)])
    assert history == [0], "the second hour is told already"


def test_counts_in_a_window_are_never_thinned() -> None:
    catalogue = Catalogue()
    cars = catalogue.add("radar", "traffic.count")
    policy = Policy(SelectSection.model_validate({"interval": "1 h"}), catalogue)
    assert chosen(policy, [cars] * 5, [0, 1, 2, 3, 4]) == [0, 1, 2, 3, 4]


def test_a_changed_configuration_is_judged_anew() -> None:
    catalogue = Catalogue()
    home = catalogue.add("home", "power.active", privacy="P3")
    policy = Policy(SelectSection(privacy="P3"), catalogue, {"home": facts("P3")})
    assert chosen(policy, [home], [0]) == [0]
    policy.configure({})
    assert chosen(policy, [home], [HOUR_NS]) == []


def test_priv_12_places_are_told_as_precisely_as_sensor_broker_and_class_allow() -> None:
    context = replace(
        CONTEXT,
        location=PLACE,
        locations={"own": PLACE},
        sensors={"home": facts("P3"), "roof": facts("P0"), "own": facts("P0", decimals=2)},
    )
    seen = coarse(context, SelectSection(location_decimals=5))
    assert seen.location == seen.locations["roof"] == Position(lon=10.21346, lat=-0.00012)
    assert seen.locations["home"] == Position(lon=10.213, lat=0.0)
    assert str(seen.locations["home"].lat) == "0.0"
    assert seen.locations["own"] == Position(lon=10.21, lat=0.0)
    nowhere = coarse(replace(context, location=None), SelectSection())
    assert nowhere.location is None
    assert set(nowhere.locations) == {"own"}


def test_priv_12_coordinates_that_were_measured_are_rounded_like_those_of_the_map() -> None:
    catalogue = Catalogue()
    quantities = ("site.latitude", "site.longitude", "air.pm25")
    roof = [catalogue.add("roof", quantity) for quantity in quantities]
    own = catalogue.add("own", "site.latitude")
    home = catalogue.add("home", "site.latitude", privacy="P3")
    known = {"home": facts("P3"), "roof": facts("P0"), "own": facts("P0", decimals=2)}
    select = SelectSection(privacy="P3", location_decimals=4)
    policy = Policy(select, catalogue, known)
    exact = 56.123456

    def told(ids: list[int], value: float = exact) -> list[float]:
        batch = Batch(1, 1, 0, ids, [0] * len(ids), [value] * len(ids))
        policy.select(batch)
        policy.coarsen(batch)
        return batch.values

    assert told([*roof, own, home]) == [56.1235, 56.1235, exact, 56.12, 56.123]
    assert str(told([own], -0.001)) == "[0.0]"
    policy.configure({**known, "own": facts("P0", decimals=1)})
    assert told([own]) == [56.1]
