"""CPU time of each serial decoder, per frame and per reading, beside the library users would pick.

Run it with ``make bench ARGS=bench_decoders``; ``--quick`` for a look, ``--only p1`` for the
drivers with a word in their name. Ours and the library's rounds take turns over the same bytes,
each round with a new decoder; the median of the rounds is printed. Nothing is judged.
"""

import argparse
import gc
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import chain

from tests.benchmarks.decoder_loads import PIECE_BYTES, Load, Tally, decoder, loads, tally
from tests.benchmarks.decoder_peers import PEERS, Peer, Work

__all__ = ["main"]

NS_PER_US = 1000
AIM = 3


def rounds_ns(makers: Sequence[Callable[[], Work]], rounds: int) -> list[list[int]]:
    """Return the CPU time of each round of each decoder; they take turns."""
    found: list[list[int]] = [[] for _ in makers]
    for _ in range(rounds):
        for times, make in zip(found, makers, strict=True):
            work = make()
            gc.collect()
            began = time.process_time_ns()
            work()
            times.append(time.process_time_ns() - began)
    return found


def ours(load: Load) -> Callable[[], Work]:
    """Return what makes a fresh driver of ours."""

    def make() -> Work:
        decode = decoder(load.make(), load)
        return lambda: len(decode())

    return make


def present(load: Load) -> list[tuple[Peer, Callable[[], Work]]]:
    """Return the libraries for this device that are installed."""
    found = []
    for peer in PEERS:
        if peer.driver == load.name:
            try:
                found.append((peer, peer.make(load)))
            except ImportError:
                print(f"{load.name}: {peer.name} is not installed")
    return found


def report(load: Load, rounds: int) -> None:
    """Print the lines of one device."""
    counts: Tally = tally(decoder(load.make(), load)())
    peers = present(load)
    ours_ns, *others_ns = rounds_ns([ours(load), *(make for _, make in peers)], rounds)
    frames = len(load.frames)
    size = sum(map(len, chain.from_iterable(load.frames))) / frames
    line = f"{load.name:15} {size:6.0f} " + figures(ours_ns, frames, counts.readings)
    if counts.faults:
        line += f"  {counts.faults} faults"
    if not peers:
        print(line)
    for (peer, make), times in zip(peers, others_ns, strict=True):
        ratio = statistics.median(b / a for a, b in zip(ours_ns, times, strict=True))
        theirs = figures(times, frames, make()())
        print(f"{line}   {peer.name:12} {theirs} {ratio:8.1f}")


def figures(times_ns: Sequence[int], frames: int, values: int) -> str:
    """Return values per frame, and CPU time per frame and per value."""
    took_us = statistics.median(times_ns) / NS_PER_US
    each = f"{took_us / values:8.2f}" if values else "       -"
    return f"{values / frames:7.2f} {took_us / frames:9.2f} {each}"


def main() -> None:
    """Print a line for each serial driver."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true", help="few frames and rounds")
    arguments = parser.parse_args()
    frames = 40 if arguments.quick else arguments.frames
    rounds = 3 if arguments.quick else arguments.rounds
    print(
        f"Python {platform.python_version()}, seed {arguments.seed}, {frames} frames a round,"
        f" median of {rounds} rounds\n"
        "A frame is what a device sends at once, or its answer; it comes in pieces of at most\n"
        f"{PIECE_BYTES} bytes. Of polled devices the question counts, too, on both sides. Values:\n"
        "our readings, and what the library gives names to. Times: CPU time of the library for\n"
        f"the same frames / ours (aim: {AIM})."
    )
    head = "values/f  us/frame us/value"
    print(f"\n{'driver':15} {'bytes':>6} {head}   {'beside':12} {head}    times")
    for load in loads(frames, arguments.seed, arguments.only):
        report(load, rounds)


if __name__ == "__main__":
    main()
