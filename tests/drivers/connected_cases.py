"""Test cases of drivers that connect to their device, and a device that plays them."""

import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.driver import Connected, Outcome
from tests.drivers.driver_cases import CONNECTED, FOLDER, Readings

__all__ = ["Answer", "ConnectedCase", "Peer", "at_once", "connected_cases", "uuid", "visit"]

T = TypeVar("T")

VENDOR_END = "-ade7-11e4-89d3-123b93f75cba"
STANDARD_END = "-0000-1000-8000-00805f9b34fb"


def uuid(short: str) -> str:
    """Return the full UUID of ``2a24``, or of one of a maker's own that begins with 8 digits."""
    return f"0000{short}{STANDARD_END}" if len(short) == 4 else f"{short}{VENDOR_END}"


@dataclass(frozen=True)
class Answer:
    """What a device notifies after it was written to."""

    write: str
    data: bytes
    """How what was written begins."""
    notify: str
    parts: tuple[bytes, ...]


@dataclass(frozen=True)
class ConnectedCase:
    """One file of the ``testcases`` folder of a driver that connects."""

    driver: str
    name: str
    options: dict[str, Any]
    characteristics: dict[str, bytes]
    answers: tuple[Answer, ...]
    visits: int
    readings: Readings
    faults: list[str]
    about: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.driver}-{self.name}"


def connected_cases() -> list[ConnectedCase]:
    """Return the test cases of all drivers that connect."""
    return [
        _parse(driver, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for driver in CONNECTED
        for path in sorted((FOLDER / driver / "testcases").glob("*.json"))
    ]


def _parse(driver: str, name: str, case: dict[str, Any]) -> ConnectedCase:
    known = {"about", "options", "characteristics", "answers", "visits", "readings", "faults"}
    assert case.keys() == known, f"{driver}/{name}: {sorted(case.keys() ^ known)}"
    return ConnectedCase(
        driver=driver,
        name=name,
        options=case["options"],
        characteristics={
            uuid(short): bytes.fromhex(value) for short, value in case["characteristics"].items()
        },
        answers=tuple(
            Answer(
                uuid(each["write"]),
                bytes.fromhex(each["data"]),
                uuid(each["notify"]),
                tuple(bytes.fromhex(part) for part in each["parts"]),
            )
            for each in case["answers"]
        ),
        visits=case["visits"],
        readings=[
            (quantity, value, tuple(sorted(dims.items())))
            for quantity, value, dims in case["readings"]
        ],
        faults=case["faults"],
        about=case["about"],
    )


class Peer:
    """The device of a test case, to which one is connected."""

    def __init__(self, case: ConnectedCase) -> None:
        self.asked: list[str] = []
        self.written: list[tuple[str, bytes]] = []
        self._case = case
        self._coming: dict[str, list[bytes]] = {}

    async def read(self, characteristic: str) -> bytes:
        self.asked.append(characteristic)
        if characteristic not in self._case.characteristics:
            raise ConnectionError("no such characteristic")
        return self._case.characteristics[characteristic]

    async def write(self, characteristic: str, data: bytes) -> None:
        self.written.append((characteristic, data))
        for answer in self._case.answers:
            if answer.write == characteristic and data.startswith(answer.data):
                assert answer.notify in self._coming, "written before anybody listened"
                self._coming[answer.notify] += answer.parts

    def notifications(self, characteristic: str) -> AsyncIterator[bytes]:
        self._coming[characteristic] = []
        return self._notified(characteristic)

    async def _notified(self, characteristic: str) -> AsyncIterator[bytes]:
        while self._coming[characteristic]:
            yield self._coming[characteristic].pop(0)


async def visit(driver: Connected, case: ConnectedCase) -> list[Outcome]:
    """Connect to the device of a test case once, and return what the driver says."""
    return list(await driver.read(Peer(case)))


def at_once(told: Coroutine[Any, Any, T]) -> T:
    """Run what never waits, as the device of a test case answers at once."""
    try:
        told.send(None)
    except StopIteration as stop:
        outcome: T = stop.value
        return outcome
    raise AssertionError("it waits for something that is not its device")
