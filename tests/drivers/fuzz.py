"""Random, mutated and spliced bytes for every decoder, as many as are asked for.

    make fuzz ARGS="--inputs 1000000"

An input is a piece of a stream, the answer to one question, one advertisement, or one thing that
a device says to which is connected. No decoder may raise, grow, or say what its device cannot
produce; a stream says the same in other pieces. The same seed gives the same inputs, however many
processes share them.
"""

import argparse
import os
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import (
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    as_completed,
)
from dataclasses import dataclass, field, replace
from math import inf, isfinite
from multiprocessing import get_context
from types import TracebackType
from typing import Any, Self

from gateway.driver import Advert, Outcome, Request, TimeTold
from gateway.reading import FAULT_KINDS, Fault, Measured
from tests.drivers.connected_cases import ConnectedCase, Peer, at_once
from tests.drivers.corpus import as_heard, corpus
from tests.drivers.driver_cases import BEACONS, CONNECTED, CROWDS, DRIVERS, POLLED, make
from tests.drivers.footprint import footprint
from tests.drivers.mutations import Mutator
from tests.drivers.polled_rounds import MAX_QUESTIONS, answer_length
from tests.drivers.ranges import Range, ranges
from tests.drivers.repair import repair_of

__all__ = ["Findings", "Run", "main", "run_share"]

SHARE = 20_000
"""Inputs of one decoder that one process takes at a time."""
SESSIONS = {1: 30, 10: 30, 100: 20, 1000: 18, SHARE: 2}
"""So many inputs go to one driver, one after the other -> how often, in percent."""
CHUNKED_SESSION = 10
"""Sessions so long at most are fed once more in other pieces."""
MAX_BUFFERED_BYTES = 8192
MAX_FOOTPRINT_BYTES = 400_000
"""All that a driver holds, with the readings that it remembers and the tables it decodes with."""
MAX_SAMPLE_BYTES = 24
EXTRA_OUTCOMES = 40
"""There are never more outcomes than bytes and so many."""
ROUNDING = 1e-9
YEARS_NS = range(315_532_800 * 10**9, 4_102_444_800 * 10**9)
"""1980 to 2100."""
ADDRESS = "C0:FF:EE:00:00:01"
RESTING = frozenset({"ble_ha"})
"""Asked about a device that it did not know, it answers without looking for a while."""
HEARD_IN_A_WINDOW = 30
"""About so many inputs."""


@dataclass
class Findings:
    """What a share of the inputs led to."""

    inputs: int = 0
    readings: int = 0
    faults: int = 0
    largest: int = 0
    """The greatest footprint."""

    def add(self, other: "Findings") -> None:
        """Take another share's findings."""
        self.inputs += other.inputs
        self.readings += other.readings
        self.faults += other.faults
        self.largest = max(self.largest, other.largest)


