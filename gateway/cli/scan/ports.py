"""Which serial ports there are, and what the USB knows of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

__all__ = ["Port", "find_ports"]

BY_ID = Path("/dev/serial/by-id")


@dataclass(frozen=True, slots=True)
class Port:
    """One serial port; empty text where nothing is known."""

    path: str
    """The name that stays the same, where it has one."""
    device: str
    """As the kernel calls it now: ``/dev/ttyUSB0``."""
    vendor: str = ""
    product: str = ""
    usb_id: str = ""
    """``1a86:7523``."""


def find_ports(wanted: Iterable[str]) -> list[Port]:
    """Return all ports, or the wanted ones, with what is known of them; sorted by name."""
    names = _stable_names()
    known = {
        info.device: Port(
            path=names.get(info.device, info.device),
            device=info.device,
            vendor=info.manufacturer or "",
            product=info.product or "",
            usb_id=f"{info.vid:04x}:{info.pid:04x}" if info.vid is not None else "",
        )
        for info in list_ports.comports()
    }
    chosen = [known.get(_real(path), Port(path, _real(path))) for path in wanted]
    return sorted(chosen or known.values(), key=lambda port: port.path)


def _stable_names() -> dict[str, str]:
    try:
        links = sorted(BY_ID.iterdir())
    except OSError:
        return {}
    return {_real(str(link)): str(link) for link in links}


def _real(path: str) -> str:
    return str(Path(path).resolve())
