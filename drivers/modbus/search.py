"""Finds the devices of a Modbus line, and for each the register map that reads it best."""

from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Literal, NamedTuple

from drivers.modbus.maps import map_names
from drivers.modbus.rtu import find_answer, read_request
from drivers.search import BusSearch
from gateway.driver import Outcome, Polled, Request
from gateway.reading import Fault, Measured

__all__ = ["Search"]

UNITS = range(1, 9)
"""Where devices are as a rule: nearly all come as number 1, and somebody counts up from there."""
ANYBODY = (248, 254)
"""The only device of a line answers to these, if it is a PZEM-004T or a Senseair."""
TIMEOUT_S = 0.3
READ_INPUT: Literal[4] = 4
FIRST_REGISTERS = 2
FAULT_WEIGHT = 3
PLAUSIBLE: Mapping[str, tuple[float, float]] = {
    "electric.voltage": (0.0, 500.0),
    "electric.voltage_line": (0.0, 900.0),
    "electric.current": (-10_000.0, 10_000.0),
    "electric.frequency": (0.0, 70.0),
    "power.active": (-1e7, 1e7),
    "power.factor": (-1.0, 1.0),
}
"""A meter of another make has numbers at these registers, too, but not such ones."""


class _Candidate(NamedTuple):
    score: int
    options: Mapping[str, object]


class Search(BusSearch):
    """Only registers are read.

    Which map is right no device says: the one with the most plausible values is named.
    """

    def __init__(self, driver: Callable[[Mapping[str, object]], Polled]) -> None:
        """``driver`` makes one from options."""
        super().__init__()
        self._driver = driver

    def _search(self) -> Generator[Request, bytes, None]:
        units = yield from self._answering(UNITS)
        if not units:
            units = (yield from self._answering(ANYBODY))[:1]
        for unit in units:
            best = _Candidate(0, {})
            for name in map_names():
                options: Mapping[str, object] = {"map": name, "unit": unit}
                score = yield from self._read(options)
                best = max(best, _Candidate(score, options), key=lambda each: each.score)
            if best.options:
                self.found.append(best.options)

    def _answering(self, units: Iterable[int]) -> Generator[Request, bytes, list[int]]:
        """Return those that answer at all; a refusal is an answer."""
        there = []
        for unit in units:
            question = read_request(unit, READ_INPUT, 0, FIRST_REGISTERS)
            answer = yield Request(question, _length(unit), timeout_s=TIMEOUT_S)
            if find_answer(answer, unit, READ_INPUT, FIRST_REGISTERS) is not None:
                there.append(unit)
        return there

    def _read(self, options: Mapping[str, object]) -> Generator[Request, bytes, int]:
        """Read a device once through a map; return how well that went."""
        driver = self._driver({**options, "timeout_s": TIMEOUT_S})
        score = 0
        for request in driver.requests():
            answer = yield request
            score += sum(map(_worth, driver.on_reply(request, answer)))
        return score


def _length(unit: int) -> Callable[[bytes], int | None]:
    def length(data: bytes) -> int | None:
        answer = find_answer(data, unit, READ_INPUT, FIRST_REGISTERS)
        return None if answer is None else answer.end

    return length


def _worth(outcome: Outcome) -> int:
    if isinstance(outcome, Fault):
        return -FAULT_WEIGHT
    if not isinstance(outcome, Measured) or not outcome.value:
        return 0  # registers that a device has no use for are 0 in many makes
    low, high = PLAUSIBLE.get(outcome.quantity, (outcome.value, outcome.value))
    return 1 if low <= outcome.value <= high else -FAULT_WEIGHT
