"""The unit under the real systemd: from a fresh install to data at a broker, and all its limits.

In a small machine with this one's programs (``box.py``). Everything is real but the devices: the
serial port is a pseudo-terminal, the radio our own small BlueZ on the system bus of the box.
"""

import asyncio
import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.brokers import Mosquitto, free_port, mosquitto_password_file
from tests.subscribing import Archive
from tests.systemd.box import OPT, PROGRAM, WAIT_S, Box, can_boot
from tests.systemd.world import DUST, SOLAR, SOLAR_KEY, STRANGER, TAG, WAVE

UNITS = Path(__file__).parents[2] / "systemd"
SERVICE, SOCKET = "citylab-gateway.service", "citylab-gateway.socket"
PASSWORD = "canary-7781"
READER = ("-u", "reader", "-P", "also-secret")
CONFIG = "/etc/citylab-gateway/gateway.toml"
SENSORS = {"dust", "tag", "wave", "solar"}
WORLD = f"""\
[Service]
Type=notify
ExecStart={OPT}/bin/python -m tests.systemd.world
WorkingDirectory={OPT}/source
"""
COUNTING = """
[[sensor]]
name = "square"
driver = "footfall"
address = "*"
purpose = "How busy the square is."
controller = "Aarhus Kommune, dpo@example.org"
legal_basis = "GDPR art. 6(1)(e)"
sign = "On the pole"
"""

pytestmark = [pytest.mark.nspawn, pytest.mark.systemd, pytest.mark.mosquitto, pytest.mark.dbus]


def prepared(folder: Path, http_port: int) -> Box:
    """Return a box into which the files of systemd/ were installed, and that has no configuration.

    The address of the status page is another one, because it is not the only test on this machine.
    """
    box = Box(folder)
    for name in (SERVICE, SOCKET):
        shutil.copy(UNITS / name, box.units)
    shutil.copy(UNITS / "citylab-gateway.sysusers", box.sysusers / "citylab-gateway.conf")
    shutil.copy(UNITS / "citylab-gateway.tmpfiles", box.tmpfiles / "citylab-gateway.conf")
    (box.units / f"{SOCKET}.d").mkdir()
    (box.units / f"{SOCKET}.d" / "address.conf").write_text(
        f"[Socket]\nListenStream=\nListenStream=127.0.0.1:{http_port}\n"
    )
    (box.units / "world.service").write_text(WORLD)
    return box


def until(reached: Callable[[], bool], describe: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.1)


