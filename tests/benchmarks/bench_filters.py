"""Nanoseconds per reading for each filter and for a typical chain, interpreted and compiled.

Run it with ``python -m tests.benchmarks.bench_filters``; ``--readings 10000000`` for a long run,
``--only typical`` for the cases with a word in their name.

Each figure stands beside the cost of a bare function call measured in the same round, because a
ratio says more than nanoseconds of a machine that nobody has. Where pandas or river can be imported
the typical chain is done with them, too: river reading by reading, as we do; pandas over whole
columns, which needs all readings beforehand.
"""

import argparse
import importlib
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.filters import Chain, Environment, Passed, build_chain
from tests.compiling import CannotCompile, compile_into
from tests.filters.twin import FOLDER, ROOT

__all__ = ["main"]

SPACING_NS = 1_000_000_000
LIMITS = {"min": 0, "max": 999.9}
CASES: Mapping[str, Mapping[str, Any]] = {
    "no filter": {},
    "range": {"range": LIMITS},
    "rate": {"rate": {"max": 5}},
    "spike, n = 7": {"spike": {}},
    "spike, n = 31": {"spike": {"n": 31}},
    "stuck": {"stuck": "1 h"},
    "stuck, variance": {"stuck": {"longer": "1 h", "variance": 0.001}},
    "median, n = 5": {"median": 5},
    "mean, n = 10": {"mean": 10},
    "ewma, time": {"ewma": "60 s"},
    "deadband": {"deadband": 0.5},
    "deadband, percent": {"deadband": "5 %"},
    "interval, first": {"interval": "10 s"},
    "interval, mean": {"interval": {"every": "10 s", "take": "mean"}},
    "window, mean": {"window": "15 min"},
    "window, mean, max, p95, count": {
        "window": {"every": "15 min", "give": ["mean", "max", "p95", "count"]}
    },
    "window, mean by time": {"window": {"every": "15 min", "weight": "time"}},
    "window of a day, p95": {"window": {"every": "1 d", "give": ["p95"]}},
    "counter": {"counter": {}},
    "linear": {"linear": {"b": 1.1}},
    "table, 3 points": {"table": [[0, 0], [50, 47], [1000, 900]]},
    "expression": {"expression": "x / (1 + 0.25 * (x / 100) ** 2)"},
    "convert": {"convert": "mg/m3"},
    "suppress_small": {"suppress_small": 5},
    "typical": {"range": LIMITS, "spike": {}, "deadband": 0.5, "window": "15 min"},
    "typical, all pass": {"range": LIMITS, "spike": {}, "deadband": 0, "window": "15 min"},
}
"""Typical is range, spike, deadband, window. Where all pass, every filter sees every reading."""
WALK = 200_000
"""Values that are made; more readings are the same walk again and again, in later hours."""
GROWN = "memory grown, MiB"
QUANTITIES = {"counter": "energy.active_import", "suppress_small": "people.count"}


def _bare(time_ns: int, value: float, flags: int) -> Passed | None:
    return None


def _chain(name: str) -> Chain:
    environment = Environment(lambda time_ns: time_ns, lambda: True)
    return build_chain(CASES[name], QUANTITIES.get(name, "air.no2"), environment=environment)()


def walk(readings: int, seed: int) -> list[float]:
    """Return a slow walk, as air is, with a spike now and then."""
    rng = random.Random(seed)
    values: list[float] = []
    value = 20.0
    for _ in range(readings):
        value = min(max(value + rng.gauss(0, 0.2), 1.0), 900.0)
        values.append(value + (300 if rng.random() < 0.0005 else 0))
    return values


def _ns_per_call(
    apply: Callable[[int, float, int], object],
    pending: list[Any],
    values: list[float],
    times: int,
) -> float:
    time_ns = 0
    start_ns = time.perf_counter_ns()
    for _ in range(times):
        for value in values:
            time_ns += SPACING_NS
            apply(time_ns, value, 0)
            if pending:
                pending.clear()
    return (time.perf_counter_ns() - start_ns) / len(values) / times


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """Return ns per reading by case, and for a bare call."""
    values = walk(min(arguments.readings, WALK), arguments.seed)
    times = max(arguments.readings // len(values), 1)
    rounds = range(arguments.rounds)
    found = {"bare call": min(_ns_per_call(_bare, [], values, times) for _ in rounds)}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in CASES:
        if arguments.only in name:
            chains = [_chain(name) for _ in rounds]
            found[name] = min(
                _ns_per_call(each.apply, each.pending, values, times) for each in chains
            )
    found[GROWN] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return found


def _in_process(root: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """Measure in a process of its own, which imports the filters from ``root``."""
    options = ["--readings", str(arguments.readings), "--rounds", str(arguments.rounds)]
    options += ["--seed", str(arguments.seed), "--only", arguments.only, "--json"]
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import gateway; "
        "gateway.__path__[:] = [sys.path[0] + '/gateway']; "
        "from tests.benchmarks.bench_filters import main; main()"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(root), *options],
        check=True,
        capture_output=True,
        cwd=ROOT,
        text=True,
    )
    found: dict[str, float] = json.loads(run.stdout)
    return found


