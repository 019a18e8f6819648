"""A sound box that can be broken in one place: real servers, a made-up root for the rest."""

import asyncio
import contextlib
import json
import os
import pty
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from dbus_fast import Variant

from gateway.cli.doctor.area import examine
from gateway.cli.doctor.areas import AREAS
from gateway.cli.doctor.box import Account, System, current_account, open_box
from gateway.cli.doctor.finding import Finding
from gateway.cli.doctor.kernel_clock import KernelClock
from tests.brokers import Mosquitto, free_port, mosquitto_password_file
from tests.cli.rings import write_ring
from tests.forward.pki import listener, make_ca, make_certificate
from tests.transports.fake_bluez import ADAPTER, MONITORS, FakeBlueZ, PrivateBus

__all__ = ["PASSWORD", "PATIENCE_S", "Material", "World", "make_material"]

UNITS = Path(__file__).parents[3] / "systemd"
PASSWORD = "canary-7f3a"
DAEMON = "citylab-gateway"
UNPRIVILEGED = 12_345
"""The daemon's user where the tests run as root; nobody has to know the number."""
PORT = "/dev/serial/by-id/usb-Test_Adapter-if00-port0"
BEACON = "C0:FF:EE:00:00:01"
LONG_DAYS = 365
PATIENCE_S = 60.0
"""Where a slow machine must not look like a broken one."""

CONFIG = """\
[gateway]
id = "box"
[buffer]
directory = "{state}"
runtime_directory = "{runtime}"
size = "1 MiB"
[clock]
trusted = true
[http]
[bluetooth]
mode = "passive"
[[sensor]]
name = "air"
driver = "sds011"
port = "{port}"
[[sensor]]
name = "tag"
driver = "ruuvi"
address = "{beacon}"
[[broker]]
name = "aarhus"
url = "mqtts://localhost:{broker}"
format = "json"
username = "dokk1"
password_file = "%d/aarhus"
connect_timeout = "60 s"
[broker.tls]
ca_file = "{ca}"
"""
MOUNTS = """\
24 1 179:2 / / rw,noatime - ext4 /dev/root rw
25 24 0:22 / /run rw,nosuid - tmpfs tmpfs rw,size=98304k
26 24 0:23 / {runtime} rw,nosuid - tmpfs tmpfs rw,size=98304k
"""
ROUTES = """\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
"""
FILES = {
    "proc/devices": "Character devices:\n  4 ttyS\n136 pts\n188 ttyUSB\n\nBlock devices:\n",
    "proc/cmdline": "console=serial0,115200 console=tty1 root=/dev/mmcblk0p2\n",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "proc/net/route": ROUTES,
    "proc/net/ipv6_route": "",
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/class/net/lo/operstate": "unknown\n",
    "sys/class/net/eth0/operstate": "up\n",
    "sys/class/rtc/rtc0/name": "rtc-ds1307\n",
    "sys/class/rfkill/rfkill0/type": "bluetooth\n",
    "sys/class/rfkill/rfkill0/name": "hci0\n",
    "sys/class/rfkill/rfkill0/soft": "0\n",
    "sys/class/rfkill/rfkill0/hard": "0\n",
    "sys/block/mmcblk0/size": "62333952\n",
    "sys/block/mmcblk0/device/life_time": "0x01 0x02\n",
    "sys/block/mmcblk0/device/pre_eol_info": "0x01\n",
    "sys/block/mmcblk0/mmcblk0p2/partition": "2\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "etc/resolv.conf": "# made by hand\nnameserver 192.0.2.53\n",
    "opt/citylab-gateway/bin/citylab-gateway": "",
    "dev/ttyAMA0": "",
}
RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "ExecMainStatus": "0",
    "NeedDaemonReload": "no",
}


@dataclass(frozen=True)
class Material:
    """What takes long to make and is the same for all: certificates, users, a ring."""

    pki: Path
    users: Path
    ring: Path


