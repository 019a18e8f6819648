"""The table of drivers in docs/drivers.md, made from what they declare: ``python -m drivers.page``.

Test cases are counted in the drivers' folders. How many frames of public captures each decodes
stands in docs/captures.json, which is made where the captures are.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from gateway.driver import Driver, SerialLine, driver_class, driver_names

__all__ = ["CAPTURES", "PAGE", "Capture", "captures", "driver_table", "page_with"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "drivers.md"
CAPTURES = ROOT / "docs" / "captures.json"
BEGIN = "<!-- made by `python -m drivers.page` -->\n"
END = "<!-- up to here -->\n"
COLUMNS = (
    "device",
    "driver",
    "domain",
    "connection",
    "yields",
    "line",
    "document",
    "test cases",
    "captures",
)
MAX_QUANTITIES = 20
"""A driver that can yield more is told by a table or a map what there is."""


class Capture(TypedDict):
    """What became of the frames of one file of captures."""

    file: str
    frames: int
    as_expected: int
    explained: int
    """Frames of which we say something else, for a reason that is written down."""


def captures(path: Path = CAPTURES) -> dict[str, list[Capture]]:
    """Return the results by driver; none where the file does not exist."""
    if not path.exists():
        return {}
    found: dict[str, list[Capture]] = json.loads(path.read_text(encoding="utf-8"))
    return found


def driver_table(passed: Mapping[str, Sequence[Capture]]) -> str:
    """Return the table as Markdown: the drivers of this repository by domain and name."""
    ours = []
    for name in driver_names():
        driver = driver_class(name)
        if driver is not None and driver.__module__.split(".")[0] == "drivers":
            ours.append(driver)
    ours.sort(key=lambda driver: (driver.info.domain, driver.info.name))
    rows = [COLUMNS, ["---"] * len(COLUMNS)]
    rows += [_cells(driver, passed.get(driver.info.name, ())) for driver in ours]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n" for row in rows)


def _cells(driver: type[Driver], passed: Sequence[Capture]) -> Sequence[str]:
    info = driver.info
    folder = ROOT / "drivers" / info.name
    return (
        info.title[:1].upper() + info.title[1:],
        f"[`{info.name}`](../drivers/{info.name}/README.md)",
        info.domain,
        _connection(driver),
        _quantities(info.quantities),
        ", ".join(map(_line, info.lines)) or "none",
        info.document,
        str(len(list((folder / "testcases").glob("*.json")))),
        _passed(passed),
    )


def _connection(driver: type[Driver]) -> str:
    if not driver.info.lines:
        return "Bluetooth"
    return "serial, asked" if hasattr(driver, "on_reply") else "serial, talks"


def _quantities(names: Sequence[str]) -> str:
    if len(names) > MAX_QUANTITIES:
        return "what the device, or your table, says"
    domains: dict[str, list[str]] = {}
    for name in names:
        domain, _, what = name.partition(".")
        domains.setdefault(domain, []).append(what)
    return "; ".join(f"{domain}: {', '.join(what)}" for domain, what in domains.items())


def _line(line: SerialLine) -> str:
    return f"{line.baud} {line.bytesize}{line.parity}{line.stopbits}"


def _passed(passed: Sequence[Capture]) -> str:
    frames = sum(capture["frames"] for capture in passed)
    if not frames:
        return "none"
    right = sum(capture["as_expected"] for capture in passed)
    explained = sum(capture["explained"] for capture in passed)
    return f"{right} of {frames}" + (f", {explained} explained" if explained else "")


def page_with(page: str, table: str) -> str:
    """Return the page with its table replaced; ValueError if it has no place for one."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"docs/drivers.md needs the lines {BEGIN!r} and {END!r}")
    return before + begin + table + end + after


if __name__ == "__main__":
    old = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page_with(old, driver_table(captures())), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE}\n")
