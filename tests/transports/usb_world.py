"""A made-up sysfs and /dev whose ports are real pseudo-terminals."""

import os
import tty
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from gateway.transports.usb import usb_port

__all__ = ["UsbWorld"]


class UsbWorld:
    """USB devices with one or more ports; ``plug`` and ``unplug`` them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sys = folder / "sys"
        self.dev = folder / "dev"
        self._descriptors: dict[str, tuple[int, int]] = {}
        for path in (self.dev, self.sys / "dev/char", self.sys / "class/tty"):
            path.mkdir(parents=True)
        monkeypatch.setattr("gateway.transports.usb.SYS", self.sys)
        monkeypatch.setattr("gateway.transports.usb.DEV", self.dev)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for name in list(self._descriptors):
            self.unplug(name)

    def device(self, where: str) -> Path:
        return self.sys / "devices/usb1" / where

    def identity(self, port: str) -> str:
        found = usb_port(port)
        assert found is not None
        return found.identity

    def plug(self, name: str, where: str, *, serial: str, number: int = 0) -> Path:
        """Return the path of the new port."""
        device = self.device(where)
        interface = device / f"{where}:1.0"
        port = interface / name
        port.mkdir(parents=True)
        for path, text in (
            (device / "idVendor", "0403"),
            (device / "idProduct", "6001"),
            (device / "busnum", "1"),
            (device / "devnum", "4"),
            (device / "authorized", "1"),
            (interface / "bInterfaceNumber", "00"),
            (port / "port_number", str(number)),
        ):
            path.write_text(f"{text}\n", encoding="ascii")
        (device / "serial").unlink(missing_ok=True)
        if serial:
            (device / "serial").write_text(f"{serial}\n", encoding="ascii")
        ours, hosts = os.openpty()
        tty.setraw(hosts)
        os.set_blocking(ours, False)
        self._descriptors[name] = (ours, hosts)
        entry = self.sys / "class/tty" / name
        entry.mkdir()
        (entry / "device").symlink_to(port)
        status = os.fstat(hosts)
        numbers = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        (self.sys / "dev/char" / numbers).symlink_to(entry)
        (self.dev / name).symlink_to(os.ttyname(hosts))
        return self.dev / name

    def unplug(self, name: str) -> None:
        ours, hosts = self._descriptors.pop(name)
        status = os.fstat(hosts)
        numbers = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        (self.sys / "dev/char" / numbers).unlink()
        entry = self.sys / "class/tty" / name
        port = (entry / "device").readlink()
        (entry / "device").unlink()
        entry.rmdir()
        (port / "port_number").unlink()
        port.rmdir()
        (self.dev / name).unlink()
        os.close(ours)
        os.close(hosts)

    def say(self, name: str, data: bytes) -> None:
        """Let the device behind a port say something."""
        os.write(self._descriptors[name][0], data)

    def heard(self, name: str) -> bytes:
        """Return what was said to the device so far."""
        try:
            return os.read(self._descriptors[name][0], 4096)
        except BlockingIOError:
            return b""
