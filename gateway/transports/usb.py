"""What a serial port is on the USB: who it is, where it is now, and how it is reset.

Read from sysfs, so every function here blocks for a moment: call them outside the event loop. A
port that is no USB device (a UART, a pseudo-terminal) is simply not known here.
"""

import fcntl
import os
import stat
from pathlib import Path
from typing import NamedTuple

__all__ = ["Located", "UsbPort", "locate", "reset_usb", "usb_port"]

SYS = Path("/sys")
DEV = Path("/dev")
BY_PATH = "/dev/serial/by-path/"
USBDEVFS_RESET = ord("U") << 8 | 20
MAX_PARENTS = 8
"""A port is not deeper below its device."""


class UsbPort(NamedTuple):
    """One serial port of a USB device."""

    folder: Path
    """Of the device in sysfs."""
    identity: str
    """Vendor, product, serial number and interface; empty without a serial number."""


class Located(NamedTuple):
    """Where a device is to be opened."""

    path: str
    usb: UsbPort | None


def locate(port: str, identity: str) -> Located:
    """Return where the device with this identity is now: as a rule at ``port``.

    Where ``port`` is gone, or is another device now, the one port that has the identity is
    returned instead. A name of /dev/serial/by-path means a place, whatever is plugged in there.
    """
    here = usb_port(port)
    if identity and not port.startswith(BY_PATH) and (here is None or here.identity != identity):
        there = [
            Located(str(DEV / name.name), found)
            for name in sorted(_entries(SYS / "class/tty"))
            if (found := _usb_port(name)) is not None and found.identity == identity
        ]
        if len(there) == 1:
            return there[0]
    return Located(port, here)


def usb_port(port: str) -> UsbPort | None:
    """Return what a port is, None if it is not there or not on the USB."""
    try:
        status = os.stat(port)  # noqa: PTH116 - a name, not a path of ours
    except OSError:
        return None
    if not stat.S_ISCHR(status.st_mode):
        return None
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return _usb_port(SYS / "dev/char" / number)


def reset_usb(port: UsbPort) -> None:
    """Reset the device of a port as if it were plugged in again.

    OSError if that is not permitted, or if other ports are on the same device and would be lost.
    """
    ports = [found for name in _entries(SYS / "class/tty") if (found := _usb_port(name))]
    if sum(found.folder == port.folder for found in ports) > 1:
        raise PermissionError("other serial ports are on the same USB device")
    try:
        _reset_by_usbfs(port.folder)
    except OSError:
        switch = port.folder / "authorized"
        if not os.access(switch, os.W_OK):
            raise PermissionError("this user may not reset the USB device") from None
        for word in ("0", "1"):
            _write(switch, word)


def _reset_by_usbfs(folder: Path) -> None:
    bus, device = int(_read(folder / "busnum") or 0), int(_read(folder / "devnum") or 0)
    descriptor = os.open(DEV / f"bus/usb/{bus:03d}/{device:03d}", os.O_WRONLY)
    try:
        fcntl.ioctl(descriptor, USBDEVFS_RESET, 0)
    finally:
        os.close(descriptor)


def _usb_port(entry: Path) -> UsbPort | None:
    """Return what a terminal is by its entry in sysfs."""
    folder = (entry / "device").resolve()
    number = _read(folder / "port_number")
    interface = ""
    for parent in (folder, *folder.parents)[:MAX_PARENTS]:
        interface = interface or _read(parent / "bInterfaceNumber")
        vendor = _read(parent / "idVendor")
        if vendor:
            serial = _read(parent / "serial")
            parts = (vendor, _read(parent / "idProduct"), serial, interface, number)
            return UsbPort(parent, ":".join(parts) if serial else "")
    return None


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _write(path: Path, word: str) -> None:
    path.write_text(word, encoding="ascii")
