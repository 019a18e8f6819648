"""The Debian package on a fresh Debian: installed, at work, upgraded, removed, purged."""

import asyncio
import contextlib
import json
import shutil
import tomllib
from collections.abc import AsyncIterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers.sds011.simulated import SimulatedSds011
from gateway.transports import PtySimulator
from tests.package.box import Answer, Box, end, run
from tests.package.packages import ROOT, build, field, rebuild

pytestmark = [pytest.mark.debootstrap, pytest.mark.mosquitto, pytest.mark.slow]

NAME = "citylab-gateway"
USER = "citylab-gateway"
CONFIG = "/etc/citylab-gateway/gateway.toml"
RING = "/var/lib/citylab-gateway"
RUNTIME = "/run/citylab-gateway"
LATER = "99.1"
PORT = 1883
"""In a network of its own nobody else has it."""
ENOUGH = 6
"""Readings; three reports of the sensor."""
WAIT_S = 240.0
POLL_S = 0.2
NOT_OURS = ("./var/lib/dpkg/", "./var/log/", "./var/cache/", "./etc/passwd-", "./etc/group-")
NOT_OURS_EITHER = ("./etc/shadow-", "./etc/gshadow-", "./etc/.pwd.lock")
"""Diaries of dpkg and of whoever makes users: the user stays, see the postrm script."""
DPKG_TAKES = {"./opt d 755 0"}
"""A directory that no other package names goes with the last one that did, if it is empty."""
COMPLAINTS = ("systemctl", "not found", "warning", "error", "failed", "No such file")
TEMPLATE = """
schema = 1

[gateway]
id = "box-1"

[buffer]
flush_interval = "500 ms"
flush_interval_max = "500 ms"

[clock]
trusted = true

[[sensor]]
name = "air"
driver = "sds011"
port = "{port}"
silence_timeout = "1 h"

[[broker]]
name = "city"
url = "mqtt://127.0.0.1:{broker}"
insecure = true
format = "json"
linger = "50 ms"
"""
EDIT = "# edited by the technician\n"
BROKER = f"""
user root
listener {PORT} 127.0.0.1
allow_anonymous true
persistence false
"""

Keys = AbstractSet[tuple[int, int]]


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def keys(lines: str) -> Keys:
    """Return what names the readings in JSON lines."""
    found = (json.loads(line) for line in lines.splitlines() if line.startswith("{"))
    return {(each["epoch"], each["sequence"]) for each in found if "sequence" in each}


async def files(box: Box) -> set[str]:
    """List everything in the box with kind, mode and owner, but what others write in passing."""
    listing = await box.do(
        "sh", "-c", r"cd / && find . -xdev -printf '%p %y %m %U\n' | grep -v -e ^./tmp -e ^./proc"
    )
    return {
        line for line in listing.splitlines() if not line.startswith(NOT_OURS + NOT_OURS_EITHER)
    }


async def install(box: Box, package: Path) -> Answer:
    """Copy a package into the box and have dpkg install it; there is no network."""
    shutil.copy(package, box.path("/tmp") / package.name)
    return await box.try_out("dpkg", "--install", f"/tmp/{package.name}")


def nothing_to_complain_about(answer: Answer) -> None:
    assert answer.code == 0, answer.output
    assert not [word for word in COMPLAINTS if word in answer.output], answer.output


async def reachable(box: Box, options: tuple[str, ...]) -> None:
    """Return when the broker takes messages."""
    async with asyncio.timeout(WAIT_S):
        while True:
            done = await run(*box.beside("mosquitto_pub", *options, "-t", "x", "-n"))
            if done.code == 0:
                return
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def city(box: Box, folder: Path) -> AsyncIterator[Path]:
    """Run a broker in the box's network; what it is sent stands in the file that is yielded."""
    (folder / "mosquitto.conf").write_text(BROKER, encoding="utf-8")
    arrived = folder / "arrived.txt"
    options = ("-h", "127.0.0.1", "-p", str(PORT))
    broker = await box.start(
        box.beside("mosquitto", "-c", str(folder / "mosquitto.conf")), folder / "mosquitto.log"
    )
    try:
        await reachable(box, options)
        subscriber = await box.start(
            box.beside("mosquitto_sub", *options, "-q", "1", "-t", "city/+/+/air/json"), arrived
        )
        try:
            yield arrived
        finally:
            await end(subscriber)
    finally:
        await end(broker)


