"""What every filter must do, run against every filter."""

import math
import random
import tracemalloc
from typing import Any

import pytest

from gateway.filters import (
    EXAMPLES,
    FILTERS,
    Chain,
    Environment,
    FilterOptions,
    Passed,
    build_chain,
    parse_options,
)
from gateway.reading import Flag

SECOND_NS = 1_000_000_000
ALL_FLAGS = 0xFFFF
OPTIONS: dict[str, list[Any]] = {
    "range": [{"min": 2, "max": 8}, {"max": 8, "action": "drop"}],
    "rate": [{"max": 0.1}, {"max": 5, "per": "1 min", "action": "drop"}],
    "spike": [{}, *({"n": 31, "least": 0.5, "action": how} for how in ("drop", "replace"))],
    "stuck": ["10 s", {"longer": "1 min", "variance": 2, "action": "drop"}],
    "median": [3, 31],
    "mean": [2, 31],
    "ewma": [5, "30 s"],
    "deadband": [0, 0.5, "5 %", {"absolute": 1, "percent": 10, "heartbeat": "20 s"}],
    "interval": ["10 s", *({"every": "10 s", "take": take} for take in ("last", "mean"))],
    "window": [
        "1 min",
        {"every": "1 min", "give": ["mean", "p50", "max", "last", "count"], "weight": "time"},
        {"every": "1 h", "leave_out": "bad", "keep_raw": True},
    ],
    "counter": [{}, {"rollover": 10, "after_reset": "nothing", "keep_raw": True}],
    "linear": [{"a": 1, "b": 2}, {"b": 2, "id": "c", "expires": "1970-01-01", "keep_raw": True}],
    "table": [[[0, 1], [5, 5], [9, 12]], {"points": [[3, 3], [6, 6]], "outside": "drop"}],
    "expression": ["x * 2 - 1", {"formula": "x + 'air.humidity'", "missing": "drop"}],
    "convert": ["mg/m3", {"to": "air.no2_mole_fraction", "keep_raw": True}],
    "suppress_small": [5, {"k": 3}],
}
"""Every filter must be here, with at least one set of options for each way in which it works."""
QUANTITIES = {"counter": "energy.active_import", "suppress_small": "people.count"}
JUDGES = ("range", "rate", "spike", "stuck", "median", "deadband", "interval", "suppress_small")
"""What comes out of these was a value that went in (a mean lies between them), or 0."""

CASES = [
    pytest.param(name, raw, id=f"{name}-{raw}")
    for name, variants in OPTIONS.items()
    for raw in variants
]


def chain_of(name: str, raw: Any) -> Chain:
    environment = Environment(lambda time_ns: time_ns + 17 * SECOND_NS, lambda: True)
    return build_chain({name: raw}, QUANTITIES.get(name, "air.no2"), environment=environment)()


def walk(seed: int, count: int) -> list[Passed]:
    rng = random.Random(seed)
    time_ns, value = 0, 5.0
    fed = []
    for _ in range(count):
        time_ns += rng.choice([1, SECOND_NS, 30 * SECOND_NS, -SECOND_NS])
        value += rng.uniform(-1, 1)
        fed.append((max(time_ns, 0), value, rng.choice([0, 0, 0, int(Flag.WARM_UP)])))
    return fed


def all_of(chain: Chain, fed: list[Passed]) -> list[Any]:
    """Return everything that comes out, in its order, with a tick now and then and a close."""
    out: list[Any] = []
    for number, reading in enumerate(fed):
        out.append(chain.apply(*reading))
        if number % 10 == 0:
            chain.tick(reading[0])
        out += chain.pending
        chain.pending.clear()
    chain.close(fed[-1][0])
    out += chain.pending
    chain.pending.clear()
    return out


def readings_in(out: list[Any]) -> list[Passed]:
    return [each[-3:] for each in out if each is not None]


def test_every_filter_is_tested_here() -> None:
    assert set(OPTIONS) == set(FILTERS) == set(EXAMPLES)


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
    assert all_of(chain_of(name, raw), fed) == all_of(chain_of(name, raw), fed)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "raw"), CASES)
def test_it_invents_no_reading(name: str, raw: Any, seed: int) -> None:
    fed = walk(seed, 300)
    chain = chain_of(name, raw)
    main = readings_in([chain.apply(*each) for each in fed])
    assert len(main) <= len(fed)
    times = {time_ns for time_ns, _, _ in fed}
    assert {time_ns for time_ns, _, _ in main} <= times
    if name in JUDGES:
        low, high = min(each[1] for each in fed), max(each[1] for each in fed)
        assert all(min(low, 0) - 1e-9 <= value <= high + 1e-9 for _, value, _ in main)
    everything = readings_in(all_of(chain_of(name, raw), fed))
    if (name, raw) != ("expression", OPTIONS["expression"][1]):
        assert everything
    assert all(0 <= flags <= ALL_FLAGS for _, _, flags in everything)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("name", "raw"), CASES)
def test_nothing_comes_out_that_is_no_number(name: str, raw: Any, seed: int) -> None:
    rng = random.Random(seed)
    edges = [1.7e308, -1.7e308, 5e-324, 0.0, -0.0, 1e300, 3.0]
    fed = [(time_ns, rng.choice(edges), flags) for time_ns, _, flags in walk(seed, 500)]
    everything = readings_in(all_of(chain_of(name, raw), fed))
    assert all(math.isfinite(value) for _, value, _ in everything)


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_flags_that_a_reading_had_before_stay(name: str, raw: Any) -> None:
    before = int(Flag.CLOCK_UNSYNCED)
    fed = [(second * SECOND_NS, 5.0, before) for second in range(100)]
    passed = readings_in(all_of(chain_of(name, raw), fed))
    assert all(flags & before for _, _, flags in passed)


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_its_state_does_not_grow(name: str, raw: Any) -> None:
    chain = chain_of(name, raw)
    fed = walk(1, 5000)

    def feed(readings: list[Passed]) -> None:
        for reading in readings:
            chain.apply(*reading)
            chain.pending.clear()

    feed(fed[:2000])
    tracemalloc.start()
    try:
        feed(fed[1000:2000])
        before, _ = tracemalloc.get_traced_memory()
        feed(fed[2000:])
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2048  # a handful of numbers, not three thousand readings


@pytest.mark.parametrize(("name", "raw"), CASES)
def test_its_options_survive_the_way_to_text_and_back(name: str, raw: Any) -> None:
    options = parse_options(name, raw)
    table = options.model_dump(mode="json", exclude_none=True)
    assert parse_options(name, table) == options
