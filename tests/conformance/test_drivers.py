"""What every driver is held to, whatever its shape: its declaration, its folder, its test cases.

What it decodes is held to account beside this, by its shape: streams, polled, beacons, connected
and crowds. A test case of a stream or beacon is what the device sends; of one that is asked or
connected to, what it answers; of a crowd, who passes in each window. Nothing else differs.
"""

import json
import tomllib

import pytest

from gateway.config.model import SensorSection
from gateway.quantities import registry
from tests.drivers.driver_cases import (
    BEACONS,
    BLUETOOTH,
    CONNECTED,
    CROWDS,
    DRIVERS,
    FOLDER,
    POLLED,
    STREAMS,
    info_of,
    make,
    table,
)

each_driver = pytest.mark.parametrize("name", DRIVERS)


@each_driver
def test_its_declaration_is_complete(name: str) -> None:
    info = info_of(name)
    assert info.name == name
    assert info.title
    assert "\n" not in info.title
    assert info.document
    assert info.interval_s > 0
    assert info.warm_up_s >= 0
    assert info.quantities
    assert len(set(info.quantities)) == len(info.quantities)
    assert not set(info.quantities) - registry().keys()
    assert len(set(info.lines)) == len(info.lines)
    assert bool(info.lines) == (name not in BLUETOOTH)


def test_each_driver_has_exactly_one_shape() -> None:
    assert sorted([*STREAMS, *POLLED, *BEACONS, *CONNECTED, *CROWDS]) == DRIVERS


@each_driver
def test_its_options_refuse_unknown_keys_and_explain_the_known_ones(name: str) -> None:
    options = make(name).Options
    assert options.model_config.get("extra") == "forbid"
    assert options.model_config.get("frozen") is True
    assert all(option.description for option in options.model_fields.values())


@each_driver
def test_its_folder_has_everything(name: str) -> None:
    folder = FOLDER / name
    for needed in ("__init__.py", "README.md", "sample.toml", "simulated.py"):
        assert (folder / needed).is_file(), needed
    assert list((folder / "testcases").glob("*.json"))


@each_driver
def test_its_readme_names_every_option_and_quantity(name: str) -> None:
    readme = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    driver = make(name)
    for word in (*driver.Options.model_fields, *info_of(name).quantities, driver.info.document):
        assert word in readme, word


@each_driver
def test_its_sample_is_a_sensor_section(name: str) -> None:
    sample = tomllib.loads((FOLDER / name / "sample.toml").read_text(encoding="utf-8"))
    assert sample.keys() == {"sensor"}
    for section in sample["sensor"]:
        sensor = SensorSection.model_validate(section)
        assert sensor.driver == name
        make(name, dict(sensor.options))
        assert bool(sensor.address) == (name in BLUETOOTH)
        assert (sensor.address == "*") == (name in CROWDS)


@each_driver
def test_its_test_cases_say_what_they_are_about_and_reach_every_quantity(name: str) -> None:
    reached = set()
    for path in (FOLDER / name / "testcases").iterdir():
        assert path.suffix == ".json"
        case = json.loads(path.read_text(encoding="utf-8"))
        assert case["about"].strip()
        reached |= {reading[0] for reading in case["readings"]}
    assert not set(info_of(name).quantities) - reached


def test_every_driver_has_a_simulator() -> None:
    assert table("citylab_gateway.simulators").keys() == set(DRIVERS)