@asynccontextmanager
async def sensor(folder: Path) -> AsyncIterator[str]:
    """Plug in a simulated dust sensor; yield its port, which is the same in the box."""
    link = folder / "tty-air"
    simulator = PtySimulator(SimulatedSds011(seed=1), link)
    running = asyncio.create_task(simulator.run())
    try:
        await asyncio.wait_for(simulator.ready.wait(), WAIT_S)
        yield str(link.readlink())
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


class Daemon:
    """The installed daemon, started as the unit does it, by its user."""

    def __init__(self, box: Box, folder: Path, arrived: Path) -> None:
        self._box = box
        self._log = folder / "daemon.log"
        self._arrived = arrived

    async def start(self) -> asyncio.subprocess.Process:
        await self._box.do("install", "-d", "-m", "700", "-o", USER, "-g", USER, RING, RUNTIME)
        return await self._box.start(
            self._box.inside(
                *("env", f"STATE_DIRECTORY={RING}", f"RUNTIME_DIRECTORY={RUNTIME}"),
                *(f"/opt/{NAME}/bin/{NAME}", "run"),
                user=USER,
            ),
            self._log,
        )

    async def has_sent(self, process: asyncio.subprocess.Process, beyond: int) -> Keys:
        """Wait until more readings arrived at the broker than that; return them all."""
        async with asyncio.timeout(WAIT_S):
            while len(found := keys(self._arrived.read_text(encoding="utf-8"))) < beyond + ENOUGH:
                assert process.returncode is None, self._log.read_text(encoding="utf-8")
                await asyncio.sleep(POLL_S)
        return found

    async def stop(self, process: asyncio.subprocess.Process) -> None:
        code = await self._box.stop(process)
        assert code == 0, self._log.read_text(encoding="utf-8")


async def stat(box: Box) -> dict[str, Any]:
    """Return what ``buffer stat`` says about the ring."""
    found = json.loads(await box.do(NAME, "buffer", "stat", "--json"))
    assert isinstance(found, dict)
    return found


async def kept(box: Box) -> Keys:
    """Return all that is in the ring."""
    return keys(await box.do(NAME, "buffer", "export", "--format", "json"))


async def look_at_the_installation(box: Box) -> None:
    """What a technician and a service manager find."""
    assert (await box.do(NAME, "--version")).split() == [NAME, version()]
    compiled = "from gateway.buffer import ring; from gateway.filters import spike; "
    await box.do(
        f"/opt/{NAME}/bin/python", "-c", f"{compiled}assert ring.COMPILED and spike.COMPILED"
    )
    wants = box.path("/etc/systemd/system/multi-user.target.wants/citylab-gateway.service")
    assert wants.is_symlink(), "enabled"
    assert not box.path("/etc/systemd/system/citylab-gateway.service.wants").exists(), (
        "the status page waits until somebody wants it"
    )
    assert (await box.do("stat", "-c", "%U:%G %a", "/etc/citylab-gateway")).split() == [
        f"root:{USER}",
        "750",
    ]
    assert await box.do("dpkg", "--verify", NAME) == ""
    assert (await box.try_out("test", "-e", "/usr/bin/systemctl")).code, "as it has to be here"
    home = box.path(f"/opt/{NAME}")
    modules = [path for path in home.rglob("*.py") if path.parent.name != "bin"]
    without = [path for path in modules if not list(path.parent.glob(f"__pycache__/{path.stem}.*"))]
    assert modules
    assert without == [], "each has its bytecode"
    strangers = {"pip", "setuptools", "Cython", "testcases", "tests"}
    assert not [path for path in home.rglob("*") if path.name in strangers]


