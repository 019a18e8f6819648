"""Which processes have a device open: /proc/<pid>/fd, as far as this user may look."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from gateway.cli.doctor.box import System

__all__ = ["Holder", "holders"]


class Holder(NamedTuple):
    """A process, by number and name."""

    pid: int
    name: str


def holders(system: System, paths: Iterable[Path]) -> Mapping[Path, list[Holder]]:
    """Return for each path who has it open, doctor itself left out."""
    devices: dict[int, list[Path]] = {}
    for path in paths:
        try:
            devices.setdefault(path.stat().st_rdev, []).append(path)
        except OSError:
            continue
    devices.pop(0, None)  # no device
    found: dict[Path, list[Holder]] = {}
    if not devices:
        return found
    for pid in system.names("/proc"):
        if pid.isdigit() and int(pid) != os.getpid():
            for path in _opened(system, pid, devices):
                found.setdefault(path, []).append(Holder(int(pid), _name(system, pid)))
    return found


def _opened(system: System, pid: str, devices: Mapping[int, list[Path]]) -> set[Path]:
    opened: set[Path] = set()
    for number in system.names(f"/proc/{pid}/fd"):
        try:
            device = system.path(f"/proc/{pid}/fd/{number}").stat().st_rdev
        except OSError:
            continue
        opened.update(devices.get(device, ()))
    return opened


def _name(system: System, pid: str) -> str:
    return (system.read(f"/proc/{pid}/comm") or "a process").strip()
