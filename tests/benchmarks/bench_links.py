"""How late readings are on fourteen links of which ten are in trouble, and the memory of it.

Run by hand: ``python -m tests.benchmarks.bench_links [--seconds 60]``. Prints, for each kind of
trouble, how long after its acceptance into the ring a reading was acknowledged, without the linger
of its link: p50 and p99. The aim for healthy ones is 100 ms (the fourteen brokers, their archives
and the proxies run beside it on the same machine). Then all ways are mended, and the time until
everybody has everything is printed. Nothing is judged here.
"""

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from tests.many_links.city import Plan
from tests.many_links.plans import fourteen
from tests.many_links.running import Network

AIM_MS = 100
LOOK_EVERY_S = 0.02
MIB = 1 << 20


async def run(plans: list[Plan], folder: Path, seconds: float) -> None:
    """Print the figures of one run."""
    async with Network.of(plans, folder) as network:
        network.resume()
        await asyncio.sleep(seconds)
        print(network.table())
        memory = network.rss_bytes
        first, middle, last = (memory[at] / MIB for at in (0, len(memory) // 2, -1))
        print(f"memory: {first:.1f} MiB after a second, {middle:.1f} in the middle, {last:.1f} now")
        owed = sum(city.reader.pending for city in network.cities)
        began = time.perf_counter()
        for city in network.of_trouble("refused", "black-hole", "mute", "reset"):
            await city.mend()
        network.pause()
        while any(city.reader.pending for city in network.cities):  # noqa: ASYNC110 - no event
            await asyncio.sleep(LOOK_EVERY_S)
        took = time.perf_counter() - began
        print(f"all mended: {owed} readings that waited are acknowledged after {took:.1f} s,")
        print("  the pause before the next attempt of each link included")


def main() -> None:
    """Read the arguments and run once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    plans = fourteen()
    print(f"aim for healthy: p99 below {AIM_MS} ms beyond linger")
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(plans, Path(folder), arguments.seconds))


if __name__ == "__main__":
    main()
