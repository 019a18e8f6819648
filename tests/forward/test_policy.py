"""What may leave for whom; everything else stays, and is counted."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.buffer import Batch
from gateway.config.model import SelectSection
from gateway.forward.policy import Policy, allows
from gateway.reading import PrivacyClass, Series, SeriesKey
from tests.forward.fakes import Catalogue

CLASSES: tuple[PrivacyClass, ...] = ("P0", "P1", "P2", "P3")


@pytest.mark.parametrize("limit", ["P0", "P1"])
@pytest.mark.parametrize("privacy", CLASSES)
def test_the_privacy_class_is_an_upper_limit(
    limit: Literal["P0", "P1"], privacy: PrivacyClass
) -> None:
    series = Series(1, SeriesKey("meter", "power.active"), "W", privacy)
    assert allows(SelectSection(privacy=limit), series) == (privacy <= limit)


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
