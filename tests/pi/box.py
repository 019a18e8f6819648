"""The citylab-gateway in the Pi: how it is installed, and what systemd says about it."""

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.pi.disk import GATEWAY
from tests.pi.machine import ADAPTER_SERIAL, GUEST_HTTP_PORT, Machine
from tests.pi.watch import LINK, SENSOR

__all__ = ["FLUSH_INTERVAL_S", "Share", "Unit", "install", "unit_of"]

UNIT = "citylab-gateway.service"
PORT = f"/dev/serial/by-id/usb-QEMU_QEMU_USB_SERIAL_{ADAPTER_SERIAL}-if00-port0"
FLUSH_INTERVAL_S = 5
KIB = 1024

CONFIG = """\
schema = 1

[gateway]
id = "{gateway}"
tenant = "testlab"
location = {{ lon = 10.2134, lat = 56.1535 }}

[buffer]
size = "16 MiB"
flush_interval = "{flush_s} s"

[clock]
# Short, so that readings without a right time are sent, too, and have to be mended later.
hold_unsynced = "10 s"

[http]
listen = "0.0.0.0:{http}"
token_file = "%d/http-token"

[[sensor]]
name = "{sensor}"
driver = "sds011"
port = "{port}"

[[broker]]
name = "{link}"
# This machine's loopback, as the Pi sees it.
url = "mqtt://10.0.2.2:{broker}"
insecure = true
format = "json"
backoff_max = "5 s"
"""

INSTALL = """
set -e
mkdir -p /mnt && mount -t 9p -o trans=virtio,version=9p2000.L,ro host /mnt
dpkg --install /mnt/citylab-gateway.deb
install -m 640 -g citylab-gateway /mnt/gateway.toml /etc/citylab-gateway/gateway.toml
install -d -m 700 /etc/citylab-gateway/secrets
install -m 600 /mnt/http-token /etc/citylab-gateway/secrets/http-token
mkdir -p /etc/systemd/system/citylab-gateway.service.d /etc/systemd/system/citylab-gateway.socket.d
cat >/etc/systemd/system/citylab-gateway.service.d/credentials.conf <<END
[Service]
LoadCredential=http-token:/etc/citylab-gateway/secrets/http-token
END
cat >/etc/systemd/system/citylab-gateway.socket.d/address.conf <<END
[Socket]
ListenStream=
ListenStream=0.0.0.0:{http}
END
systemctl daemon-reload
systemctl is-enabled citylab-gateway.service
systemctl enable citylab-gateway.socket
/opt/citylab-gateway/bin/citylab-gateway check
systemctl restart citylab-gateway.socket citylab-gateway.service
systemctl is-active citylab-gateway.service
umount /mnt
sync
"""
"""What systemd/README.md tells a technician to do for a secret and another address of the page;
all the rest, such as the start at each boot, is the package's own work."""

REPORT = """
show() {{ systemctl show -p "$1" --value {unit}; }}
pid=$(show MainPID)
show ActiveState
show ActiveEnterTimestampMonotonic
show NRestarts
awk '/^VmRSS/ {{print $2}}' /proc/"$pid"/status
show MemoryCurrent
systemctl --failed --plain --no-legend | awk '{{print $1}}' | tr '\\n' ' '
"""


@dataclass(frozen=True)
class Share:
    """The folder that the Pi sees while it is installed."""

    folder: Path
    token: str

    @classmethod
    def make(cls, folder: Path, package: Path, broker_port: int) -> "Share":
        """Put the package, a configuration and a token there."""
        folder.mkdir()
        shutil.copy(package, folder / "citylab-gateway.deb")
        token = secrets.token_hex(16)
        (folder / "http-token").write_text(token, encoding="ascii")
        text = CONFIG.format(
            gateway=GATEWAY,
            flush_s=FLUSH_INTERVAL_S,
            http=GUEST_HTTP_PORT,
            sensor=SENSOR,
            port=PORT,
            link=LINK,
            broker=broker_port,
        )
        (folder / "gateway.toml").write_text(text, encoding="utf-8")
        return cls(folder, token)


@dataclass(frozen=True, slots=True)
class Unit:
    """What systemd says."""

    is_active: bool
    ready_s: float
    """From the start of the kernel until the daemon said that it is ready."""
    restarts: int
    rss_bytes: int
    cgroup_bytes: int
    """With its page cache, which MemoryMax counts."""
    failed_units: str


async def install(machine: Machine) -> str:
    """Install the package and start the unit; return what was said."""
    return await machine.shell(INSTALL.format(http=GUEST_HTTP_PORT))


async def unit_of(machine: Machine) -> Unit:
    """Ask systemd about the unit."""
    lines = [*(await machine.shell(REPORT.format(unit=UNIT))).splitlines(), "", "", "", "", "", ""]
    state, ready_us, restarts, rss_kib, cgroup, failed = lines[:6]
    return Unit(
        state == "active",
        int(ready_us or 0) / 1e6,
        int(restarts or 0),
        int(rss_kib or 0) * KIB,
        int(cgroup) if cgroup.isdecimal() else 0,
        failed.strip(),
    )
