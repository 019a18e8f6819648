"""The README, to the letter: its commands are run, its example is checked.

Its links, and all other pages: tests/docs.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from gateway.config.load import load
from tests.brokers import free_port

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SUM = re.compile(
    r"accepted=(?P<accepted>\d+)( (acked|pending|dropped)\[[a-z]+\]=\d+){6} lost=(?P<lost>\d+)"
)
COPYLEFT = re.compile(r"\b(A|L)?GPL|General Public License", re.IGNORECASE)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**os.environ, "VENV": sys.prefix, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )


def test_every_command_of_the_readme_is_run_below() -> None:
    commands = {line for block in blocks("sh") for line in block.splitlines() if line}
    assert commands == {
        "sudo citylab-gateway init",
        "sudo citylab-gateway doctor",
        "sudo citylab-gateway top",
        "make demo",
        'make demo ARGS="--seconds 30 --outage 10"',
        "make test",
        "python3 -m venv /opt/citylab-gateway",
        "/opt/citylab-gateway/bin/pip install --require-hashes --requirement requirements/run.txt",
        "/opt/citylab-gateway/bin/pip install --no-deps --no-build-isolation .",
        "ln -sf /opt/citylab-gateway/bin/citylab-gateway /usr/local/bin/",
        "citylab-gateway check --config /etc/citylab-gateway/gateway.toml",
        "citylab-gateway doctor --config /etc/citylab-gateway/gateway.toml",
        "citylab-gateway describe --config /etc/citylab-gateway/gateway.toml",
        "citylab-gateway drivers",
        "citylab-gateway reload",
        "citylab-gateway scan --serial",
        "citylab-gateway scan --serial --probe",
        "citylab-gateway scan --bluetooth",
    }


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_demo_with_an_outage_loses_nothing() -> None:
    run = make("demo", "ARGS=--seconds 30 --outage 10")
    assert run.returncode == 0, run.stdout + run.stderr
    found = SUM.fullmatch(run.stdout.splitlines()[-1])
    assert found, run.stdout
    assert found["lost"] == "0"
    assert int(found["accepted"]) > 100
    pending = [int(count) for count in re.findall(r"vejle \w+ .*?pending (\d+)", run.stdout)]
    assert max(pending) > 50, "the outage showed no backlog"


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_the_demo_runs_until_it_is_stopped() -> None:
    demo = subprocess.Popen(
        [sys.executable, "-m", "gateway.cli", "demo"],
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert demo.stdout is not None
    with contextlib.closing(demo.stdout) as output:
        while "acknowledged" not in output.readline():
            assert demo.poll() is None
        time.sleep(1.0)
        demo.send_signal(signal.SIGINT)
        last = output.read().splitlines()[-1]
    assert demo.wait(20) == 0
    assert SUM.fullmatch(last), last


def test_make_test_is_the_test_script() -> None:
    run = make("--dry-run", "test")
    assert run.returncode == 0
    assert "scripts/test" in run.stdout


def test_make_help_lists_every_target() -> None:
    listed = set(re.findall(r"^make (\w+)", make("help").stdout, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert listed == set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))


def test_the_example_configuration_is_accepted(tmp_path: Path) -> None:
    (example,) = blocks("toml")
    path = tmp_path / "gateway.toml"
    path.write_text(example, encoding="utf-8")
    assert load(path).sensor[0].driver == "sds011"
    assert tomllib.loads(example)["gateway"]["id"] == "aarhus-dokk1-03"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_install_section_installs(tmp_path: Path) -> None:
    """Into another directory than /opt, and from a copy, because building writes beside it."""
    source = tmp_path / "source"
    files = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout.split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    target = tmp_path / "opt"
    (commands,) = (block for block in blocks("sh") if "/opt/citylab-gateway" in block)
    script = commands.replace("/opt/citylab-gateway", str(target))
    script = script.replace("python3", sys.executable).replace("/usr/local/bin/", str(tmp_path))
    subprocess.run(["sh", "-eu", "-c", script], cwd=source, check=True, capture_output=True)
    program = tmp_path / "citylab-gateway"
    drivers = subprocess.run(
        [program, "drivers", "--json"], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    names = {info["name"] for info in json.loads(drivers.stdout)}
    assert {"sds011", "ops243", "p1", "ruuvi"} <= names
    config = tmp_path / "gateway.toml"
    config.write_text(blocks("toml")[0], encoding="utf-8")
    for command in ("check", "describe"):
        subprocess.run([program, command, "--config", config], check=True, capture_output=True)
    for options in (["--serial"], ["--serial", "--probe"]):
        scan = subprocess.run(
            [program, "scan", *options, "--port", tmp_path / "unplugged", "--json"],
            check=False,
            capture_output=True,
        )
        assert scan.returncode == 1, "there is no such port"
        assert b"unplugged" in scan.stdout
    air = subprocess.run(
        [program, "scan", "--bluetooth", "--for", "1 s", "--json"], check=False, capture_output=True
    )
    assert air.returncode in (0, 1), "something is heard, or there is no adapter here"
    doctor = subprocess.run(
        [program, "doctor", "--json", "--config", config], check=False, capture_output=True
    )
    assert doctor.returncode == 1, "that sensor is not plugged in here"
    assert "port_missing" in {each["code"] for each in json.loads(doctor.stdout)["findings"]}
    _first_steps(program, tmp_path)
    _nothing_is_under_the_gpl(target / "bin" / "python")


def _first_steps(program: Path, folder: Path) -> None:
    """Tests of their own play them at a terminal: tests/cli; here it is that they are installed."""
    init = subprocess.run(
        [program, "init", "--directory", folder / "ring"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert init.returncode == 2, "nobody is there to answer, and no flag does"
    assert "--id" in init.stderr
    top = subprocess.run(
        [program, "top", "--once", "--url", f"http://127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert top.returncode == 1, "nothing runs there"


LIST_LICENCES = """
import json
from importlib.metadata import distributions
print(json.dumps([
    [meta["Name"], str(meta.get("License-Expression")), str(meta.get("License"))[:200]]
    + [word for word in meta.get_all("Classifier") or [] if word.startswith("License")]
    for meta in (each.metadata for each in distributions())
]))
"""


def _nothing_is_under_the_gpl(python: Path) -> None:
    listing = subprocess.run(
        [python, "-c", LIST_LICENCES], capture_output=True, check=True, text=True
    )
    for name, *licences in json.loads(listing.stdout):
        assert not COPYLEFT.search(" ".join(licences)), (name, licences)
