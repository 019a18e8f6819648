"""A small machine with the real systemd: this one's /usr, and nothing else of it.

``systemd-nspawn --volatile=yes`` gives an empty root in memory and this machine's programs, read
only; so nothing has to be built or cached, and it boots in a second. Its network is ours. What it
cannot show: limits of memory and of devices, which need control groups of its own.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Box", "can_boot"]

REPOSITORY = Path(__file__).parents[2]
OPT = Path("/opt/citylab-gateway")
PROGRAM = OPT / "bin" / "citylab-gateway"
NSPAWN = "systemd-nspawn"
ROOT = ("--directory=/", "--volatile=yes", "--register=no", "--keep-unit", "--settings=no")
"""Nobody else on this machine has to know of it."""
TARGET = "box.target"
TARGET_UNIT = """\
[Unit]
Requires=sysinit.target dbus.socket
After=sysinit.target dbus.socket
AllowIsolate=yes
"""
WAIT_S = 60.0
"""A hang, not a promise."""
POLL_S = 0.05
BUS_POLICY = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <policy user="root">
    <allow own="org.bluez"/>
    <allow send_interface="org.bluez.AdvertisementMonitor1"/>
    <allow send_interface="org.freedesktop.DBus.ObjectManager"/>
    <allow send_interface="org.freedesktop.DBus.Peer"/>
    <allow send_interface="org.freedesktop.DBus.Properties"/>
  </policy>
  <policy context="default"><allow send_destination="org.bluez"/></policy>
</busconfig>
"""
"""Who may do what with BlueZ, as in Debian; ours asks the bus whether it follows, too."""


def can_boot() -> bool:
    """Tell whether this machine lets us: the program is there, we are root, and it works."""
    program = shutil.which(NSPAWN)
    if program is None or os.geteuid() != 0:
        return False
    tried = subprocess.run(
        [program, *ROOT, "--quiet", f"--machine={_name()}", "--console=pipe", "/bin/true"],
        capture_output=True,
        check=False,
        timeout=WAIT_S,
    )
    return tried.returncode == 0


class Box:
    """Boots with ``units`` in /etc/systemd/system, and the program in /opt."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "units"
        """May be written to before it boots, and is what the box itself writes to."""
        self.sysusers = folder / "sysusers"
        self.tmpfiles = folder / "tmpfiles"
        self._bus = folder / "bus"
        self._bin = folder / "bin"
        for each in (self.units, self.sysusers, self.tmpfiles, self._bus, self._bin):
            each.mkdir(parents=True)
        self.log = folder / "boot.log"
        self._write_program()
        (self._bus / "bluez.conf").write_text(BUS_POLICY)
        (self.units / TARGET).write_text(TARGET_UNIT)
        self._process: subprocess.Popen[bytes]
        self._leader = 0

    def _write_program(self) -> None:
        """Let Python run from /opt: the sandbox hides the homes, where it may live."""
        python = OPT / "python"
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        base = Path(sys.base_prefix)
        if base == Path("/usr"):
            python, variables = base, ""
        else:
            variables = f"PYTHONHOME={python} LD_LIBRARY_PATH={python}/lib"
        for name, module in {"python": "", "citylab-gateway": " -m gateway.cli"}.items():
            program = self._bin / name
            program.write_text(
                f"#!/bin/sh\nexport PYTHONPATH={OPT}/source:{OPT}/packages {variables}\n"
                f'exec {python}/bin/{version} -B -W error{module} "$@"\n'
            )
            program.chmod(0o755)

    def _binds(self) -> list[str]:
        places = {
            REPOSITORY: OPT / "source",
            Path(sysconfig.get_paths()["purelib"]): OPT / "packages",
            self._bin: OPT / "bin",
            self._bus: Path("/etc/dbus-1/system.d"),
            self.sysusers: Path("/etc/sysusers.d"),
            self.tmpfiles: Path("/etc/tmpfiles.d"),
        }
        if sys.base_prefix != "/usr":
            places[Path(sys.base_prefix)] = OPT / "python"
        binds = [f"--bind-ro={here}:{there}" for here, there in places.items()]
        return [*binds, f"--bind={self.units}:/etc/systemd/system"]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(shutil.which(NSPAWN) or NSPAWN, *ROOT, f"--machine={_name()}"),
                    *("--console=pipe", "--kill-signal=SIGRTMIN+4", *self._binds()),
                    *("--boot", f"systemd.unit={TARGET}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._wait_for_boot()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + WAIT_S
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        while True:
            assert self._process.poll() is None, self.log.read_text(errors="replace")
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")
            self._leader = next((int(each) for each in children.read_text().split()), 0)
            if self._leader and self.run("systemctl", "is-active", TARGET).returncode == 0:
                return
            time.sleep(POLL_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and self._process.poll() is None:
            error.add_note(self.run("journalctl", "--no-pager", "-n", "80").stdout)
        while self._process.poll() is None:
            self._process.terminate()  # the first asks, the second does not
            try:
                self._process.wait(WAIT_S if error is None else POLL_S)
            except subprocess.TimeoutExpired:
                continue

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command inside, as root."""
        return subprocess.run(
            [
                *("nsenter", f"--target={self._leader}", "--mount", "--pid", "--uts", "--ipc"),
                *("--cgroup", "env", "--ignore-environment"),
                *(f"PATH={OPT}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", *command),
            ],
            capture_output=True,
            check=False,
            text=True,
            timeout=WAIT_S,
        )

    def said(self, *command: str) -> str:
        """Run a command that has to succeed, and return what it said."""
        done = self.run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def property(self, unit: str, name: str) -> str:
        """Return what systemd knows of a unit."""
        return self.said("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def main_pid(self, unit: str) -> str:
        """Return the process of a service as the box numbers it."""
        return self.property(unit, "MainPID")


def _name() -> str:
    return f"citylab-{uuid.uuid4().hex[:12]}"
