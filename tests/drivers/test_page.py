"""What is told about each driver: the table in docs/drivers.md, and the README of its folder."""

import re

import pytest

from drivers.page import PAGE, Capture, captures, driver_table, page_with
from gateway.driver import DriverInfo
from gateway.reading import FAULT_KINDS
from tests.drivers.driver_cases import DRIVERS, FOLDER, make

AGAIN = "run: python -m drivers.page"
HEADINGS = ("Wiring", "Settings", "Privacy", "What it yields", "Faults", "Limits")
"""Of a README, in this order; others may stand between them."""

each_driver = pytest.mark.parametrize("name", DRIVERS)


def line_of(table: str, driver: str) -> str:
    (line,) = (line for line in table.splitlines() if f"[`{driver}`]" in line)
    return line


def readme(name: str) -> str:
    return (FOLDER / name / "README.md").read_text(encoding="utf-8")


def test_the_table_in_the_repository_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(page, driver_table(captures())), AGAIN


@each_driver
def test_the_table_has_one_line_for_it(name: str) -> None:
    """It is made from what is installed: after a new entry point install again."""
    info: DriverInfo = make(name).info
    line = line_of(driver_table({}), name)
    assert len(re.findall(r"(?<!\\)\|", line)) == 10
    assert info.document in line
    assert info.title[1:] in line


def test_frames_of_captures_are_summed_up() -> None:
    files: list[Capture] = [
        {"file": "one.json", "frames": 17, "as_expected": 15, "explained": 2},
        {"file": "two.json", "frames": 4, "as_expected": 4, "explained": 0},
    ]
    table = driver_table({"plantower": files, "sps30": files[1:]})
    assert line_of(table, "plantower").endswith("| 19 of 21, 2 explained |")
    assert line_of(table, "sps30").endswith("| 4 of 4 |")
    assert line_of(table, "sngcja5").endswith("| none |")


def test_every_frame_of_the_captures_is_as_expected_or_explained() -> None:
    for name, files in captures().items():
        assert name in DRIVERS
        for each in files:
            assert each["as_expected"] + each["explained"] == each["frames"] > 0, each["file"]


def test_a_page_without_a_place_for_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="docs/drivers"):
        page_with("# Drivers\n", driver_table({}))


@each_driver
def test_its_readme_has_the_headings_of_the_others(name: str) -> None:
    found = re.findall(r"^## (.*)$", readme(name), re.MULTILINE)
    wanted = [heading for heading in HEADINGS if heading != "Privacy"]
    if make(name).info.privacy in ("P2", "P3"):
        wanted = list(HEADINGS)
    assert [heading for heading in found if heading in wanted] == wanted


@each_driver
def test_its_readme_names_its_line_settings_and_its_faults(name: str) -> None:
    text = readme(name)
    for line in make(name).info.lines:
        assert str(line.baud) in text
        assert f"{line.bytesize}{line.parity}{line.stopbits}" in text
    sources = "".join(path.read_text(encoding="utf-8") for path in (FOLDER / name).glob("*.py"))
    kinds = set(re.findall(r'Fault\(\s*"(\w+)"', sources))
    assert kinds <= set(FAULT_KINDS)
    assert [kind for kind in sorted(kinds) if f"`{kind}`" not in text] == []
