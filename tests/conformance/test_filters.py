"""What every filter must do, run against every filter."""

import random
import tracemalloc
from typing import Any

import pytest

from gateway.filters import FILTERS, FilterOptions, Passed, build_chain, parse_options
from gateway.reading import Flag

SECOND_NS = 1_000_000_000
ALL_FLAGS = 0xFFFF
OPTIONS: dict[str, list[Any]] = {
    "range": [{"min": 2, "max": 8}, {"max": 8, "action": "drop"}],
    "deadband": [0, 0.5, "5 %", {"absolute": 1, "percent": 10, "heartbeat": "20 s"}],
    "interval": ["10 s", *({"every": "10 s", "take": take} for take in ("last", "mean"))],
}
"""Every filter must be here, with at least one set of options for each way in which it works."""

CASES = [
    pytest.param(name, raw, id=f"{name}-{raw}")
    for name, variants in OPTIONS.items()
    for raw in variants
]


def walk(seed: int, count: int) -> list[Passed]:
    rng = random.Random(seed)
    time_ns, value = 0, 5.0
    fed = []
    for _ in range(count):
        time_ns += rng.choice([1, SECOND_NS, 30 * SECOND_NS, -SECOND_NS])
        value += rng.uniform(-1, 1)
        fed.append((max(time_ns, 0), value, rng.choice([0, 0, 0, int(Flag.WARM_UP)])))
    return fed


def test_every_filter_is_tested_here() -> None:
    assert set(OPTIONS) == set(FILTERS)


@pytest.mark.parametrize("name", FILTERS)
def test_it_says_its_name_and_explains_its_options(name: str) -> None:
    kind = FILTERS[name]
    assert kind.name == name
    assert issubclass(kind.Options, FilterOptions)
    assert kind.Options.__doc__
    assert all(field.description for field in kind.Options.model_fields.values())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "raw"), CASES)
def test_the_same_readings_give_the_same_result(name: str, raw: Any, seed: int) -> None:
    fed = walk(seed, 300)
    first, second = build_chain({name: raw})(), build_chain({name: raw})()
    assert [first.apply(*each) for each in fed] == [second.apply(*each) for each in fed]


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "raw"), CASES)
def test_it_invents_nothing(name: str, raw: Any, seed: int) -> None:
    fed = walk(seed, 300)
    chain = build_chain({name: raw})()
    times = {time_ns for time_ns, _, _ in fed}
    low, high = min(each[1] for each in fed), max(each[1] for each in fed)
    out = [result for result in (chain.apply(*each) for each in fed) if result is not None]
    assert 0 < len(out) <= len(fed)
    for time_ns, value, flags in out:
        assert time_ns in times
        assert low - 1e-9 <= value <= high + 1e-9
        assert 0 <= flags <= ALL_FLAGS


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_flags_that_a_reading_had_before_stay(name: str, raw: Any) -> None:
    chain = build_chain({name: raw})()
    before = int(Flag.ESTIMATED)
    out = [chain.apply(second * SECOND_NS, 5.0, before) for second in range(100)]
    passed = [result for result in out if result is not None]
    assert passed
    assert all(flags & before for _, _, flags in passed)


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_its_state_does_not_grow(name: str, raw: Any) -> None:
    chain = build_chain({name: raw})()
    fed = walk(1, 5000)
    for each in fed[:1000]:
        chain.apply(*each)
    tracemalloc.start()
    try:
        for each in fed[1000:2000]:
            chain.apply(*each)
        before, _ = tracemalloc.get_traced_memory()
        for each in fed[2000:]:
            chain.apply(*each)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 512  # a handful of numbers, not three thousand readings


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_its_options_survive_the_way_to_text_and_back(name: str, raw: Any) -> None:
    options = parse_options(name, raw)
    table = options.model_dump(mode="json", exclude_none=True)
    assert parse_options(name, table) == options