def both(arguments: argparse.Namespace) -> tuple[dict[str, float], dict[str, float] | None]:
    """Return the figures interpreted and compiled (None without a compiler)."""
    with tempfile.TemporaryDirectory() as name:
        plain, fast = Path(name, "plain"), Path(name, "compiled")
        for root in (plain, fast):
            shutil.copytree(FOLDER.parent, root / "gateway", ignore=shutil.ignore_patterns("*.so"))
        interpreted = _in_process(plain, arguments)
        try:
            library = compile_into(Path(name, "build"))
        except CannotCompile:
            print("filters cannot be compiled here: needs cython, a C compiler and Python.h")
            return interpreted, None
        for module in library.rglob("filters/*.so"):
            shutil.copy(module, fast / "gateway" / "filters")
        return interpreted, _in_process(fast, arguments)


def with_river(values: list[float]) -> float | None:
    """Return ns per reading of the typical chain with river's rolling statistics, if it is here."""
    try:
        stats = importlib.import_module("river.stats")
    except ImportError:
        return None
    median = stats.RollingQuantile(0.5, 7)
    deviation = stats.RollingQuantile(0.5, 7)
    mean = stats.Mean()
    last, window = 0.0, 0
    start_ns = time.perf_counter_ns()
    for number, value in enumerate(values):
        outside = not LIMITS["min"] <= value <= LIMITS["max"]
        median.update(value)
        middle = median.get()
        deviation.update(abs(value - middle))
        spike = abs(value - middle) > 3 * 1.4826 * deviation.get()
        if abs(value - last) <= 0.5 and not outside and not spike:
            continue
        last = value
        if number // 900 != window:
            window = number // 900
            mean.get()
            mean = stats.Mean()
        mean.update(value)
    return (time.perf_counter_ns() - start_ns) / len(values)


def with_pandas(values: list[float]) -> float | None:
    """Return ns per reading of the typical chain over whole columns with pandas, if it is here."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return None
    index = pandas.date_range("2026-01-01", periods=len(values), freq="s")
    series = pandas.Series(values, index=index)
    start_ns = time.perf_counter_ns()
    outside = ~series.between(LIMITS["min"], LIMITS["max"])
    middle = series.rolling(7).median()
    deviation = (series - middle).abs().rolling(7).median()
    spike = (series - middle).abs() > 3 * 1.4826 * deviation
    changed = series.diff().abs() > 0.5  # a true deadband needs a loop
    series[changed | outside | spike].resample("15min").mean()
    return (time.perf_counter_ns() - start_ns) / len(values)


def main() -> None:
    """Print the best of several rounds for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true", help="the figures of this process alone")
    arguments = parser.parse_args()
    if arguments.json:
        print(json.dumps(measure(arguments)))
        return
    interpreted, compiled = both(arguments)
    print(f"seed {arguments.seed}, {arguments.readings} readings, best of {arguments.rounds}")
    print(f"{'ns per reading':32} interpreted  compiled  bare calls")
    bare = interpreted["bare call"]
    for name, best in interpreted.items():
        fast = f"{compiled[name]:8.1f}" if compiled is not None else "       -"
        ratio = "" if name == GROWN else f"{best / bare:10.1f}"
        print(f"{name:32} {best:11.1f}  {fast}  {ratio}")
    values = walk(min(arguments.readings, WALK), arguments.seed)
    for other, work in (("river", with_river), ("pandas", with_pandas)):
        found = work(values)
        if found is not None and "typical" in interpreted:
            times = found / interpreted["typical"]
            more = f", {found / compiled['typical']:.1f} compiled" if compiled is not None else ""
            print(f"{'typical with ' + other:32} {found:11.0f}  {times:.1f} times ours{more}")


if __name__ == "__main__":
    main()
