"""Boxes that are in order, although they look different from the usual one: no false alarm."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cli.doctor.test_broken_setups import AARHUS, AIR, SOUND, sound, told
from tests.cli.doctor.world import PASSWORD, World

pytestmark = [pytest.mark.timeout(120), pytest.mark.mosquitto, pytest.mark.dbus]

NOBODY = 65_534
DAEMON = """
import fcntl, os, sys
from pathlib import Path
from gateway.control import announce
state, runtime, port = map(Path, sys.argv[1:])
with (state / "lock").open("a") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.open(port, os.O_RDWR | os.O_NOCTTY)
    announce(runtime, state)
    print(1, flush=True)
    input()
"""
ORDINARY_USER = """
import json, os, sys
from dataclasses import replace
from pathlib import Path
from gateway.cli.doctor.area import examine
from gateway.cli.doctor.areas import AREAS
from gateway.cli.doctor.box import Account, System, open_box
from gateway.cli.doctor.report import document

def look():
    root, config, uid = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    daemon = Account("citylab-gateway", uid, frozenset({uid}))
    known = {daemon.name: daemon}
    system = System(root=root, programs=f"{root}/usr/bin:/bin", account_of=known.get)
    areas = [replace(area, timeout_s=60.0) for area in AREAS]
    return [found for _, each in examine(open_box(config, system), areas) for found in each]

look()  # imports everything, which that user may not read where the tests are installed
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
print(json.dumps(document(look())))
"""


@contextlib.contextmanager
def daemon(world: World) -> Iterator[int]:
    """Run what holds ring and port as the daemon does, and says so."""
    command = [sys.executable, "-c", DAEMON, *map(str, (world.state, world.runtime)), world.device]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        yield process.pid
        process.communicate(b"\n")


async def test_what_the_daemon_holds_is_not_held_by_a_stranger(world: World) -> None:
    async with world.running():
        with daemon(world) as pid:
            world.link(f"proc/{pid}", f"/proc/{pid}")
            findings = await world.examine()
    assert told(findings) == set()
    assert sound(findings) == SOUND


async def test_a_box_that_listens_actively_needs_no_experiments(world: World) -> None:
    world.changes.append(('mode = "passive"', 'mode = "auto"'))
    world.monitors = False
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()


async def test_a_box_without_a_card_that_tells(world: World) -> None:
    """A computer with a disk, which is no Raspberry Pi either."""
    for name in ("life_time", "pre_eol_info"):
        world.remove(f"sys/block/mmcblk0/device/{name}")
    world.remove("sys/devices/platform/soc/soc:firmware/get_throttled")
    world.put("proc/device-tree/model", "")
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()
    assert sound(findings) == SOUND - {"card", "supply"}


async def test_an_old_broker_is_asked_in_its_own_language(world: World) -> None:
    world.changes.append(("connect_timeout", 'protocol = "3.1.1"\nconnect_timeout'))
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()
    assert "3.1.1 cannot say" in findings[-1].detail


async def test_inside_the_unit_credentials_are_where_systemd_put_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.folder / "credentials"
    folder.mkdir()
    (folder / "aarhus").write_text(PASSWORD)
    (folder / "aarhus").chmod(0o440)  # as its access list shows
    world.give(folder)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()


async def test_a_new_box_has_no_ring_yet(world: World) -> None:
    for path in world.state.iterdir():
        path.unlink()
    world.state.rmdir()
    async with world.running():
        findings = await world.examine()
    assert told(findings) == set()
    assert sound(findings) == SOUND - {"wear"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_is_told_what_was_not_looked_at(world: World) -> None:
    """Everything else is as root sees it; that no server runs here is told by both."""
    world.write()
    world.changes.clear()
    command = [sys.executable, "-c", ORDINARY_USER, world.root, world.config, world.account.uid]
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    skipped = {each["subject"]: each["mend"] for each in found if each["state"] == "skip"}
    assert set(skipped) == {AARHUS, "ring", "ports"}
    assert all("sudo citylab-gateway doctor" in mend for mend in skipped.values())
    failed = {each["code"] for each in found if each["state"] == "fail"}
    assert failed == {"port_missing", "bus_missing", "broker_connect"}
    assert AIR in {each["subject"] for each in found}
