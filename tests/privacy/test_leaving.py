"""PRIV-08: of class P2 nothing leaves but counts, and no small one, whoever made it."""

from itertools import product
from typing import Literal

import pytest

from gateway.buffer import Batch
from gateway.config.describe import withheld
from gateway.config.model import BrokerSection, SelectSection
from gateway.forward.policy import Policy, allows
from gateway.quantities import SUPPRESSED_COUNTS, registry
from gateway.reading import Aggregation, PrivacyClass, Series, SeriesKey

CLASSES: tuple[PrivacyClass, ...] = ("P0", "P1", "P2", "P3")
LIMITS: tuple[Literal["P0", "P1", "P3"], ...] = ("P0", "P1", "P3")


def series(quantity: str, aggregation: Aggregation = "instant") -> Series:
    return Series(1, SeriesKey("square", quantity, (), aggregation), "{device}", "P2")


@pytest.mark.parametrize("quantity", sorted(registry()))
def test_priv_08_of_all_quantities_only_the_suppressed_counts_leave(quantity: str) -> None:
    for limit, counts in product(LIMITS, (False, True)):
        select = SelectSection(privacy=limit, suppressed_counts=counts)
        assert allows(select, series(quantity)) is (counts and quantity in SUPPRESSED_COUNTS)


@pytest.mark.parametrize(
    "aggregation", ["mean", "min", "max", "count", "last", "p50", "p85", "p95"]
)
def test_priv_08_what_filters_make_of_counts_stays_except_sums(aggregation: Aggregation) -> None:
    select = SelectSection(suppressed_counts=True)
    assert not allows(select, series("devices.count", aggregation))
    assert allows(select, series("devices.count", "sum"))


def test_priv_08_the_key_opens_no_other_class() -> None:
    for limit, counts, privacy in product(LIMITS, (False, True), CLASSES):
        admitted = SelectSection(privacy=limit, suppressed_counts=counts).admits(privacy)
        assert admitted is (counts if privacy == "P2" else privacy <= limit)


def test_priv_05_no_small_count_passes_the_door_whoever_made_it() -> None:
    values = [0.0, 1.0, 2.0, 2.5, 3.0, 3.5, 5.0, -1.0, 700.0]
    batch = Batch(epoch=1, boot=1, first=0, series=[1] * len(values), values=values)
    policy = Policy(SelectSection(suppressed_counts=True), lambda _: series("devices.count"))
    assert policy.select(batch) == ([0, 4, 6, 8], 0)


def test_the_door_looks_at_counts_of_this_class_only() -> None:
    free = Series(1, SeriesKey("radar", "traffic.count"), "{vehicle}", "P1")
    batch = Batch(epoch=1, boot=1, first=0, series=[1, 1, 7], values=[1.0, 2.0, 3.0])

    def lookup(series_id: int) -> Series:
        if series_id == 1:
            return free
        raise KeyError(series_id)

    policy = Policy(SelectSection(suppressed_counts=True), lookup)
    assert policy.select(batch) == ([0, 1], 1)


def test_check_says_why_something_stays() -> None:
    document = {"name": "portal", "url": "mqtts://mqtt.example.org", "open": True}
    closed = BrokerSection.model_validate(document)
    opened = BrokerSection.model_validate({**document, "select": {"suppressed_counts": True}})
    why = withheld(closed, "square", "P2", "devices.count")
    assert why == "privacy P2, and select.suppressed_counts is false"
    assert withheld(opened, "square", "P2", "devices.count") == ""
    why = withheld(opened, "square", "P2", "air.temperature")
    assert why == "privacy P2, of which nothing leaves but counts of devices that pass"
