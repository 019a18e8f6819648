"""Looks whether the serial ports are there, and whether this user may open them."""

import os
import stat
from collections.abc import Iterable, Iterator
from grp import getgrgid
from pathlib import Path

from gateway.cli.doctor.finding import Finding
from gateway.config.model import SensorSection

__all__ = ["examine_ports"]

STABLE = ("/dev/serial/by-id/", "/dev/serial/by-path/")
NAMED_BY_ORDER = ("/dev/ttyUSB", "/dev/ttyACM")


def examine_ports(sensors: Iterable[SensorSection]) -> Iterator[Finding]:
    """Yield one finding per sensor on a serial port."""
    for sensor in sensors:
        if sensor.port:
            yield _examine(f"sensor {sensor.name}", sensor.port)


def _examine(subject: str, port: str) -> Finding:
    path = Path(port)
    try:
        status = path.stat()
    except OSError as error:
        detail = f"{port}: {(error.strerror or 'cannot be found').lower()}"
        why = "The gateway waits for it and takes it up as soon as it is there."
        mend = "plug it in; `ls -l /dev/serial/by-id` shows what is there"
        return Finding("fail", subject, detail, why, mend, "port_missing")
    if not stat.S_ISCHR(status.st_mode):
        mend = "name the device; replay = reads a recording"
        return Finding("fail", subject, f"{port} is no serial port", "", mend, "port_kind")
    if not os.access(path, os.R_OK | os.W_OK):
        group = _group(status.st_gid)
        mend = f"sudo usermod --append --groups {group} {_user()} (log in anew afterwards)"
        detail = f"{port} may not be opened by this user"
        return Finding("fail", subject, detail, "", mend, "port_permission")
    if port.startswith(NAMED_BY_ORDER):
        why = "It is numbered in the order of plugging in, and may be another device tomorrow."
        mend = f"use its name under {STABLE[0]}"
        return Finding("warn", subject, f"{port} can be opened", why, mend, "port_name")
    return Finding("ok", subject, f"{port} can be opened")


def _group(number: int) -> str:
    try:
        return getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _user() -> str:
    return os.environ.get("USER") or "citylab-gateway"
