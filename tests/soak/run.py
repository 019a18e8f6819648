"""``make soak``: a hundred sensors, five links, faults by seed, for hours; does anything grow?

Where something does, one kind of fault at a time, more often, tells which:
``make soak HOURS=0.2 ARGS='--only "broker killed" --rate 10'``. What the verdict finds in an hour
is tried with ``ARGS="--leak 4"``, which makes the daemon lose 4 MiB an hour.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.brokers import free_port
from tests.soak.box import Account, Box, Held
from tests.soak.city import LINKS, SENSORS, City, small_disk
from tests.soak.trouble import KINDS, Trouble
from tests.soak.verdict import is_settled, problems, slope_per_h

__all__ = ["main"]

LOOK_EVERY_S = 5.0
TELL_EVERY_S = 60.0
QUIET_S = 12.0
"""Before the first fault, and after the last one."""
FIRST_VISIT_S = 5.0
OUTAGE_MAX_S = 240.0
OUTAGE_MAX_SHARE = 0.2
WARM_UP_SHARE = 0.25
WARM_UP_MAX_S = 600.0
SETTLE_TIMEOUT_S = 300.0
SILENT_MAX_S = 120.0
"""A daemon that says nothing for so long would seem to hold the same all the time."""
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do."""

    seconds: float
    seed: int
    kinds: Sequence[str] = tuple(KINDS)
    rate: float = 1.0
    leaked_bytes_per_h: float = 0.0
    """What the daemon is made to lose: the run must find it."""


