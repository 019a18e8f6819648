"""Looks whether the serial ports are there, who may open them, and who has them open.

No port is opened: that would raise its control lines, which restarts some devices.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from grp import getgrgid
from pathlib import Path

from gateway.cli.doctor.box import READ, WRITE, Box, System, may
from gateway.cli.doctor.finding import NOT_SEEN, Finding, Trouble
from gateway.cli.doctor.holders import Holder, holders
from gateway.config.model import SensorSection
from gateway.control import find_daemon
from gateway.driver import driver_class
from gateway.transports.serial_opening import line_text

__all__ = ["TROUBLES", "look"]

BY_ID = "/dev/serial/by-id"
NAMED_BY_ORDER = ("/dev/ttyUSB", "/dev/ttyACM")
MISSING = Trouble(
    "port_missing",
    "fail",
    "The gateway waits for it and takes it up as soon as it is there.",
    "plug it in; ls -l /dev/serial/by-id shows what is there",
)
KIND = Trouble(
    "port_kind",
    "fail",
    "Nothing can be read from it as from a serial port.",
    "name the device in port =; a recording is named in replay =",
)
PERMISSION = Trouble(
    "port_permission",
    "fail",
    "The daemon may not open it, so this sensor gives nothing.",
    "sudo usermod --append --groups {group} {user}; then sudo systemctl restart citylab-gateway",
)
MODE = Trouble(
    "port_mode",
    "fail",
    PERMISSION.why,
    "sudo install -m 644 70-citylab-gateway.rules /etc/udev/rules.d/ && sudo udevadm control "
    "--reload && sudo udevadm trigger --subsystem-match=tty",
)
BUSY = Trouble(
    "port_busy",
    "fail",
    "Two programs on one port steal each other's bytes; the gateway waits until it is free.",
    "sudo kill {pid}; or, if it comes back: sudo systemctl disable --now {program}",
)
CONSOLE = Trouble(
    "port_console",
    "fail",
    "The kernel writes its messages into the device, and a login prompt answers it.",
    "sudo raspi-config nonint do_serial_cons 1; then sudo reboot",
)
SANDBOX = Trouble(
    "port_sandbox",
    "fail",
    "The sandbox of the unit hides this kind of device from the daemon.",
    "printf '[Service]\\nDeviceAllow=char-{kind} rw\\n' | sudo install -D -m 644 /dev/stdin "
    "/etc/systemd/system/citylab-gateway.service.d/port.conf; sudo systemctl daemon-reload; "
    "sudo systemctl restart citylab-gateway",
)
NAME = Trouble(
    "port_name",
    "warn",
    "It is numbered in the order of plugging in, and may be another device tomorrow.",
    'port = "{stable}"',
)
TROUBLES = (MISSING, KIND, PERMISSION, MODE, BUSY, CONSOLE, SANDBOX, NAME)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is wrong with the port of each sensor, or that nothing is."""
    if box.configuration is None:
        return
    sensors = [sensor for sensor in box.configuration.sensor if sensor.port]
    paths = {str(sensor.port): box.system.path(str(sensor.port)) for sensor in sensors}
    held = holders(box.system, paths.values())
    daemon = find_daemon(box.configuration.buffer.runtime_directory)
    for sensor in sensors:
        path = paths[str(sensor.port)]
        others = [each for each in held.get(path, ()) if daemon is None or each.pid != daemon.pid]
        yield _look(box, sensor, path, others)
    if sensors and not box.sees_all:
        detail = "whether another user's program has them open is seen by root alone"
        yield NOT_SEEN.found("ports", detail, how="sudo citylab-gateway doctor")


def _look(box: Box, sensor: SensorSection, path: Path, others: list[Holder]) -> Finding:
    subject, port = f"sensor {sensor.name}", str(sensor.port)
    try:
        status = path.stat()
    except OSError as error:
        return MISSING.found(subject, f"{port}: {(error.strerror or 'not found').lower()}")
    if not stat.S_ISCHR(status.st_mode):
        return KIND.found(subject, f"{port} is no serial port")
    return (
        _not_allowed(box, subject, port, status)
        or _shared(box.system, subject, path, port, others)
        or _badly_named(box.system, subject, path, port)
        or Finding.fine(subject, f"{port} is there, {_settings(sensor)}")
    )


def _not_allowed(box: Box, subject: str, port: str, status: os.stat_result) -> Finding | None:
    """Return why the daemon may not open it: its user, or its sandbox."""
    user = box.account.name
    if not may(status, box.account, READ | WRITE):
        detail = f"{port} may not be opened by {user}"
        group_may = status.st_mode & (stat.S_IRGRP | stat.S_IWGRP) == stat.S_IRGRP | stat.S_IWGRP
        if group_may and status.st_gid != 0:
            return PERMISSION.found(subject, detail, group=_group(status.st_gid), user=user)
        return MODE.found(subject, detail)
    kind = _kinds(box.system).get(os.major(status.st_rdev), "")
    allowed = [line.split()[0] for line in box.service.all("Service", "DeviceAllow")]
    closed = box.service.last("Service", "DevicePolicy") in ("closed", "strict")
    if closed and kind and not any(_allows(each, kind, port) for each in allowed):
        return SANDBOX.found(subject, f"the unit allows no char-{kind}", kind=kind)
    return None


def _shared(
    system: System, subject: str, path: Path, port: str, others: list[Holder]
) -> Finding | None:
    """Return who else uses it: a program, or the kernel."""
    if others:
        holder = others[0]
        detail = f"{port} is open in {holder.name} (process {holder.pid})"
        return BUSY.found(subject, detail, pid=holder.pid, program=holder.name)
    if path.resolve().name in _consoles(system):
        return CONSOLE.found(subject, f"{port} is a console of the kernel")
    return None


def _badly_named(system: System, subject: str, path: Path, port: str) -> Finding | None:
    if not port.startswith(NAMED_BY_ORDER):
        return None
    stable = _stable_name(system, path) or f"{BY_ID}/..."
    return NAME.found(subject, f"{port} is there", stable=stable)


def _allows(allowed: str, kind: str, port: str) -> bool:
    return fnmatchcase(f"char-{kind}", allowed) or allowed == port


def _kinds(system: System) -> Mapping[int, str]:
    """Return major number -> kind of character device, by /proc/devices."""
    text = (system.read("/proc/devices") or "").partition("Block devices:")[0]
    rows = (line.split() for line in text.splitlines())
    return {int(row[0]): row[1] for row in rows if len(row) == 2 and row[0].isdigit()}


def _consoles(system: System) -> set[str]:
    words = (system.read("/proc/cmdline") or "").split()
    named = (word.removeprefix("console=") for word in words if word.startswith("console="))
    return {_device(system, name.partition(",")[0]) for name in named}


def _device(system: System, name: str) -> str:
    """Return the name of a device; serial0 of a Raspberry Pi leads to the real one."""
    return system.path(f"/dev/{name}").resolve().name


def _stable_name(system: System, path: Path) -> str:
    real = path.resolve()
    for name in system.names(BY_ID):
        if system.path(f"{BY_ID}/{name}").resolve() == real:
            return f"{BY_ID}/{name}"
    return ""


def _settings(sensor: SensorSection) -> str:
    driver = driver_class(sensor.driver)
    lines = sensor.lines(driver.info.lines) if driver is not None else ()
    return " or ".join(line_text(line) for line in lines) or "settings of its driver"


def _group(number: int) -> str:
    try:
        return getgrgid(number).gr_name
    except KeyError:
        return str(number)
