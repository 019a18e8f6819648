import random
import tracemalloc

import numpy as np
import pytest

from gateway.filters.quantiles import COMPRESSION, EXACT_VALUES, Quantiles

SHARES = (0.0, 0.05, 0.5, 0.85, 0.95, 1.0)
ORDERS = ("random", "rising", "falling", "two values", "far outliers", "organ pipe")


def values_of(order: str, count: int, seed: int) -> list[float]:
    rng = random.Random(seed)
    if order == "two values":
        return [rng.choice([1.0, 100.0]) for _ in range(count)]
    if order == "far outliers":
        return [rng.gauss(0, 1) * (1e9 if rng.random() < 0.001 else 1) for _ in range(count)]
    values = [rng.lognormvariate(0, 1) for _ in range(count)]
    if order == "organ pipe":
        values.sort()
        return values[::2] + values[1::2][::-1]
    return values if order == "random" else sorted(values, reverse=order == "falling")


@pytest.mark.parametrize("count", [1, 2, 3, 100, EXACT_VALUES])
@pytest.mark.parametrize("order", ORDERS)
def test_up_to_a_thousand_values_it_is_numpys_percentile(order: str, count: int) -> None:
    values = values_of(order, count, seed=count)
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    for share in SHARES:
        assert quantiles.find(share) == pytest.approx(float(np.percentile(values, share * 100)))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("order", ORDERS)
def test_beyond_that_the_rank_is_right_within_half_a_percent(order: str, seed: int) -> None:
    values = values_of(order, 50_000, seed)
    quantiles = Quantiles()
    for value in values:
        quantiles.add(value)
    assert len(quantiles._centroids) <= COMPRESSION
    ranked = np.sort(values)
    for share in SHARES:
        found = quantiles.find(share)
        below = float(np.searchsorted(ranked, found, side="left")) / len(values)
        up_to = float(np.searchsorted(ranked, found, side="right")) / len(values)
        assert below - 0.005 <= share <= up_to + 0.005
    assert quantiles.find(0.0) == ranked[0]
    assert quantiles.find(1.0) == ranked[-1]


def test_it_begins_anew_when_cleared() -> None:
    quantiles = Quantiles()
    for number in range(3 * EXACT_VALUES):
        quantiles.add(float(number))
    quantiles.clear()
    quantiles.add(5.0)
    assert quantiles.find(0.95) == 5.0


def test_asking_in_the_middle_changes_nothing_that_was_exact() -> None:
    quantiles = Quantiles()
    for number in range(100):
        quantiles.add(float(99 - number))
        assert quantiles.find(0.5) == pytest.approx(float(np.median(range(99 - number, 100))))


def test_its_memory_is_bounded() -> None:
    quantiles = Quantiles()
    rng = random.Random(1)
    for _ in range(20_000):
        quantiles.add(rng.random())
    tracemalloc.start()
    try:
        for _ in range(20_000):
            quantiles.add(rng.random())
        grown, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 100_000
    assert peak < 500_000