async def set_up(box: Box, port: str) -> str:
    """Write a configuration, and give the port to the user as the udev rule would."""
    text = TEMPLATE.format(port=port, broker=PORT)
    box.path(CONFIG).write_text(text, encoding="utf-8")
    await box.do("chgrp", USER, CONFIG, port)
    await box.do("chmod", "640", CONFIG)
    await box.do("chmod", "660", port)
    assert "fine" in await box.do(NAME, "check", user=USER)
    return text


async def work_and_upgrade(box: Box, later: Path, folder: Path) -> None:
    """Readings arrive before and after; the ring, the edited file and the numbers go on."""
    async with sensor(folder) as port, city(box, folder) as arrived:
        text = await set_up(box, port)
        daemon = Daemon(box, folder, arrived)
        process = await daemon.start()
        try:
            await daemon.has_sent(process, 0)
            box.path(CONFIG).write_text(text + EDIT, encoding="utf-8")
            nothing_to_complain_about(await install(box, later))
            await daemon.stop(process)  # the old program still could, with its files exchanged
            assert [link["pending"] for link in (await stat(box))["links"]] == [0]
            before = await kept(box)
            assert before <= keys(arrived.read_text(encoding="utf-8"))

            assert (await box.do(NAME, "--version")).split() == [NAME, LATER]
            assert box.path(CONFIG).read_text(encoding="utf-8") == text + EDIT
            process = await daemon.start()
            await daemon.has_sent(process, len(before))
            await daemon.stop(process)
        finally:
            await end(process)
        after = await kept(box)
        assert before < after
        assert min(after - before) > max(before), "the numbers go on"


async def remove_and_purge(box: Box, before: set[str]) -> None:
    """Removed, configuration and readings stay; purged, nothing of it is left."""
    secret = box.path("/etc/citylab-gateway/secrets/city")
    secret.write_text("hunter2", encoding="utf-8")
    drop_in = box.path("/etc/systemd/system/citylab-gateway.service.d/init-credentials.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\n", encoding="utf-8")

    nothing_to_complain_about(await box.try_out("dpkg", "--remove", NAME))
    assert not box.path(f"/opt/{NAME}").exists()
    assert not box.path(f"/usr/bin/{NAME}").is_symlink()
    assert box.path(CONFIG).read_text(encoding="utf-8").endswith(EDIT)
    assert secret.exists()
    assert list(box.path(RING).iterdir())

    nothing_to_complain_about(await box.try_out("dpkg", "--purge", NAME))
    after = await files(box)
    assert after - before == set()
    assert before - after <= DPKG_TAKES
    assert f"{USER}:x:" in box.path("/etc/passwd").read_text(encoding="utf-8"), "see postrm"
    assert await box.do("dpkg", "--audit") == ""


async def refuse_to_mix(box: Box, package: Path) -> None:
    """Where somebody installed it by hand, nothing is written over."""
    by_hand = box.path(f"/opt/{NAME}")
    by_hand.mkdir(parents=True)
    (by_hand / "pyvenv.cfg").write_text("home = /usr/bin\n", encoding="utf-8")
    answer = await install(box, package)
    assert answer.code != 0
    assert f"sudo mv /opt/{NAME} /opt/{NAME}.old" in answer.output
    assert [path.name for path in by_hand.iterdir()] == ["pyvenv.cfg"]


@pytest.mark.timeout(1800)
async def test_a_life_of_the_package(tmp_path: Path) -> None:
    package, base = await build()
    later = await rebuild(package, tmp_path, LATER)
    async with Box(base, tmp_path / "box") as box:
        needed = await field(package, "Depends")
        await box.do("apt-get", "satisfy", "--yes", "--no-install-recommends", needed)
        before = await files(box)

        installed = await install(box, package)
        nothing_to_complain_about(installed)
        assert f"sudo {NAME} init" in installed.output
        await look_at_the_installation(box)
        await work_and_upgrade(box, later, tmp_path)
        await remove_and_purge(box, before)
        await refuse_to_mix(box, package)
