"""The AsyncAPI document is read by the official parser, which finds nothing wrong with it."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main

HERE = Path(__file__).parent
NODE_MODULES = Path(os.environ.get("CITYLAB_NODE_MODULES") or HERE.parent / "node_modules")
EXAMPLES = HERE.parent.parent / "cli" / "describe"
CONFIGS = sorted(EXAMPLES.glob("*.toml"))

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(
        not (NODE_MODULES / "@asyncapi" / "parser").is_dir(), reason="@asyncapi/parser is missing"
    ),
]


def parsed(text: str) -> dict[str, Any]:
    node = shutil.which("node")
    assert node is not None, "the test needs the marker node"
    done = subprocess.run(
        [node, str(HERE / "parse.js")], input=text.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def document(capsys: pytest.CaptureFixture[str], config: Path) -> str:
    assert main(["describe", "--config", str(config), "--asyncapi"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
@pytest.mark.timeout(60)
def test_the_parser_has_nothing_to_say(capsys: pytest.CaptureFixture[str], config: Path) -> None:
    text = document(capsys, config)
    found = parsed(text)
    assert found["diagnostics"] == []
    written = json.loads(text)
    assert found["version"] == written["asyncapi"]
    assert found["channels"] == [each["address"] for each in written["channels"].values()]
    assert len(found["servers"]) == len(written["servers"]) > 1
    sent = {topic for each in found["operations"] for topic in each["channels"]}
    assert sent == set(found["channels"])


@pytest.mark.timeout(60)
def test_the_parser_would_say_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    broken = json.loads(document(capsys, CONFIGS[0]))
    del next(iter(broken["operations"].values()))["action"]
    assert any(each["severity"] == 0 for each in parsed(json.dumps(broken))["diagnostics"])