def status(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status.json", timeout=WAIT_S) as answer:
        document = json.load(answer)
    assert isinstance(document, dict)
    return document


def valued(port: int) -> set[str]:
    """Return the sensors that have values."""
    return {name for name, each in status(port)["sensors"].items() if each["values"]}


def arrived(city: Archive) -> set[str]:
    """Return the sensors of which the broker has handed out readings."""
    return {reading["sensor"] for reading in city.readings()}


def journal(box: Box) -> str:
    return box.said("journalctl", "--no-pager", "--output=cat", "--unit", SERVICE)


def limits(box: Box) -> dict[str, str]:
    """Return what the kernel says of the daemon's process."""
    text = box.said("cat", f"/proc/{box.main_pid(SERVICE)}/status")
    return dict(re.findall(r"(?m)^(\w+):\s+(.*)$", text))


@pytest.fixture(scope="module", autouse=True)
def a_machine_that_boots() -> None:
    if not can_boot():
        pytest.skip("needs root and systemd-nspawn (Debian: systemd-container)")


def set_up(box: Box, broker_port: int) -> None:
    """Do what a technician does, by flags."""
    for name, secret in {"password": PASSWORD, "key": SOLAR_KEY}.items():
        (box.units / name).write_text(secret)
    said = box.run(
        *(str(PROGRAM), "init", "--yes", "--start", "--http", "--clock-trusted"),
        *("--id", "test-box", "--tenant", "testlab", "--location", "none"),
        *("--broker-url", f"mqtt://127.0.0.1:{broker_port}", "--insecure"),
        *("--broker-format", "json", "--username", "box"),
        *("--password-file", "/etc/systemd/system/password"),
        *(f"--sensor=dust={DUST}", f"--sensor=tag=ruuvi@{TAG}", f"--sensor=wave=airthings@{WAVE}"),
        *(f"--sensor=solar=victron@{SOLAR}", "--key-file=solar=/etc/systemd/system/key"),
        *("--listen", "3 s"),
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "It runs." in said.stdout
    written = box.said("cat", CONFIG)
    for secret in (PASSWORD, SOLAR_KEY):
        assert secret not in said.stdout + said.stderr + written


def look_at_its_limits(box: Box) -> None:
    seen = limits(box)
    assert (seen["NoNewPrivs"], seen["Seccomp"]) == ("1", "2")
    assert {int(seen[each], 16) for each in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {0}
    user = box.said("id", "-u", "citylab-gateway").strip()
    assert set(seen["Uid"].split()) == {user}
    inside = ("nsenter", f"--target={box.main_pid(SERVICE)}", "--mount")
    for hidden in ("/proc/meminfo", "/proc/sys/kernel/random/boot_id", "/home/x", "/tmp/password"):
        assert box.run(*inside, "cat", hidden).returncode != 0
    for shut in ("/etc/x", "/usr/x", "/var/lib/x", "/sys/x"):
        assert box.run(*inside, "sh", "-c", f"echo x >> {shut}").returncode != 0, shut
    as_daemon = (*inside, "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    assert box.run(*as_daemon, "sh", "-c", f"echo x >> {CONFIG}").returncode != 0
    assert box.run(*as_daemon, "cat", "/etc/citylab-gateway/secrets/testlab").returncode != 0


def add_counting_and_recording(box: Box, port: int) -> None:
    """What needs a restart, and the process that starts itself anew."""
    text = box.said("cat", CONFIG).replace(f'port = "{DUST}"', f'port = "{DUST}"\nrecord = true')
    (box.units / "new").write_text(text + COUNTING)
    box.said("cp", "/etc/systemd/system/new", CONFIG)
    box.said("systemctl", "restart", SERVICE)
    until(lambda: {"dust", "tag"} <= valued(port), lambda: journal(box))
    pid = box.main_pid(SERVICE)
    variables = box.said("cat", f"/proc/{pid}/environ").split("\0")
    assert "PYTHONMALLOC=malloc" in variables
    assert any(each.startswith("GLIBC_TUNABLES=") for each in variables)
    assert "counting:" not in journal(box), "it forgets, and nobody may look into it"
    recorded = ("test", "-s", "/var/lib/citylab-gateway/recordings/raw.jsonl")
    until(lambda: box.run(*recorded).returncode == 0, lambda: journal(box))


def reload(box: Box, port: int) -> None:
    text = box.said("cat", CONFIG).replace('name = "tag"', 'name = "tag-2"')
    (box.units / "new").write_text(text)
    box.said("cp", "/etc/systemd/system/new", CONFIG)
    before = box.main_pid(SERVICE)
    box.said(str(PROGRAM), "reload")
    until(lambda: "tag-2" in valued(port), lambda: journal(box))
    box.said("systemctl", "reload", SERVICE)
    assert box.main_pid(SERVICE) == before


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_from_a_fresh_install_to_data_at_the_broker(tmp_path: Path) -> None:
    port = free_port()
    users = await asyncio.to_thread(
        mosquitto_password_file, tmp_path / "users", {"box": PASSWORD, READER[1]: READER[3]}
    )
    lines = (f"password_file {users}",)

    def work() -> None:
        with prepared(tmp_path / "box", port) as box:
            made = box.said("stat", "--format=%U:%G %a", "/etc/citylab-gateway")
            assert made.strip() == "root:citylab-gateway 750"
            box.said("systemctl", "enable", "--now", SERVICE, SOCKET)
            for unit in (SERVICE, SOCKET):
                assert box.property(unit, "ActiveState") == "inactive", "nothing to run, no failure"
                assert box.property(unit, "ConditionResult") == "no"
            box.said("systemctl", "start", "world.service")
            set_up(box, broker.port)
            until(lambda: valued(port) == SENSORS, lambda: journal(box))
            until(
                lambda: status(port)["links"]["testlab"]["acknowledged"] > 0, lambda: journal(box)
            )
            look_at_its_limits(box)
            assert box.property(SERVICE, "NRestarts") == "0"
            add_counting_and_recording(box, port)
            reload(box, port)
            # What a stop leaves pending goes out at the next start.
            until(lambda: {*SENSORS, "tag-2"} <= arrived(city), lambda: journal(box))
            box.said("systemctl", "stop", SERVICE)
            assert box.property(SERVICE, "Result") == "success"
            assert box.property(SOCKET, "ActiveState") == "inactive"
            told = journal(box)
            assert "stopped; everything is flushed" in told
            assert PASSWORD not in told
            assert STRANGER[:5] not in told
            state = box.said("find", "/var/lib/citylab-gateway", "-printf", "%u %m %P\\n")
            assert {line.split()[0] for line in state.splitlines()} == {"citylab-gateway"}

    async with (
        Mosquitto(tmp_path / "mqtt", lines=lines, anonymous=False) as broker,
        Archive(tmp_path, broker.port, session=False, login=READER) as city,
    ):
        await asyncio.to_thread(work)
