"""``make crash``: power cuts, mutants and kills, as many as asked for."""

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

from tests.crash.checker import Figures, check_mutant, check_seeds
from tests.crash.kill import kill_rounds
from tests.crash.mutants import MUTANTS

__all__ = ["main"]

MUTANT_STATES = 4000
"""A mutant that so many states do not show has got away."""
STATES_OF_A_SEED = 400
"""About so many; the number that were looked at is counted."""
SHOWN = 20
PROGRESS_S = 10.0


def main() -> int:
    """Run what the command line asks for; 1 if anything was found."""
    arguments = _arguments()
    if arguments.kills:
        return _kills(arguments.kills, arguments.seed)
    started_s = time.monotonic()
    only = arguments.state
    with ProcessPoolExecutor(arguments.jobs) as pool:
        if only >= 0:
            figures = check_seeds([arguments.seed], only=only)
        else:
            figures = _power_cuts(pool, arguments.states, arguments.seed, arguments.jobs)
        seconds = time.monotonic() - started_s
        for broken in figures.broken[:SHOWN]:
            print(broken)
        rate = figures.states / seconds
        print(
            f"{figures.recoveries} recoveries, {seconds:.0f} s, {rate:.0f} states/s: "
            + ", ".join(f"{kind} {count}" for kind, count in sorted(figures.kinds.items()))
        )
        caught = 0 if only >= 0 else _mutants(pool, arguments.seed)
    mutants = 0 if only >= 0 else len(MUTANTS)
    print(
        f"states={figures.states} violations={len(figures.broken)} "
        f"mutants_caught={caught}/{mutants}"
    )
    return 1 if figures.broken or caught < mutants else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--states", type=int, default=10_000, help="at least so many states")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--state", type=int, default=-1, help="only this state of the seed")
    parser.add_argument("--kills", type=int, default=0, help="kill a process so often instead")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def _power_cuts(pool: ProcessPoolExecutor, states: int, first_seed: int, jobs: int) -> Figures:
    """Look at all states of one seed after the other until there were enough."""
    figures = Figures()
    seeds = itertools.count(first_seed)
    running: set[Future[Figures]] = set()
    told_s = time.monotonic()
    last = first_seed
    while figures.states < states or running:
        if not running:
            last = next(seeds)
            running.add(pool.submit(check_seeds, [last]))
        while figures.states + len(running) * STATES_OF_A_SEED < states and len(running) < 2 * jobs:
            last = next(seeds)
            running.add(pool.submit(check_seeds, [last]))
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            figures.add(future.result())
        if time.monotonic() - told_s > PROGRESS_S:
            told_s = time.monotonic()
            print(f"... {figures.states} states, {len(figures.broken)} violations", file=sys.stderr)
    print(f"seeds {first_seed} to {last}")
    return figures


def _mutants(pool: ProcessPoolExecutor, seed: int) -> int:
    caught = 0
    jobs = [pool.submit(_mutant, index, seed) for index in range(len(MUTANTS))]
    for mutant, job in zip(MUTANTS, jobs, strict=True):
        states, broken = job.result()
        caught += bool(broken)
        how = f"caught within {states} states ({broken})" if broken else f"NOT CAUGHT in {states}"
        print(f"mutant {mutant.name}: {how}")
    return caught


def _mutant(index: int, seed: int) -> tuple[int, str]:
    states, broken = check_mutant(MUTANTS[index], first_seed=seed, most=MUTANT_STATES)
    return states, broken.kind if broken is not None else ""


def _kills(rounds: int, seed: int) -> int:
    with tempfile.TemporaryDirectory(prefix="crash-kill-") as folder:
        report = asyncio.run(kill_rounds(Path(folder), seed=seed, rounds=rounds))
    for problem in report.problems[:SHOWN]:
        print(problem)
    print(f"kills={report.kills} violations={len(report.problems)} {report.summary()}")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