class Soak:
    """One run."""

    def __init__(self, city: City, box: Box, trouble: Trouble, seconds: float) -> None:
        self._city = city
        self._box = box
        self._trouble = trouble
        self._seconds = seconds
        self._wrong: list[str] = []
        self._started_s = 0.0

    async def run(self) -> int:
        """Return 0 if nothing grew and every account was right all the time."""
        loop = asyncio.get_running_loop()
        self._started_s = loop.time()
        await self._box.watch(FIRST_VISIT_S)  # what a page takes for good belongs to the rest
        await self._until_well()
        before = len(self._box.held)
        faults = asyncio.create_task(self._trouble.run())
        await self._watch(faults)
        until = len(self._box.held)
        faults.cancel()
        await self._trouble.mend()
        await self._until_well()
        accounts = await self._look()
        self._tell(accounts)
        held = list(self._box.held)
        warm_up_s = min(WARM_UP_MAX_S, WARM_UP_SHARE * self._seconds)
        judged = [each for each in held[before:until] if each.at_s - held[before].at_s >= warm_up_s]
        found = self._wrong + problems(held[:before], judged, held)
        self._sum_up(accounts, judged, found)
        return 1 if found else 0

    async def _watch(self, faults: "asyncio.Task[None]") -> None:
        """Look again and again while the faults come."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self._seconds
        tell_s = loop.time()
        while loop.time() < end_s:
            await asyncio.sleep(min(LOOK_EVERY_S, max(0.0, end_s - loop.time())))
            if faults.done():
                faults.result()
            self._trouble.check()
            accounts = await self._look()
            if loop.time() >= tell_s:
                tell_s += TELL_EVERY_S
                self._tell(accounts)

    async def _look(self) -> Mapping[str, Account]:
        """Return the accounts; one that is wrong is noted."""
        if self._box.process.returncode is not None:
            log = "\n".join(self._box.log)
            raise RuntimeError(f"the daemon ended with {self._box.process.returncode}:\n{log}")
        silent_s = asyncio.get_running_loop().time() - self._box.held[-1].at_s
        if silent_s > SILENT_MAX_S:
            raise RuntimeError(f"the daemon has not said what it holds for {silent_s:.0f} s")
        accounts = await self._box.accounts()
        for name, account in accounts.items():
            if not account.is_right:
                self._wrong.append(f"{name}: {account} does not add up")
        return accounts

    async def _until_well(self) -> None:
        """Return when every link is online and every port open, and has been for a while."""
        async with asyncio.timeout(SETTLE_TIMEOUT_S):
            while True:
                page = await self._box.metrics()
                online = page.total("link_state", state="online") == len(LINKS)
                fresh = page.total("sensor_state", state="fresh")
                if online and fresh == SENSORS and not page.value("buffer_degraded"):
                    break
                await asyncio.sleep(1.0)
            self._box.collect()
            while True:
                await asyncio.sleep(QUIET_S)
                if is_settled(self._box.held):
                    return

    def _tell(self, accounts: Mapping[str, Account]) -> None:
        """Print where it stands."""
        held = self._box.held[-1]
        seconds = asyncio.get_running_loop().time() - self._started_s
        faults = self._trouble.counts.total()
        print(
            f"{seconds:6.0f} s  {faults:5} faults  rss {held.rss / MIB:6.1f} MiB  "
            f"malloc {held.malloc / MIB:6.2f} MiB  blocks {held.blocks}  "
            f"descriptors {held.descriptors}  tasks {held.tasks}  threads {held.threads}",
            flush=True,
        )
        for name, each in accounts.items():
            mark = "=" if each.is_right else "IS NOT"
            print(
                f"    {name:8} {each.state:10} accepted {each.accepted:9} {mark} "
                f"acked {each.acknowledged:9} + pending {each.pending:6} + dropped {each.dropped}",
                flush=True,
            )

    def _sum_up(
        self, accounts: Mapping[str, Account], judged: Sequence[Held], found: Sequence[str]
    ) -> None:
        """Print the end."""
        counts = sorted(self._trouble.counts.items())
        print("faults: " + ", ".join(f"{kind} {count}" for kind, count in counts))
        print("log: " + ", ".join(f"{level} {n}" for level, n in self._box.levels.items()))
        rss = [each.rss / MIB for each in self._box.held]
        print(
            f"memory after the warm-up: {slope_per_h(judged) / MIB:+.2f} MiB/h, "
            f"malloc {slope_per_h(judged, 'malloc') / MIB:+.2f} MiB/h, "
            f"{slope_per_h(judged, 'blocks'):+.0f} blocks/h; "
            f"least {min(rss):.1f}, most {max(rss):.1f}, last {rss[-1]:.1f} MiB"
        )
        for problem in found:
            print(f"PROBLEM: {problem}")
        accepted = sum(each.accepted for each in accounts.values())
        lost = sum(
            abs(each.accepted - each.acknowledged - each.pending - each.dropped)
            for each in accounts.values()
        )
        print(f"sensors={SENSORS} accepted={accepted} unaccounted={lost} problems={len(found)}")


async def soak(folder: Path, plan: Plan) -> int:
    """Make everything, run it, and return the exit code."""
    with small_disk(folder / "disk") as own_disk:
        city = City(folder, folder / "disk" / "state", plan.seed, free_port())
        city.write_config()
        async with city:
            box = Box(city.config, city.http_port, leaked_bytes_per_h=plan.leaked_bytes_per_h)
            await box.start()
            try:
                trouble = Trouble(
                    city,
                    box,
                    plan.seed,
                    longest_s=min(OUTAGE_MAX_S, OUTAGE_MAX_SHARE * plan.seconds),
                    own_disk=own_disk,
                    kinds=plan.kinds,
                    rate=plan.rate,
                )
                code = await Soak(city, box, trouble, plan.seconds).run()
            finally:
                ended = await box.stop()
            print(f"the daemon ended with {ended}")
            return code or ended


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=1.0, help="time with faults")
    parser.add_argument("--seconds", type=float, help="the same, for a short one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--only",
        action="append",
        choices=KINDS,
        metavar="KIND",
        help=f"a kind of fault, again for another: {', '.join(KINDS)}",
    )
    parser.add_argument(
        "--rate", type=float, default=1.0, help="faults come so many times as often, and last less"
    )
    parser.add_argument(
        "--leak", type=float, default=0.0, metavar="MIB", help="MiB an hour that the daemon loses"
    )
    arguments = parser.parse_args()
    plan = Plan(
        seconds=arguments.seconds or 3600 * arguments.hours,
        seed=arguments.seed,
        kinds=arguments.only or tuple(KINDS),
        rate=arguments.rate,
        leaked_bytes_per_h=arguments.leak * MIB,
    )
    print(f"{SENSORS} sensors, {len(LINKS)} links, seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="citylab-soak-") as folder:
        return asyncio.run(soak(Path(folder), plan))


if __name__ == "__main__":
    sys.exit(main())
