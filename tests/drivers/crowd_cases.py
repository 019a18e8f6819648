"""Test cases of drivers that count who passes; the passers-by have addresses that are made up."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from gateway.driver import Crowd, Outcome
from tests.drivers.driver_cases import CROWDS, FOLDER, Readings

__all__ = ["CrowdCase", "Heard", "Window", "count", "crowd_cases"]


class Heard(NamedTuple):
    """One advertisement of a stranger."""

    address: str
    rssi: int
    random: bool


class Window(NamedTuple):
    """Who is heard in it, and in which part of it the radio listened."""

    adverts: tuple[Heard, ...]
    part: float


@dataclass(frozen=True)
class CrowdCase:
    """One file of the ``testcases`` folder of a driver that counts."""

    driver: str
    name: str
    options: dict[str, Any]
    windows: tuple[Window, ...]
    readings: Readings
    faults: list[str]
    about: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.driver}-{self.name}"


def crowd_cases() -> list[CrowdCase]:
    """Return the test cases of all drivers that count."""
    return [
        _parse(driver, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for driver in CROWDS
        for path in sorted((FOLDER / driver / "testcases").glob("*.json"))
    ]


def _parse(driver: str, name: str, case: dict[str, Any]) -> CrowdCase:
    known = {"about", "options", "windows", "readings", "faults"}
    assert case.keys() == known, f"{driver}/{name}: {sorted(case.keys() ^ known)}"
    return CrowdCase(
        driver=driver,
        name=name,
        options=case["options"],
        windows=tuple(
            Window(tuple(_passing(each["passing"])), each["part"]) for each in case["windows"]
        ),
        readings=[
            (quantity, value, tuple(sorted(dims.items())))
            for quantity, value, dims in case["readings"]
        ],
        faults=case["faults"],
        about=case["about"],
    )


def _passing(groups: list[dict[str, Any]]) -> Iterator[Heard]:
    """Yield the advertisements of groups: ``first`` number, how many ``devices``, and each RSSI."""
    for group in groups:
        random = group["address"] == "random"
        for number in range(group["first"], group["first"] + group["devices"]):
            begin = "C2:5D:E7" if random else "02:5D:E7"
            address = f"{begin}:{number >> 16:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
            for rssi in group["rssi"]:
                yield Heard(address, rssi, random)


def count(driver: Crowd, windows: tuple[Window, ...]) -> list[Outcome]:
    """Let all pass that are in the windows, and return what the driver says."""
    outcomes: list[Outcome] = []
    for window in windows:
        for each in window.adverts:
            driver.hear(each.address, each.rssi, random=each.random)
        outcomes += driver.close(window.part)
    return outcomes