@dataclass
class Run:
    """The inputs of one driver from one seed; used as a context it tells what led to an error."""

    name: str
    seed: str
    findings: Findings = field(default_factory=Findings)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed}/{self.name}")
        self._corpus = corpus(self.name)
        assert self._corpus, f"{self.name} has no test cases"
        self._everything = [data for each in self._corpus for data in each.inputs]
        self._case = self._corpus[0]
        self._ranges: Mapping[str, Range] = {}
        self._private = False
        self._mutate = Mutator(self._random, self._everything, self._everything, bytes)
        self._last: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Add to an error what came before it."""
        if error is not None:
            error.add_note(f"driver {self.name}, seed {self.seed}, input {self.findings.inputs}")
            error.add_note(f"options {self._case.options}")
            error.add_note(f"last inputs {[data.hex() for data in self._last[-3:]]}")

    def take(self, inputs: int) -> Findings:
        """Run so many inputs, in sessions of several lengths."""
        session = self._session()
        while self.findings.inputs < inputs:
            self._case = self._random.choice(self._corpus)
            self._ranges = ranges(self.name, self._case.options)
            self._mutate = self._mutator(self._case.inputs)
            driver = make(self.name, self._case.options)
            self._private = driver.info.privacy == "P3"
            self._last = []
            (length,) = self._random.choices(tuple(SESSIONS), tuple(SESSIONS.values()))
            session(driver, min(length, inputs - self.findings.inputs))
            held = footprint(driver)
            self.findings.largest = max(self.findings.largest, held)
            assert held <= MAX_FOOTPRINT_BYTES, f"it holds {held} bytes"
        return self.findings

    def _session(self) -> Callable[[Any, int], None]:
        """Return what feeds a driver, by its shape."""
        for names, session in (
            (POLLED, self._asked),
            (BEACONS, self._heard),
            (CONNECTED, self._visited),
            (CROWDS, self._passed),
        ):
            if self.name in names:
                return session
        return self._streamed

    def _mutator(self, inputs: tuple[bytes, ...]) -> Mutator:
        repair = repair_of(self.name, self._case.options)
        return Mutator(self._random, inputs, self._everything, repair)

    def _input(self, mutate: Mutator | None = None) -> bytes:
        data = (mutate or self._mutate).input()
        self.findings.inputs += 1
        self._last.append(data)
        if len(self._last) > CHUNKED_SESSION:
            del self._last[0]
        return data

    def _streamed(self, driver: Any, inputs: int) -> None:
        told: list[Outcome] = []
        for _ in range(inputs):
            data = self._input()
            bound = len(data) + driver.buffered_bytes
            outcomes = list(driver.feed(data))
            self._check(outcomes, bound)
            buffered = driver.buffered_bytes
            assert buffered <= MAX_BUFFERED_BYTES, f"{buffered} bytes wait"
            if inputs <= CHUNKED_SESSION:
                told += outcomes
        if inputs <= CHUNKED_SESSION:
            self._feed_again(told)

    def _feed_again(self, told: list[Outcome]) -> None:
        """Feed the inputs of a session in other pieces: nothing may change."""
        whole = b"".join(self._last)
        driver = make(self.name, self._case.options)
        again: list[Outcome] = []
        position = 0
        while position < len(whole):
            size = self._random.choice((1, 2, 5, 20, 100, 1000))
            again += driver.feed(whole[position : position + size])
            position += size
        assert again == told, "other pieces, other outcomes"

    def _asked(self, driver: Any, inputs: int) -> None:
        until = self.findings.inputs + inputs
        while self.findings.inputs < until:
            for asked, request in enumerate(driver.requests()):
                assert asked < MAX_QUESTIONS, "a round without an end"
                assert request.timeout_s > 0, request
                if request.length != 0:
                    self._answer(driver, request)
                if self.findings.inputs >= until:
                    break

    def _answer(self, driver: Any, request: Request) -> None:
        """Give an answer to this question, as often as not a damaged one, or silence."""
        good = self._case.asked.get(request.data)
        answer = self._input()
        if good and self._random.random() < 0.25:
            answer = self._random.choice(good)
            self._last[-1] = answer
        cut = self._random.randrange(len(answer) + 1)
        for part in (answer[:cut], answer):
            length = answer_length(request, part)
            assert length is None or length > 0, f"an answer of {length} bytes"
        self._check(list(driver.on_reply(request, answer)), len(answer))

    def _heard(self, driver: Any, inputs: int) -> None:
        sources = (*self._case.sources, self._random.randrange(0x10000))
        for _ in range(inputs):
            data = self._input()
            source = self._random.choice(sources)
            rssi = self._random.randrange(-127, 21)
            if isinstance(source, str):
                advert = Advert(ADDRESS, rssi, service_data={source: data})
            else:
                advert = Advert(ADDRESS, rssi, manufacturer_data={source: data})
            if not driver.claims(advert) and self.name not in RESTING:
                assert not list(driver.decode(advert)), "it decodes what it does not claim"
            self._check(list(driver.decode(advert)), len(data))

    def _visited(self, driver: Any, inputs: int) -> None:
        """Connect to the device of the test case; each time it says one thing that is not its."""
        device = self._case.device
        assert device is not None
        told = [(place, said) for place, said in _told(device) if said]
        mutators = [self._mutator((said,)) for _, said in told]
        for _ in range(inputs):
            number = self._random.randrange(len(told))
            data = self._input(mutators[number])
            other = _with(device, told[number][0], data)
            try:
                outcomes = at_once(driver.read(Peer(other)))
            except ConnectionError:  # it asked for what another model would have
                continue
            self._check(list(outcomes), len(data))

    def _passed(self, driver: Any, inputs: int) -> None:
        for left in reversed(range(inputs)):
            heard = as_heard(self._input())
            driver.hear(heard.address, heard.rssi, random=heard.random)
            if not left or self._random.randrange(HEARD_IN_A_WINDOW) == 0:
                outcomes = list(driver.close(self._random.choice((0.0, 0.5, 0.8, 0.99, 1.0))))
                self._check(outcomes, HEARD_IN_A_WINDOW)
                for outcome in outcomes:
                    value = outcome.value if isinstance(outcome, Measured) else 0
                    assert not 0 < value < self._case.options.get("suppress_below", 5), outcome

    def _check(self, outcomes: Sequence[Outcome], data_bytes: int) -> None:
        assert len(outcomes) <= data_bytes + EXTRA_OUTCOMES, f"{len(outcomes)} outcomes"
        for outcome in outcomes:
            if isinstance(outcome, Measured):
                self.findings.readings += 1
                low, high = self._ranges[outcome.quantity]
                assert low - ROUNDING <= outcome.value <= high + ROUNDING, outcome
                assert isfinite(outcome.value), outcome
                assert 0.0 <= outcome.age_s < inf, outcome
            elif isinstance(outcome, Fault):
                self.findings.faults += 1
                assert outcome.kind in FAULT_KINDS, outcome
                bound = 0 if self._private else MAX_SAMPLE_BYTES
                assert len(outcome.sample) <= bound, f"too long a sample: {outcome}"
            elif isinstance(outcome, TimeTold):
                assert outcome.utc_ns in YEARS_NS, outcome


Place = tuple[str, int, int]
"""A characteristic, or the number of an answer and of its part."""


def _told(device: ConnectedCase) -> Iterator[tuple[Place, bytes]]:
    """Yield each thing that a device says, and its place."""
    for characteristic, said in device.characteristics.items():
        yield (characteristic, 0, 0), said
    for number, answer in enumerate(device.answers):
        for part, said in enumerate(answer.parts):
            yield ("", number, part), said


def _with(device: ConnectedCase, place: Place, said: bytes) -> ConnectedCase:
    """Return the device with something else in one place."""
    characteristic, number, part = place
    if characteristic:
        said_by = {**device.characteristics, characteristic: said}
        return replace(device, characteristics=said_by)
    answers = list(device.answers)
    parts = list(answers[number].parts)
    parts[part] = said
    answers[number] = replace(answers[number], parts=tuple(parts))
    return replace(device, answers=tuple(answers))


def run_share(name: str, inputs: int, seed: str) -> Findings:
    """Run so many inputs of one driver; raise what went wrong, with notes on how to see it."""
    with Run(name, seed) as run:
        return run.take(inputs)


def _shares(inputs: int) -> Iterator[tuple[int, int]]:
    """Yield the number of each share and its inputs."""
    for number, start in enumerate(range(0, inputs, SHARE)):
        yield number, min(SHARE, inputs - start)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=20_000, help="inputs of each decoder")
    parser.add_argument("--seed", type=int, default=1, help="another one, other inputs")
    parser.add_argument("--driver", action="append", choices=DRIVERS, help="only this decoder")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args(arguments)


def _pool(processes: int) -> Executor:
    if processes == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(processes, get_context("spawn"))


def main(
    arguments: Sequence[str] | None = None,
    share: Callable[[str, int, str], Findings] = run_share,
) -> int:
    """Share the inputs among processes; return 1 if anything went wrong."""
    chosen = _arguments(arguments)
    names: list[str] = chosen.driver or DRIVERS
    failures = 0
    total = Findings()
    with _pool(chosen.processes) as pool:
        for name in names:
            began = time.monotonic()
            futures: dict[Future[Findings], int] = {
                pool.submit(share, name, inputs, f"{chosen.seed}.{number}"): number
                for number, inputs in _shares(chosen.inputs)
            }
            found = Findings()
            for future in as_completed(futures):
                error = future.exception()
                if error is None:
                    found.add(future.result())
                else:
                    failures += 1
                    traceback.print_exception(error)
                    least = (futures[future] + 1) * SHARE
                    again = f"--driver {name} --seed {chosen.seed} --inputs {least}"
                    print(f"The same again: {again}", file=sys.stderr)
            total.add(found)
            print(
                f"{name}: inputs={found.inputs} readings={found.readings} faults={found.faults} "
                f"largest_bytes={found.largest} seconds={time.monotonic() - began:.0f}",
                flush=True,
            )
    print(f"decoders={len(names)} inputs={total.inputs} failures={failures}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
