"""Every example is checked with the drivers and formats that are really installed."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.config.describe import plan_lines
from gateway.config.installed import format_names
from gateway.config.load import load

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = sorted((ROOT / "config" / "examples").glob("*.toml"))


def test_the_examples_are_there() -> None:
    assert {"bluetooth", "single-broker", "three-cities"} <= {path.stem for path in EXAMPLES}
    shown = {broker.format for path in EXAMPLES for broker in load(path).broker}
    assert shown == set(format_names()), "an example for each format"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_is_good_and_can_be_described(path: Path) -> None:
    configuration = load(path)
    lines = plan_lines(configuration)
    assert lines[0].startswith(f"gateway {configuration.gateway.id} ")
    for broker in configuration.broker:
        assert any(line.startswith(f"broker {broker.name}: ") for line in lines)
    assert any(line.startswith("  gets ") for line in lines)


def test_what_the_page_for_people_shows_is_good(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "configure.md").read_text(encoding="utf-8")
    least, *more = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "gateway.toml"
    path.write_text(least, encoding="utf-8")
    assert load(path).sensor[0].name == "air-roof"
    sensor, broker = least.partition("[[broker]]")[::2]
    for block in more:  # each is a part of a sensor or of a broker
        whole = sensor + block + "[[broker]]" + broker
        if "broker" in tomllib.loads(block):
            whole = least + block
        path.write_text(whole, encoding="utf-8")
        assert load(path).gateway.id == "aarhus-dokk1-03"
    assert len(more) == 6
