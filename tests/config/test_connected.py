"""Sensors that are connected to over Bluetooth, in the configuration."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from drivers.airthings import Airthings
from gateway.config.load import load
from gateway.config.model import Configuration
from gateway.driver import Driver, DriverInfo, NoOptions
from gateway.errors import ConfigErrors

SENSOR = """
[gateway]
id = "dokk1"
[[sensor]]
name = "air-office"
driver = "{driver}"
{keys}
"""
ADDRESS = 'address = "C0:FF:EE:00:00:01"'


class Alien:
    """A driver of a shape that nobody knows."""

    info: ClassVar[DriverInfo] = Airthings.info
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: Any) -> None:
        del options


DRIVERS: dict[str, type[Driver]] = {"airthings": Airthings, "alien": Alien}


def loaded(directory: Path, keys: str, driver: str = "airthings", more: str = "") -> Configuration:
    path = directory / "gateway.toml"
    path.write_text(SENSOR.format(driver=driver, keys=keys) + more, encoding="utf-8")
    return load(path, drivers=DRIVERS.get, driver_names=lambda: sorted(DRIVERS), environ={})


def problems(directory: Path, keys: str, **more: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(directory, keys, **more)
    return [error.problem for error in caught.value.errors]


@pytest.mark.parametrize("interval", ["", 'interval = "10 min"'])
def test_it_has_an_address_and_may_have_an_interval(tmp_path: Path, interval: str) -> None:
    (sensor,) = loaded(tmp_path, f"{ADDRESS}\n{interval}").sensor
    assert sensor.address == "C0:FF:EE:00:00:01"
    assert sensor.interval == (600.0 if interval else None)


@pytest.mark.parametrize("key", ["port", "replay"])
def test_it_has_no_port_and_no_recording(tmp_path: Path, key: str) -> None:
    (problem,) = problems(tmp_path, f'{key} = "/dev/ttyUSB0"')
    assert problem.startswith("driver airthings reads Bluetooth; use address")


def test_nothing_can_be_connected_to_while_the_radio_is_a_recording(tmp_path: Path) -> None:
    replay = '[bluetooth]\nreplay = "/srv/adverts.jsonl"\n'
    assert problems(tmp_path, ADDRESS, more=replay) == [
        "driver airthings connects to its device; bluetooth.replay has none"
    ]


def test_there_are_no_raw_bytes_of_it_to_record(tmp_path: Path) -> None:
    assert problems(tmp_path, f"{ADDRESS}\nrecord = true") == [
        "the device of driver airthings is connected to; of that there are no raw bytes to record"
    ]


def test_a_driver_of_an_unknown_shape_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, ADDRESS, driver="alien") == [
        "driver airthings has a shape that no transport of this version serves"
    ]
