"""A million readings through each filter: memory stays flat."""

import tracemalloc
from typing import Any

import pytest

from gateway.filters import Environment, build_chain
from tests.filters.readings import SECOND_NS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

READINGS = 1_000_000
WARM_UP = 20_000
"""After so many everything that is bounded has its size."""
ALL_FIGURES = ["mean", "min", "max", "count", "last", "p50", "p85", "p95"]
CHAINS: dict[str, dict[str, Any]] = {
    "typical": {"range": {"max": 900}, "spike": {}, "deadband": 0.2, "window": "15 min"},
    "smooth": {"rate": {"max": 50}, "stuck": "1 h", "median": 31, "mean": 31, "ewma": "1 min"},
    "calibrated": {
        "linear": {"b": 2, "keep_raw": True},
        "table": [[0, 0], [100, 90], [2000, 2000]],
        "expression": "x / (1 + x / 1000)",
        "convert": "mg/m3",
        "interval": {"every": "10 s", "take": "mean"},
    },
    "sketch": {"window": {"every": "1 d", "give": ALL_FIGURES, "weight": "time"}},
}


@pytest.mark.parametrize("name", CHAINS)
def test_memory_stays_flat(name: str) -> None:
    environment = Environment(lambda time_ns: time_ns, lambda: True)
    chain = build_chain(CHAINS[name], "air.no2", environment=environment)()
    apply, pending = chain.apply, chain.pending
    out = 0

    def feed(first: int, last: int) -> int:
        value, came_out = first % 1000 * 1.0, 0
        for number in range(first, last):
            value = (value * 7.31 + 11.7) % 1000.0
            came_out += apply(number * SECOND_NS, value, 0) is not None
            if pending:
                came_out += len(pending)
                pending.clear()
        return came_out

    feed(0, WARM_UP)
    tracemalloc.start()
    try:
        feed(WARM_UP, 2 * WARM_UP)  # slowly, with every allocation counted
        before, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    out += feed(2 * WARM_UP, READINGS)
    tracemalloc.start()
    try:
        feed(READINGS, READINGS + WARM_UP)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert out > 0
    assert max(before, after) < 64 * 1024
    assert peak < 512 * 1024
