"""Finds the drivers of this repository and reads their test cases; see docs/drivers.md."""

import importlib
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.driver import Advert, Beacon, Driver, Outcome, Restarted, Stream
from gateway.reading import Fault, Measured

__all__ = [
    "DRIVERS",
    "FOLDER",
    "Case",
    "Readings",
    "adverts",
    "all_cases",
    "chunks",
    "faults",
    "feed_all",
    "load",
    "make",
    "parse_case",
    "readings",
    "restarts",
    "table",
]

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "drivers"
ADDRESS = "C0:FF:EE:00:00:01"

Readings = list[tuple[str, float, tuple[tuple[str, str], ...]]]


def table(group: str) -> dict[str, str]:
    """Return one entry point table of pyproject.toml: name -> module:class."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return dict(project["entry-points"][group])


DRIVERS = sorted(table("citylab_gateway.drivers"))


def load(target: str) -> Any:
    """Import ``module:class``."""
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def make(name: str, options: dict[str, Any] | None = None) -> Any:
    """Return a driver of this repository, made with its options."""
    driver: type[Driver] = load(table("citylab_gateway.drivers")[name])
    return driver(driver.Options.model_validate(options or {}))


@dataclass(frozen=True)
class Case:
    """One file of a ``testcases`` folder."""

    driver: str
    name: str
    options: dict[str, Any]
    data: bytes
    adverts: tuple[Advert, ...]
    readings: Readings
    faults: list[str]
    restarts: int = 0
    protocol: str = "frames"
    """``lines`` where no checksum protects the text: a lost byte cannot always be seen."""
    about: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.driver}-{self.name}"


def all_cases(*, beacons: bool) -> list[Case]:
    """Return the test cases of all drivers of one shape."""
    found = []
    for name in DRIVERS:
        is_beacon = isinstance(make(name), Beacon)
        for path in sorted((FOLDER / name / "testcases").glob("*.json")):
            if is_beacon == beacons:
                text = path.read_text(encoding="utf-8")
                found.append(parse_case(name, path.stem, json.loads(text)))
    return found


def parse_case(driver: str, name: str, case: dict[str, Any]) -> Case:
    """Return a test case from the JSON object of its file."""
    known = {"about", "options", "input", "readings", "faults", "restarts", "protocol"}
    assert not case.keys() - known, f"{driver}/{name}: {sorted(case.keys() - known)}"
    inputs = case["input"]
    return Case(
        driver=driver,
        name=name,
        options=case.get("options", {}),
        data=b"".join(_bytes(item) for item in inputs if "manufacturer_data" not in item),
        adverts=tuple(adverts(inputs)),
        readings=[
            (quantity, value, tuple(sorted(dims.items())))
            for quantity, value, dims in case["readings"]
        ],
        faults=case.get("faults", []),
        restarts=case.get("restarts", 0),
        protocol=case.get("protocol", "frames"),
        about=case.get("about", ""),
    )


def _bytes(item: dict[str, Any]) -> bytes:
    if "hex" in item:
        return bytes.fromhex(item["hex"])
    if "lines" in item:
        return "".join(f"{line}\r\n" for line in item["lines"]).encode("latin-1")
    return str(item["text"]).encode("latin-1")


def adverts(items: Iterable[dict[str, Any]]) -> list[Advert]:
    """Return the advertisements among the inputs of a test case."""
    return [
        Advert(
            address=item.get("address", ADDRESS),
            rssi=item.get("rssi", -60),
            manufacturer_data={
                int(company): bytes.fromhex(data)
                for company, data in item["manufacturer_data"].items()
            },
        )
        for item in items
        if "manufacturer_data" in item
    ]


def chunks(data: bytes, size: int) -> list[bytes]:
    """Cut data into pieces of ``size`` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def feed_all(driver: Stream, pieces: Sequence[bytes]) -> list[Outcome]:
    """Feed pieces one after the other; return all that came out."""
    return [outcome for piece in pieces for outcome in driver.feed(piece)]


def readings(outcomes: Iterable[Outcome]) -> Readings:
    """Return quantity, value and dims of the readings among outcomes."""
    return [(o.quantity, o.value, o.dims) for o in outcomes if isinstance(o, Measured)]


def faults(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the kinds of the faults among outcomes."""
    return [o.kind for o in outcomes if isinstance(o, Fault)]


def restarts(outcomes: Iterable[Outcome]) -> int:
    """Return how often the device said that it restarted."""
    return sum(isinstance(o, Restarted) for o in outcomes)
