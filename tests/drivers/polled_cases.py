"""Test cases of polled meters: a list of questions with their answers; see docs/drivers.md."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.driver import Outcome, Polled
from tests.drivers.driver_cases import FOLDER, Readings

__all__ = ["PolledCase", "ask_all", "polled_cases"]

KNOWN = {"about", "options", "input", "readings", "faults", "restarts"}


@dataclass(frozen=True)
class PolledCase:
    """One file of a ``testcases`` folder; an empty answer is a time-out."""

    driver: str
    name: str
    options: dict[str, Any]
    talk: tuple[tuple[bytes, bytes], ...]
    readings: Readings
    faults: list[str]
    restarts: int = 0

    def __str__(self) -> str:
        return f"{self.driver}-{self.name}"


def polled_cases(driver: str) -> list[PolledCase]:
    """Return the test cases of one driver."""
    return [
        _parse(driver, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted((FOLDER / driver / "testcases").glob("*.json"))
    ]


def _parse(driver: str, name: str, case: dict[str, Any]) -> PolledCase:
    assert not case.keys() - KNOWN, f"{driver}/{name}: {sorted(case.keys() - KNOWN)}"
    return PolledCase(
        driver,
        name,
        case.get("options", {}),
        tuple(
            (bytes.fromhex(each["request"]), bytes.fromhex(each["hex"])) for each in case["input"]
        ),
        [
            (quantity, value, tuple(sorted(dims.items())))
            for quantity, value, dims in case["readings"]
        ],
        case.get("faults", []),
        case.get("restarts", 0),
    )


def ask_all(driver: Polled, talk: tuple[tuple[bytes, bytes], ...]) -> list[Outcome]:
    """Play one round; the questions must be exactly those of the case."""
    outcomes: list[Outcome] = []
    answers = iter(talk)
    for request in driver.requests():
        wanted, answer = next(answers)
        assert request.data.hex() == wanted.hex()
        outcomes += driver.on_reply(request, answer)
    assert next(answers, None) is None, "a question was not asked"
    return outcomes
