"""What each payload format costs from the ring on disk to the PUBACK of a mosquitto on loopback.

Run by hand: ``python -m tests.benchmarks.bench_publish [--quick] [--only json ngsi-ld]``. A ring
holds the readings; the link that the daemon builds reads, encodes, publishes and settles them in a
process of its own, whose CPU is counted; mosquitto runs beside it and nobody subscribes. A format
that sends no backlog gets the readings as fast as they leave. Nothing is judged.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gateway.forward.formats import format_names
from tests.benchmarks.drain_gateway import Job, Outcome, run
from tests.benchmarks.drain_look import load
from tests.brokers import Mosquitto

READINGS, QUICK_READINGS = 200_000, 20_000
YARDSTICK = "json"
LINGER_S = 0.05
"""Matters where readings come in while they leave, at the very end."""


def row(name: str, readings: int, found: Outcome, yardstick: Outcome | None) -> str:
    """Return one line of the table."""
    cpu_us = found.cpu_s / readings * 1e6
    ratios = "       -        -"
    if yardstick is not None:
        speed, cost = yardstick.seconds / found.seconds, found.cpu_s / yardstick.cpu_s
        ratios = f"{speed:8.2f} {cost:8.2f}"
    lost = f"  dropped {found.dropped}" if found.dropped else ""
    return (
        f"{name:14} {readings / found.seconds:12,.0f} {cpu_us:8.2f} {found.messages:9} "
        f"{found.payload_bytes / readings:8.1f} {found.rss_mib[1]:9.1f} {ratios}{lost}"
    )


async def measure(names: Sequence[str], readings: int) -> None:
    """Print one line per format."""
    yardstick: Outcome | None = None
    with tempfile.TemporaryDirectory() as folder:
        async with Mosquitto(Path(folder, "broker"), lines=["log_type none"]) as broker:
            for name in sorted(names, key=lambda name: (name != YARDSTICK, name)):
                room = Path(folder, name)
                found = await run(
                    Job(
                        folder=str(room),
                        port=broker.port,
                        format=name,
                        readings=readings,
                        linger_s=LINGER_S,
                    )
                )
                yardstick = found if name == YARDSTICK else yardstick
                print(row(name, readings, found, yardstick), flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_READINGS:,} readings")
    parser.add_argument("--readings", type=int)
    parser.add_argument("--only", nargs="+", default=format_names(), metavar="FORMAT")
    arguments = parser.parse_args()
    readings = arguments.readings or (QUICK_READINGS if arguments.quick else READINGS)
    print(f"{readings:,} readings of a ring, read + encoded + published + acknowledged; {load()}")
    print(f"speed x and CPU x: {YARDSTICK} = 1")
    print("format           readings/s  us CPU  messages   B each  peak MiB  speed x    CPU x")
    asyncio.run(measure(arguments.only, readings))
    print(load())


if __name__ == "__main__":
    main()
