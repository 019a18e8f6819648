"""The unit under the real systemd, with the real journal: stuck drivers are begun anew."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.systemd.box import OPT, WAIT_S, Box, can_boot

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE = "citylab-gateway.service"
HANGING = "/etc/systemd/system/hanging"
IMPATIENT = f"""\
[Service]
WatchdogSec=4
WorkingDirectory={OPT}/source
ExecStart=
ExecStart={OPT}/bin/python -m tests.watchdog.stuck_daemon {HANGING} run
"""
CONFIG = """\
schema = 1
[gateway]
id = "test-box"
[buffer]
size = "1 MiB"
[clock]
trusted = true
[[sensor]]
name = "roof"
driver = "sds011"
port = "/dev/tty-roof"
"""

pytestmark = [pytest.mark.nspawn, pytest.mark.systemd, pytest.mark.timeout(240)]


@pytest.fixture(scope="module", autouse=True)
def a_machine_that_boots() -> None:
    if not can_boot():
        pytest.skip("needs root and systemd-nspawn (Debian: systemd-container)")


def prepared(folder: Path) -> Box:
    box = Box(folder)
    shutil.copy(UNITS / SERVICE, box.units)
    shutil.copy(UNITS / "citylab-gateway.sysusers", box.sysusers / "citylab-gateway.conf")
    shutil.copy(UNITS / "citylab-gateway.tmpfiles", box.tmpfiles / "citylab-gateway.conf")
    (box.units / f"{SERVICE}.d").mkdir()
    (box.units / f"{SERVICE}.d" / "impatient.conf").write_text(IMPATIENT)
    (box.units / "gateway.toml").write_text(CONFIG)
    (box.units / "hanging").write_text("/dev/tty-roof")
    return box


def entries(box: Box, *wanted: str) -> list[dict[str, Any]]:
    said = box.run("journalctl", "--no-pager", "--output=json", "--unit", SERVICE, *wanted)
    return [json.loads(line) for line in said.stdout.splitlines()]


def until(reached: Callable[[], bool], box: Box) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline, box.said("journalctl", "--no-pager", "-n", "80")
        time.sleep(0.2)


def test_systemd_restarts_a_daemon_whose_drivers_all_hang(tmp_path: Path) -> None:
    box = prepared(tmp_path)
    with box:
        box.said("cp", "/etc/systemd/system/gateway.toml", "/etc/citylab-gateway/gateway.toml")
        box.said("systemctl", "start", SERVICE)
        until(lambda: len(entries(box, "EVENT=start", "AUDIT=1")) >= 2, box)
        (box.units / "hanging").write_text("")
        told = [
            each for each in entries(box) if "all that reads sensors has stood" in each["MESSAGE"]
        ]
        assert told, "the daemon said why, before it was ended"
        assert told[0]["_TRANSPORT"] == "journal"
        assert told[0]["LOGGER"] == "citylab_gateway.observe"
        assert told[0]["PRIORITY"] == "4"
        assert told[0]["SYSLOG_IDENTIFIER"] == "citylab-gateway"
        assert any("Watchdog timeout" in str(each["MESSAGE"]) for each in entries(box))
        shown = box.said("systemctl", "show", "--property=NRestarts", SERVICE)
        assert int(shown.partition("=")[2]) >= 1
        until(lambda: bool(entries(box, "SENSOR=roof", "PRIORITY=4")), box)  # it tries again
