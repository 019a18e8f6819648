"""A backlog of a million readings in the ring on disk, drained while new readings come in.

Run by hand: ``python -m tests.benchmarks.bench_drain [--quick] [--readings N] [--format NAME]
[--profile] [--thingsboard-venv FOLDER]``. The link drains it into a mosquitto on loopback with one
subscriber; then the very payloads that arrived go through a mosquitto bridge, and rows through
thingsboard-gateway where it is installed. Aim: a million in senml-cbor under 20 s, p99 of live
readings less than 100 ms above linger meanwhile. Nothing is judged.
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from gateway.forward.formats import format_class
from tests.benchmarks.drain_gateway import Job, Outcome, run
from tests.benchmarks.drain_look import Arrivals, load, percentile, subscriber
from tests.benchmarks.drain_peers import bridge
from tests.benchmarks.drain_thingsboard import VALUES_PER_ROW, thingsboard
from tests.brokers import Mosquitto

READINGS, QUICK_READINGS = 1_000_000, 100_000
LIVE_PER_S = 100
ALONE_S, QUICK_ALONE_S = 10.0, 3.0
IN_FLIGHT = 20
ROWS, QUICK_ROWS = 100_000, 10_000
"""For thingsboard-gateway, tuned."""
SHIPPED_ROWS = 10_000
"""As shipped it takes minutes for more."""
SETTLE_S = 0.2


class Table:
    """Prints lines beside the first one, which is ours."""

    def __init__(self) -> None:
        self._own: tuple[float, float] | None = None
        print(
            "\n" + " " * 38 + "  seconds   readings/s  us CPU   RSS MiB before/peak/after", end=""
        )
        print("   speed x   CPU x")

    def line(
        self, name: str, readings: int, seconds: float, cpu_s: float, rss: tuple[float, ...]
    ) -> None:
        """Print one; the ratios are to the first: above 1 is faster, or more CPU a reading."""
        rate, cpu_us = readings / seconds, cpu_s / readings * 1e6
        own_rate, own_cpu_us = self._own = self._own or (rate, cpu_us)
        memory = " / ".join(f"{mib:6.1f}" for mib in rss)
        print(
            f"{name:38} {seconds:8.2f} {rate:12,.0f} {cpu_us:7.2f}   {memory:>24} "
            f"{rate / own_rate:11.3f} {cpu_us / own_cpu_us:7.2f}",
            flush=True,
        )


async def own(job: Job) -> tuple[Outcome, Arrivals]:
    """Drain with our link; return also what arrived."""
    folder = Path(job.folder)
    async with (
        Mosquitto(folder / "broker", lines=["log_type none"]) as broker,
        subscriber(broker.port, keep=True) as arrivals,
    ):
        job.port = broker.port
        found = await run(job)
        await asyncio.sleep(SETTLE_S)
        return found, arrivals


def say_live(found: Outcome, job: Job) -> None:
    """Print how late live readings were; ``in-order`` they wait for the backlog on purpose."""
    print(f"history {job.history}, {job.live_per_s} live readings a second:")
    for what, waits in (("meanwhile", found.live_s), ("afterwards, alone", found.alone_s)):
        middle, high, most = (1000 * percentile(waits, share) for share in (0.5, 0.99, 1.0))
        linger_ms = 1000 * job.linger_s
        print(
            f"  {what}: {len(waits)}, append to PUBACK p50 {middle:.0f} ms, "
            f"p99 {high:.0f} ms, most {most:.0f} ms (linger {linger_ms:.0f} ms: "
            f"p99 {high - linger_ms:+.0f} ms)"
        )
    late_ms = 1000 * percentile(found.late_s, 0.99)
    print(f"  event loop late by p99 {late_ms:.1f} ms, ", end="")
    print(f"most {1000 * max(found.late_s, default=0.0):.1f} ms")


async def measure(arguments: argparse.Namespace, job: Job, rows: int) -> None:
    """Print all of it."""
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        folder = Path(name)
        job.folder = str(folder / "own")
        found, arrivals = await own(job)
        table = Table()
        table.line(
            f"{job.format}, our link", job.readings, found.seconds, found.cpu_s, found.rss_mib
        )
        messages = arrivals.first(found.messages)
        for frozen in (True, False):
            passed = await bridge(folder, messages, job.in_flight, frozen=frozen)
            what = "its backlog" if frozen else "publisher and all"
            table.line(
                f"mosquitto bridge, {what}",
                job.readings,
                passed.seconds,
                passed.cpu_s,
                passed.rss_mib,
            )
            if passed.arrived != len(messages):
                print(f"  only {passed.arrived} of {len(messages)} messages arrived")
        await beside(arguments, table, folder, rows)
    print(f"\nratios: our link = 1; {len(messages)} messages of ours, ", end="")
    print(f"{found.payload_bytes / found.acknowledged:.1f} bytes a reading, ", end="")
    print(f"dropped {found.dropped}; CPU of the thread that read the disk {found.thread_s:.2f} s")
    print("bridge: those messages ready-made, queued in memory, where a power cut loses them")
    if job.live_per_s:
        say_live(found, job)


async def beside(arguments: argparse.Namespace, table: Table, folder: Path, rows: int) -> None:
    """Measure thingsboard-gateway, where it is installed."""
    venv: Path | None = arguments.thingsboard_venv
    if venv is None:
        print("thingsboard-gateway: skipped, no --thingsboard-venv with it installed was given")
        return
    for tuned in (True,) if arguments.quick else (True, False):
        name = "tuned" if tuned else "shipped"
        wanted = rows if tuned else SHIPPED_ROWS
        peer = await thingsboard(venv, folder / name, wanted, tuned=tuned)
        if not peer.rows or not peer.seconds:
            print(f"thingsboard-gateway, {name}: {peer.rows} of {wanted} rows arrived")
            continue
        readings = peer.rows * VALUES_PER_ROW
        table.line(
            f"thingsboard-gateway, sqlite, {name}",
            readings,
            peer.seconds,
            peer.cpu_s,
            peer.rss_mib,
        )
        print(
            f"  {peer.rows} of {wanted} rows (two values each) in {peer.messages} messages,"
            f" the first {peer.waited_s:.1f} s after the broker came back (not counted)"
        )


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_READINGS:,} readings")
    parser.add_argument("--readings", type=int)
    parser.add_argument("--format", default="senml-cbor")
    parser.add_argument("--history", default="", help="in-order or beside; as the format has it")
    parser.add_argument("--linger", type=float, default=1.0, help="seconds")
    parser.add_argument("--batch-readings", type=int, default=200, help="most in a message")
    parser.add_argument("--live", type=int, default=LIVE_PER_S, help="readings/s meanwhile")
    parser.add_argument("--directory", type=Path, help="where the ring is, e.g. the card")
    parser.add_argument("--profile", action="store_true", help="only that, of our side")
    parser.add_argument("--thingsboard-venv", type=_folder, help="with thingsboard-gateway in it")
    arguments = parser.parse_args()
    history = arguments.history or format_class(arguments.format).history
    if history == "latest":
        parser.error(f"{arguments.format} sends no backlog")
    readings = arguments.readings or (QUICK_READINGS if arguments.quick else READINGS)
    job = Job(
        folder="",
        port=0,
        format=arguments.format,
        readings=readings,
        live_per_s=arguments.live,
        alone_s=QUICK_ALONE_S if arguments.quick else ALONE_S,
        linger_s=arguments.linger,
        batch_readings=arguments.batch_readings,
        in_flight=IN_FLIGHT,
        history=history,
        profile=arguments.profile,
    )
    print(f"{readings:,} readings in the ring on disk, {arguments.live} more a second; {load()}")
    if arguments.profile:
        asyncio.run(profiled(arguments, job))
    else:
        asyncio.run(measure(arguments, job, QUICK_ROWS if arguments.quick else ROWS))
    print(load())


def _folder(text: str) -> Path:
    return Path(text).resolve()


async def profiled(arguments: argparse.Namespace, job: Job) -> None:
    """Drain once with the profiler, which prints to stderr."""
    with tempfile.TemporaryDirectory(dir=arguments.directory) as name:
        job.folder, job.alone_s = str(Path(name, "own")), 0.0
        found, _ = await own(job)
        print(f"{found.seconds:.2f} s with the profiler on, CPU {found.cpu_s:.2f} s, ", end="")
        print(f"of the thread that read the disk {found.thread_s:.2f} s")


if __name__ == "__main__":
    main()
