"""A driver with a table of its own measures what this table says, and nothing else."""

from pathlib import Path

import pytest

from gateway.config.describe import plan_lines
from gateway.config.load import load
from gateway.errors import ConfigError

GATEWAY = """
[gateway]
id = "aarhus-012"
tenant = "aarhus"
"""
METER = """
[[sensor]]
name = "meter"
driver = "modbus"
port = "/dev/serial/by-id/usb-FTDI-if00-port0"
options = { map = "sdm120" }
"""
BOARD = """
[[sensor]]
name = "board"
driver = "frame_polled"
port = "/dev/serial/by-id/usb-FTDI-if00-port0"

[sensor.options]
request = "fe04000000000102"
start = "fe04"
length = 7
byte_order = "big"
checksum = { kind = "crc16-modbus", first = 0 }
field = [{ offset = 3, type = "u16", quantity = "air.co2" }]
"""


def written(path: Path, text: str) -> Path:
    file = path / "gateway.toml"
    file.write_text(GATEWAY + text, encoding="utf-8")
    return file


def measured(lines: list[str]) -> list[str]:
    return [line.split()[1] for line in lines if line.startswith("  measures ")]


def test_the_plan_names_what_the_table_names(tmp_path: Path) -> None:
    assert measured(plan_lines(load(written(tmp_path, BOARD)))) == ["air.co2"]
    meter = measured(plan_lines(load(written(tmp_path, METER))))
    assert "power.active" in meter
    assert "air.co2" not in meter


def test_a_filter_for_something_else_is_refused(tmp_path: Path) -> None:
    text = (
        METER
        + """
[sensor.filter]
"air.co2" = { range = { max = 5000 } }
"""
    )
    with pytest.raises(ConfigError) as refused:
        load(written(tmp_path, text))
    assert "air.co2" in str(refused.value)
