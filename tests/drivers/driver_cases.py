"""Finds the drivers of this repository and reads their test cases; see docs/drivers.md."""

import importlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from gateway.driver import Advert, Driver, DriverInfo, Outcome, Restarted, Stream, info_with
from gateway.quantities import registry
from gateway.reading import Fault, Measured

__all__ = [
    "BEACONS",
    "BLUETOOTH",
    "CONNECTED",
    "CROWDS",
    "DRIVERS",
    "FOLDER",
    "POLLED",
    "STREAMS",
    "Case",
    "Readings",
    "adverts",
    "all_cases",
    "chunks",
    "faults",
    "feed_all",
    "full_uuid",
    "info_of",
    "load",
    "make",
    "options_of",
    "parse_case",
    "readings",
    "restarts",
    "sample_options",
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


@cache
def _driver(name: str) -> type[Driver]:
    return cast("type[Driver]", load(table("citylab_gateway.drivers")[name]))


@cache
def sample_options(name: str) -> dict[str, Any]:
    """Return the options of the first section of a driver's ``sample.toml``."""
    sample = tomllib.loads((FOLDER / name / "sample.toml").read_text(encoding="utf-8"))
    return dict(sample["sensor"][0].get("options", {}))


def options_of(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return validated options of a driver.

    Without any they are the defaults, or those of its sample where it cannot do without.
    """
    model = _driver(name).Options
    try:
        return model.model_validate(options or {})
    except ValidationError:
        if options:
            raise
        return model.model_validate(sample_options(name))


def info_of(name: str, options: Mapping[str, Any] | None = None) -> DriverInfo:
    """Return what a driver declares about a device with these options, or that of its sample."""
    driver = _driver(name)
    if len(driver.info.quantities) < len(registry()):
        return driver.info if options is None else info_with(driver, options)
    return info_with(driver, sample_options(name) if options is None else options)


def make(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return a driver of this repository, made with its options; see ``options_of``."""
    return _driver(name)(options_of(name, options))


def _shaped(method: str) -> list[str]:
    return [name for name in DRIVERS if hasattr(_driver(name), method)]


STREAMS = _shaped("feed")
POLLED = _shaped("on_reply")
BEACONS = _shaped("decode")
CONNECTED = _shaped("due")
CROWDS = _shaped("hear")
BLUETOOTH = [*BEACONS, *CONNECTED, *CROWDS]


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
    """``lines`` where no checksum protects the text: a lost byte cannot always be seen. ``counts``
    where frames are counted and summed up: a lost one makes another sum. ``objects`` where an
    advertisement is a row of values that nothing protects: a shortened one still says what stands
    before the cut."""
    about: str = field(default="", compare=False)
    parts: tuple[bytes, ...] = ()
    """The inputs one by one, as a rule a frame each."""

    def __str__(self) -> str:
        return f"{self.driver}-{self.name}"


def all_cases(*, beacons: bool) -> list[Case]:
    """Return the test cases of all beacons, or of all streams."""
    return [
        parse_case(name, path.stem, json.loads(path.read_text(encoding="utf-8")))
        for name in (BEACONS if beacons else STREAMS)
        for path in sorted((FOLDER / name / "testcases").glob("*.json"))
    ]


def parse_case(driver: str, name: str, case: dict[str, Any]) -> Case:
    """Return a test case from the JSON object of its file."""
    known = {"about", "options", "input", "readings", "faults", "restarts", "protocol"}
    assert not case.keys() - known, f"{driver}/{name}: {sorted(case.keys() - known)}"
    inputs = case["input"]
    parts = tuple(_bytes(item) for item in inputs if not _is_advert(item))
    return Case(
        driver=driver,
        name=name,
        options=case.get("options", {}),
        data=b"".join(parts),
        adverts=tuple(adverts(inputs)),
        readings=[
            (quantity, value, tuple(sorted(dims.items())))
            for quantity, value, dims in case["readings"]
        ],
        faults=case.get("faults", []),
        restarts=case.get("restarts", 0),
        protocol=case.get("protocol", "frames"),
        about=case.get("about", ""),
        parts=parts,
    )


def _bytes(item: dict[str, Any]) -> bytes:
    if "hex" in item:
        return bytes.fromhex(item["hex"])
    if "lines" in item:
        return "".join(f"{line}\r\n" for line in item["lines"]).encode("latin-1")
    return str(item["text"]).encode("latin-1")


def _is_advert(item: dict[str, Any]) -> bool:
    return "manufacturer_data" in item or "service_data" in item


def adverts(items: Iterable[dict[str, Any]]) -> list[Advert]:
    """Return the advertisements among the inputs of a test case; service data by short UUID."""
    return [
        Advert(
            address=item.get("address", ADDRESS),
            rssi=item.get("rssi", -60),
            name=item.get("name", ""),
            manufacturer_data={
                int(company): bytes.fromhex(data)
                for company, data in item.get("manufacturer_data", {}).items()
            },
            service_data={
                full_uuid(short): bytes.fromhex(data)
                for short, data in item.get("service_data", {}).items()
            },
        )
        for item in items
        if _is_advert(item)
    ]


def full_uuid(short: str) -> str:
    """Return the full UUID of a 16-bit one: ``fcd2``."""
    return f"0000{short}-0000-1000-8000-00805f9b34fb"


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
