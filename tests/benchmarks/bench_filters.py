"""Nanoseconds per reading for each filter and for a chain.

Run it with ``python -m tests.benchmarks.bench_filters``.

Each figure stands beside the cost of a bare function call measured in the same round, because a
ratio says more than nanoseconds of a machine that nobody has.
"""

import argparse
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from gateway.filters import Passed, build_chain

__all__ = ["main"]

READING_SPACING_NS = 1_000_000_000
CASES: Mapping[str, Mapping[str, Any]] = {
    "no filter": {},
    "range": {"range": {"min": 0, "max": 999.9}},
    "deadband": {"deadband": 0.5},
    "deadband, percent": {"deadband": "5 %"},
    "interval, first": {"interval": "10 s"},
    "interval, last": {"interval": {"every": "10 s", "take": "last"}},
    "interval, mean": {"interval": {"every": "10 s", "take": "mean"}},
    "range + deadband": {"range": {"min": 0, "max": 999.9}, "deadband": 0.5},
    "range + deadband, all pass": {"range": {"min": 0, "max": 999.9}, "deadband": 0},
}


def _bare(time_ns: int, value: float, flags: int) -> Passed | None:
    return None


def _ns_per_call(apply: Callable[[int, float, int], object], values: list[float]) -> float:
    time_ns = 0
    start_ns = time.perf_counter_ns()
    for value in values:
        time_ns += READING_SPACING_NS
        apply(time_ns, value, 0)
    return (time.perf_counter_ns() - start_ns) / len(values)


def main() -> None:
    """Print the best of several rounds for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    values: list[float] = []
    value = 20.0
    for _ in range(arguments.readings):
        value = min(max(value + rng.gauss(0, 0.2), 1.0), 900.0)  # a slow walk, as air is
        values.append(value)
    bare = min(_ns_per_call(_bare, values) for _ in range(arguments.rounds))
    print(f"seed {arguments.seed}, {arguments.readings} readings, best of {arguments.rounds}")
    print(f"{'bare call':28} {bare:8.0f} ns")
    for name, filters in CASES.items():
        build = build_chain(filters)
        best = min(_ns_per_call(build().apply, values) for _ in range(arguments.rounds))
        passed = sum(
            build_apply is not None
            for build_apply in map(
                build().apply,
                range(0, len(values) * READING_SPACING_NS, READING_SPACING_NS),
                values,
                [0] * len(values),
            )
        )
        share = passed / len(values)
        print(f"{name:28} {best:8.0f} ns  {best / bare:5.1f} bare calls, {share:4.0%} pass")


if __name__ == "__main__":
    main()