def make_material(folder: Path) -> Material:
    """Make it, once in a session."""
    for name in ("city-ca", "other-ca"):
        make_ca(folder, name, LONG_DAYS)
    localhost = "DNS:localhost"
    make_certificate(folder, "server", "city-ca", localhost, LONG_DAYS)
    make_certificate(folder, "elsewhere", "city-ca", "DNS:mqtt.example.org", LONG_DAYS)
    make_certificate(folder, "ending", "city-ca", localhost, days=9)
    make_certificate(folder, "expired", "city-ca", localhost, days=-1)
    users = mosquitto_password_file(folder / "users", {"dokk1": PASSWORD})
    return Material(folder, users, write_ring(folder, 200).directory)


class Radio(FakeBlueZ):
    """A BlueZ whose adapter says whether it can listen passively, as the real one does."""

    def __init__(self, *, powered: bool, monitors: bool) -> None:
        super().__init__(powered=powered)
        if monitors:
            kinds = {"SupportedMonitorTypes": Variant("as", ["or_patterns"])}
            self._objects["/org/bluez/hci0"][MONITORS] = kinds
        assert ADAPTER in self._objects["/org/bluez/hci0"]


@dataclass
class World:
    """The box. Change what it is made of, then ``run`` it; what it says is in ``examine``."""

    folder: Path
    material: Material
    acl: str = "user dokk1\ntopic write city/citylab/box/#\n"
    certificate: str = "server"
    broker_runs: bool = True
    speaks_tls: bool = True
    password: str = PASSWORD
    bus_runs: bool = True
    bluez_runs: bool = True
    bus_policy: str = ""
    """Added to what the system bus allows."""
    powered: bool = True
    monitors: bool = True
    bluez_version: str = "5.66"
    unit_state: dict[str, str] = field(default_factory=lambda: dict(RUNNING))
    changes: list[tuple[str, str]] = field(default_factory=list)
    """What is replaced in the configuration, and by what."""
    more: str = ""
    """What is added to it."""
    kernel_clock: KernelClock | None = field(
        default_factory=lambda: KernelClock(synced=True, max_error_s=0.02)
    )
    free_bytes: int | None = None
    accounts: dict[str, Account] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Put everything in place as on a sound box."""
        own = current_account()
        uid = UNPRIVILEGED if own.uid == 0 else own.uid
        self.account = Account(DAEMON, uid, frozenset({uid} if own.uid == 0 else own.gids))
        self.accounts[DAEMON] = self.account
        self.root = self.folder / "root"
        self.state = self.folder / "state"
        self.runtime = self.folder / "runtime"
        self.config = self.folder / "gateway.toml"
        self.secret = self.folder / "secret"
        self.broker_port = free_port()
        self.secret.write_text(self.password)
        self.secret.chmod(0o600)
        self.runtime.mkdir(0o700)
        for name, content in FILES.items():
            self.put(name, content)
        self.put("proc/self/mountinfo", MOUNTS.format(runtime=self.runtime))
        (self.root / "proc/locks").symlink_to("/proc/locks")
        self.link("sys/dev/block/179:2", "../../block/mmcblk0/mmcblk0p2")
        self.link("dev/serial0", "ttyAMA0")
        shutil.copytree(self.material.ring, self.state)
        (self.root / "run/systemd/system").mkdir(parents=True)
        self._install_units()
        self.give(self.state, self.runtime)

    def _install_units(self) -> None:
        system = "etc/systemd/system"
        for unit in ("citylab-gateway.service", "citylab-gateway.socket"):
            self.put(f"{system}/{unit}", (UNITS / unit).read_text(encoding="utf-8"))
        drop_ins = f"{system}/citylab-gateway.service.d"
        text = f"[Service]\nLoadCredential=aarhus:{self.secret}\n"
        self.put(f"{drop_ins}/init-credentials.conf", text)
        self.put(f"{drop_ins}/port.conf", "[Service]\nDeviceAllow=char-pts rw\n")
        self.link(f"{system}/multi-user.target.wants/citylab-gateway.service", "../x")
        self.link(f"{system}/citylab-gateway.service.wants/citylab-gateway.socket", "../x")

    def put(self, name: str, content: str, *, mode: int = 0o644) -> Path:
        """Write a file of the made-up root."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(mode)
        return path

    def link(self, name: str, target: str) -> None:
        """Make a link in the made-up root, instead of what is there."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    def remove(self, name: str) -> None:
        """Remove a file of the made-up root."""
        (self.root / name).unlink()

    def give(self, *folders: Path) -> None:
        """Let what is there belong to the daemon's user."""
        if os.geteuid() == 0:
            for folder in folders:
                for path in (folder, *folder.rglob("*")):
                    os.chown(path, self.account.uid, self.account.uid)

    def unit(self, name: str, text: str) -> None:
        """Write a drop-in of the service."""
        self.put(f"etc/systemd/system/citylab-gateway.service.d/{name}.conf", f"[Service]\n{text}")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Have the servers run, and the port plugged in."""
        self.write()
        lines = [
            *(listener(self.material.pki, self.certificate) if self.speaks_tls else ()),
            f"password_file {self.material.users}",
            f"acl_file {self._acl_file()}",
        ]
        city = Mosquitto(self.folder / "city", lines=lines, anonymous=False, port=self.broker_port)
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._port())
            if self.broker_runs:
                await stack.enter_async_context(city)
            if self.bus_runs:
                stack.enter_context(self._bus())
            if self.bus_runs and self.bluez_runs:
                radio = Radio(powered=self.powered, monitors=self.monitors)
                await radio.start()
                stack.push_async_callback(radio.stop)
            yield

    @contextlib.contextmanager
    def _bus(self) -> Iterator[None]:
        bus = PrivateBus(self.folder)
        config = self.folder / "bus.conf"
        policies = f"{self.bus_policy}</busconfig>"
        config.write_text(config.read_text().replace("</busconfig>", policies))
        bus.start()
        try:
            yield
        finally:
            bus.kill()

    def _acl_file(self) -> Path:
        path = self.folder / "acl"
        path.write_text(self.acl)
        path.chmod(0o600)
        return path

    @contextlib.contextmanager
    def _port(self) -> Iterator[None]:
        leader, follower = pty.openpty()
        self.device = os.ttyname(follower)
        if os.geteuid() == 0:
            os.chown(self.device, self.account.uid, self.account.uid)
        if not (self.root / PORT[1:]).is_symlink():
            self.link(PORT[1:], self.device)
        self.link("dev/ttyUSB0", self.device)
        try:
            yield
        finally:
            os.close(leader)
            os.close(follower)

    def write(self) -> None:
        """Write the configuration and the programs that are asked; ``running`` does it, too."""
        text = CONFIG.format(
            state=self.state,
            runtime=self.runtime,
            port=PORT,
            beacon=BEACON,
            broker=self.broker_port,
            ca=self.material.pki / "city-ca.pem",
        )
        for old, new in self.changes:
            assert old in text, f"the configuration has no {old}"
            text = text.replace(old, new)
        self.config.write_text(text + self.more)
        self.config.chmod(0o644)
        state = "".join(f"{key}={value}\n" for key, value in self.unit_state.items())
        script = f"#!/bin/sh\ncat <<'END'\n{state}END\n"
        self.put("usr/bin/systemctl", script, mode=0o755)
        script = f"#!/bin/sh\necho {self.bluez_version}\n"
        self.put("usr/libexec/bluetooth/bluetoothd", script, mode=0o755)

    @property
    def system(self) -> System:
        """Return the machine as doctor sees it."""
        room = self.free_bytes
        return System(
            root=self.root,
            programs=f"{self.root}/usr/bin:/usr/bin:/bin",
            account_of=self.accounts.get,
            kernel_clock=lambda: self.kernel_clock,
            **({} if room is None else {"free_bytes": lambda _: room}),
        )

    def look(self) -> list[Finding]:
        """Return what doctor finds. Blocks."""
        box = open_box(self.config, self.system)
        areas = [replace(area, timeout_s=PATIENCE_S) for area in AREAS]
        findings = [found for _, each in examine(box, areas) for found in each]
        told = json.dumps([[each.detail, each.why, each.mend] for each in findings])
        assert PASSWORD not in told, "a secret is shown"
        assert BEACON not in told, "the address of a device is shown"
        return findings

    async def examine(self) -> list[Finding]:
        """Return what doctor finds, while servers in this loop answer."""
        return await asyncio.to_thread(self.look)
