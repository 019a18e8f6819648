"""Microseconds of processor time per advertisement: strangers, sensors, and libraries beside us.

Run it with ``python -m tests.benchmarks.bench_adverts``; ``--rounds 50`` for a long run.

The street has seventy sensors and four hundred phones. ``scanner`` begins where bleak calls us and
ends at the sink; ``decoder`` is the driver alone, from an advertisement to its readings. Beside
them stand the libraries, given what they need for nothing, and bleak's own scanner, which we
spare. Packets are distinct: the copies that devices send cost our decoders next to nothing.
A library that is not installed is left out with a line.
"""

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from gateway.clock import Clock
from gateway.driver import Advert, Beacon, Outcome
from gateway.reading import Measured
from gateway.transports.adapter_scan import AdapterScan, Listener
from gateway.transports.advert_entry import AdvertEntry
from gateway.transports.advert_hop import AdvertHop
from gateway.transports.ending import Ending
from gateway.transports.stats import AdapterStats, ScannerStats
from gateway.transports.whereabouts import Whereabouts
from tests.benchmarks.advert_peers import (
    bleak_alone,
    has_package,
    library_alone,
    theengs_alone,
)
from tests.benchmarks.advert_street import (
    KINDS,
    Kind,
    Signal,
    adverts_of,
    beacon,
    phones,
    signal_of,
    tags,
)

__all__ = ["main"]

SENSORS, PHONES, EACH = 70, 400, 10
"""And so many advertisements of each."""
WARM = 5
"""So many more of each sensor come before, unmeasured: what all of them look up once is known."""
SPACING_NS = 50_000_000
"""Between two advertisements: slow enough for the rate limit."""
OF_THE_MIX = ("ruuvi", "bthome", "bthome encrypted")
"""What the libraries of the tests can read, too."""
AIM = 5.0
STRANGER = "a stranger, scanner"

Play = Callable[[], object]
Prepare = Callable[[], Play]
"""Makes what a round needs, which is not measured, and returns the round."""


class Nowhere:
    """A sink that counts what it takes and keeps nothing."""

    readings = 0

    def accept(self, sensor: str, outcomes: Iterable[Outcome], received_ns: int) -> None:
        """Take it."""
        self.readings += sum(isinstance(each, Measured) for each in outcomes)


class Bench:
    """Our code from bleak's callback to the sink, with a clock that leaves the rate limit alone."""

    def __init__(self, beacons: Mapping[str, tuple[str, Beacon]]) -> None:
        self.now_ns = 1_000_000_000
        clock = Clock()
        clock.now_ns = self._tick
        self.sink = Nowhere()
        self.stats = ScannerStats({"default": AdapterStats()})
        self.hop = AdvertHop(AdvertEntry(beacons, self.sink, self.stats), clock, self.stats)
        scan = AdapterScan(
            "",
            label="default",
            mode="active",
            silence_timeout_s=90.0,
            listener=Listener(beacons, self.hop, Whereabouts(frozenset()), clock),
            stats=self.stats.adapters["default"],
        )
        self.hear = scan._hearing(Ending())

    def _tick(self) -> int:
        self.now_ns += SPACING_NS
        return self.now_ns

    def play(self, signals: Sequence[Signal]) -> object:
        """Take them all, and decode them."""
        hear, hop = self.hear, self.hop
        for number, (path, props) in enumerate(signals):
            hear(path, props)
            if not number % 32:
                hop.drain()
        while hop._queue:
            hop.drain()
        return self.sink.readings


def through_scanner(
    signals: Sequence[Signal], kinds: Mapping[str, Kind], before: Sequence[Advert] = ()
) -> Prepare:
    """Prepare our whole way; ``kinds`` are those of the configured sensors."""

    def prepare() -> Play:
        sensors = {
            address: (f"air-{number}", beacon(kind.driver, kind.options))
            for number, (address, kind) in enumerate(kinds.items())
        }
        bench = Bench(sensors)
        bench.play([signal_of(advert) for advert in before])
        bench.sink.readings = 0
        return lambda: bench.play(signals)

    return prepare


def decoder_alone(adverts: Sequence[Advert], kind: Kind, before: Sequence[Advert]) -> Prepare:
    """Prepare the drivers alone, one a device."""

    def prepare() -> Play:
        beacons = {each.address: beacon(kind.driver, kind.options) for each in adverts}
        for each in before:
            list(beacons[each.address].decode(each))
        given = [(beacons[each.address].decode, each) for each in adverts]

        def play() -> object:
            found = 0
            for decode, advert in given:
                found += len(list(decode(advert)))
            return found

        return play

    return prepare


def as_ble_ha(kind: Kind) -> Kind:
    """Return the same kind, read by ``ble_ha`` through its package."""
    return Kind("ble_ha", {"package": kind.package, **kind.options})


def bare_calls(signals: Sequence[Signal]) -> Prepare:
    """Prepare so many calls of a function that does nothing."""

    def nothing(_path: str, _props: Mapping[str, Any]) -> None:
        pass

    def play() -> object:
        for path, props in signals:
            nothing(path, props)
        return True

    return lambda: play


