"""The service manager, as far as ``init`` has to do with it."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Service", "find_service", "service_group"]

UNIT = "citylab-gateway.service"
SOCKET = "citylab-gateway.socket"
USER = "citylab-gateway"
RUNNING = Path("/run/systemd/system")
"""It is there where systemd is the service manager (sd_booted(3))."""
UNITS = Path("/etc/systemd/system")
CALL_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Service:
    """The unit of this gateway, installed on this machine."""

    systemctl: str
    units: Path = UNITS

    @property
    def drop_in(self) -> Path:
        """Return the file that hands the broker's password over."""
        return self.units / f"{UNIT}.d" / "init-credentials.conf"

    def commands(self, *, http: bool) -> list[Sequence[str]]:
        """Return what starts it, now and at each boot, with what was just written."""
        units = [UNIT, SOCKET] if http else [UNIT]
        return [
            (self.systemctl, "daemon-reload"),
            (self.systemctl, "enable", *units),
            # One at a time: a socket is refused while its service runs. The service brings it.
            (self.systemctl, "stop", *units),
            (self.systemctl, "start", UNIT),
        ]

    def start(self, *, http: bool) -> str:
        """Start it; return what went wrong, empty if nothing did."""
        for command in self.commands(http=http):
            try:
                done = subprocess.run(  # noqa: S603 - fixed words
                    command, capture_output=True, check=False, text=True, timeout=CALL_TIMEOUT_S
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return str(error)
            if done.returncode:
                return done.stderr.strip() or f"{' '.join(command)} failed"
        return ""


def find_service(*, running: Path = RUNNING, units: Path = UNITS) -> Service | None:
    """Return the installed service; None without systemd, or where the unit is not installed."""
    systemctl = shutil.which("systemctl")
    if systemctl is None or not running.is_dir():
        return None
    try:
        known = subprocess.run(  # noqa: S603 - fixed words
            (systemctl, "cat", UNIT), capture_output=True, check=False, timeout=CALL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Service(systemctl, units) if known.returncode == 0 else None


def service_group() -> int | None:
    """Return the group of the daemon's user, if there is one and we may give files to it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(USER).pw_gid
    except KeyError:
        return None
