"""docs/drivers.md: its example driver passes its example test case, its snippets are valid."""

import json
import re
import tomllib
from types import ModuleType

import pytest

from gateway.config.model import SensorSection
from gateway.driver import Stream, common_lines
from gateway.quantities import registry
from gateway.reading import FAULT_KINDS
from tests.drivers.driver_cases import (
    DRIVERS,
    FOLDER,
    chunks,
    faults,
    feed_all,
    make,
    parse_case,
    readings,
)

PAGE = (FOLDER.parent / "docs" / "drivers.md").read_text(encoding="utf-8")


def block(label: str) -> str:
    """Return the one code block that is labelled so."""
    found = re.findall(rf"^```\w+ {label}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(found) == 1, label
    return str(found[0])


def example() -> ModuleType:
    module = ModuleType("lab_pms")
    exec(compile(block("driver"), "docs/drivers.md", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_example_driver_passes_its_test_case(size: int) -> None:
    case = parse_case("lab-pms", "report", json.loads(block("case")))
    driver = example().LabPms(example().LabPms.Options())
    assert isinstance(driver, Stream)
    outcomes = feed_all(driver, chunks(case.data, size))
    assert readings(outcomes) == case.readings
    assert faults(outcomes) == case.faults


def test_the_example_driver_is_declared_as_the_page_says() -> None:
    info = example().LabPms.info
    entry = tomllib.loads(block("entry-point"))
    points = entry["project"]["entry-points"]["citylab_gateway.drivers"]
    assert points == {info.name: "lab_pms:LabPms"}
    assert not set(info.quantities) - registry().keys()


def test_the_sample_section_is_valid() -> None:
    (section,) = tomllib.loads(block("sample"))["sensor"]
    assert SensorSection.model_validate(section).driver in DRIVERS


def test_the_frame_table_reads_what_the_driver_of_that_sensor_reads() -> None:
    (raw,) = tomllib.loads(block("frame"))["sensor"]
    section = SensorSection.model_validate(raw)
    sensor = make("sngcja5")
    assert (
        section.lines(make(section.driver, dict(section.options)).info.lines) == sensor.info.lines
    )
    text = (FOLDER / "sngcja5" / "testcases" / "reports.json").read_text(encoding="utf-8")
    case = parse_case("sngcja5", "reports", json.loads(text))
    outcomes = feed_all(make(section.driver, dict(section.options)), [case.data])
    assert readings(outcomes) == [each for each in case.readings if each[0] != "air.pm1"]
    assert faults(outcomes) == []


def test_the_sensors_of_the_bus_share_a_port_and_a_line_setting() -> None:
    sections = [SensorSection.model_validate(raw) for raw in tomllib.loads(block("bus"))["sensor"]]
    assert len({section.port for section in sections}) == 1
    drivers = [make(section.driver, dict(section.options)) for section in sections]
    assert common_lines([driver.info.lines for driver in drivers])
    assert len({driver.requests.__func__ for driver in drivers}) == 1


def test_the_page_names_every_module_that_drivers_share() -> None:
    modules = {f"drivers.{path.stem}" for path in FOLDER.glob("*.py")}
    sources = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*/*.py"))
    used = set(re.findall(r"^from (drivers\.\w+) import", sources, re.MULTILINE)) & modules
    named = set(re.findall(r"`(drivers\.\w+)`", PAGE))
    assert used <= named <= modules


def test_the_page_names_every_driver_and_every_kind_of_fault() -> None:
    for name in DRIVERS:
        assert f"drivers/{name}/README.md" in PAGE
    for kind in FAULT_KINDS:
        assert f"`{kind}`" in PAGE


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((\.\./[^)]+)\)", PAGE):
        assert (FOLDER.parent / "docs" / target).exists(), target