def in_turns(kinds: Mapping[str, str]) -> tuple[list[Advert], list[Advert]]:
    """Return what sensors send one after the other: first, and what is measured."""
    streams = [
        adverts_of(kind, seed, tag, WARM + EACH) for seed, (tag, kind) in enumerate(kinds.items())
    ]
    adverts = [advert for moment in zip(*streams, strict=True) for advert in moment]
    return adverts[: WARM * len(kinds)], adverts[WARM * len(kinds) :]


def rows_of_kind(name: str) -> Iterator[tuple[str, Prepare, int]]:
    """Yield what is measured of one kind of sensor: ours, ``ble_ha``, and the libraries."""
    kind = KINDS[name]
    before, adverts = in_turns(dict.fromkeys(tags(SENSORS), name))
    signals = [signal_of(advert) for advert in adverts]
    ways = {"": kind}
    if has_package(kind.package):
        ways[" by ble_ha"] = as_ble_ha(kind)
    for way, what in ways.items():
        kinds = dict.fromkeys(tags(SENSORS), what)
        yield f"{name}{way}, scanner", through_scanner(signals, kinds, before), len(adverts)
        yield f"{name}{way}, decoder", decoder_alone(adverts, what, before), len(adverts)
    if has_package(kind.package):
        options = kind.options
        yield (
            f"{name} by {kind.package}",
            lambda: library_alone(kind.package, options, adverts, before),
            len(adverts),
        )
    if theengs_alone(adverts) is not None:
        yield f"{name} by TheengsDecoder", lambda: theengs_alone(adverts) or int, len(adverts)


def rows_of_mix(strange: list[Signal]) -> Iterator[tuple[str, Prepare, int]]:
    """Yield what is measured of seventy sensors among four hundred phones."""
    kinds = {tag: OF_THE_MIX[seed % len(OF_THE_MIX)] for seed, tag in enumerate(tags(SENSORS))}
    before, known = in_turns(kinds)
    # Phones between the sensors, whose own order stays.
    signals = list(strange)
    rng = random.Random(4)
    places = sorted(rng.randrange(len(signals)) for _ in known)
    for place, advert in reversed(list(zip(places, known, strict=True))):
        signals.insert(place, signal_of(advert))
    own = {tag: KINDS[name] for tag, name in kinds.items()}
    yield "the mix, scanner", through_scanner(signals, own, before), len(signals)
    if not all(has_package(kind.package) for kind in own.values()):
        return
    others = {tag: as_ble_ha(kind) for tag, kind in own.items()}
    yield "the mix by ble_ha, scanner", through_scanner(signals, others, before), len(signals)

    def prepare() -> Play:
        plays = [bleak_alone(signals)]
        for name in OF_THE_MIX:
            parts = [
                [each for each in part if kinds[each.address] == name] for part in (known, before)
            ]
            plays.append(library_alone(KINDS[name].package, KINDS[name].options, *parts))
        return lambda: [play() for play in plays]

    yield "the mix by libraries, behind bleak's scanner", prepare, len(signals)


def rows() -> Iterator[tuple[str, Prepare, int]]:
    """Yield all that is measured: its name, a round of it, and its number of advertisements."""
    strange = [signal_of(advert) for advert in phones(PHONES, EACH)]
    yield "a bare call", bare_calls(strange), len(strange)
    sensors = dict.fromkeys(tags(SENSORS), KINDS["ruuvi"])
    yield STRANGER, through_scanner(strange, sensors), len(strange)
    yield "a stranger, bleak's own scanner", lambda: bleak_alone(strange), len(strange)
    for name in KINDS:
        yield from rows_of_kind(name)
    yield from rows_of_mix(strange)


async def measure(rounds: int) -> dict[str, float]:
    """Return the median of each row in microseconds per advertisement, and print it."""
    table = list(rows())
    taken: dict[str, list[float]] = {name: [] for name, _, _ in table}
    for _ in range(rounds):
        for name, prepare, adverts in table:
            play = prepare()
            began = time.process_time()
            result = play()
            taken[name].append((time.process_time() - began) / adverts * 1e6)
            assert bool(result) == (name != STRANGER), f"{name}: {result} came of it"
    medians = {name: statistics.median(figures) for name, figures in taken.items()}
    for name, median in medians.items():
        print(f"{name:46} {median:8.2f} us")
    return medians


def compare(medians: Mapping[str, float]) -> None:
    """Print by how much dearer the others are than ours, and what was left out."""
    print(f"\nas dear as our decoder of the same device (aim: {AIM:g} or more)")
    for name, kind in KINDS.items():
        for other in (f"by {kind.package}", "by ble_ha, decoder", "by TheengsDecoder"):
            if f"{name} {other}" in medians:
                ratio = medians[f"{name} {other}"] / medians[f"{name}, decoder"]
                print(f"{f'{name} {other}':46} {ratio:6.1f} x")
    for other in ("the mix by ble_ha, scanner", "the mix by libraries, behind bleak's scanner"):
        if other in medians:
            print(f"{other:46} {medians[other] / medians['the mix, scanner']:6.1f} x")
    packages = {kind.package for kind in KINDS.values() if kind.package}
    for package in sorted(each for each in packages if not has_package(each)):
        print(f"left out: {package} is not installed")
    if not any("Theengs" in name for name in medians):
        print("left out: TheengsDecoder is not installed")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    compare(asyncio.run(measure(parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
