"""What a person at the cabinet can do about a port."""

import grp
import os
from pathlib import Path

__all__ = ["advice", "radio_advice"]

BUSY = "in use by another program"
BLUETOOTH = Path("/sys/class/bluetooth")
RFKILL = Path("/sys/class/rfkill")
START_BLUEZ = "sudo apt install bluez && sudo systemctl enable --now bluetooth"
RADIO_ADVICE = (
    (("AccessDenied", "AuthError", "denied"), "sudo usermod -aG bluetooth $USER, and log in again"),
    (("ServiceUnknown", "NameHasNoOwner", "NoSuchUnit", "Spawn"), START_BLUEZ),
    (("powered", "NotReady"), "bluetoothctl power on"),
)
"""What is in the reason -> what mends it."""
NO_BUS = (os.strerror(2), os.strerror(111))


def advice(path: str, reason: str) -> str:
    """Return what mends it when a port cannot be opened for this reason; empty if nobody knows."""
    if reason == BUSY:
        return "if that is the gateway: sudo systemctl stop citylab-gateway"
    if reason == os.strerror(13):
        return f"sudo usermod -aG {_group(path)} $USER, and log in again"
    if reason == os.strerror(2):
        return "is it plugged in? citylab-gateway scan --serial lists what there is"
    return ""


def radio_advice(target: str, reason: str) -> str:
    """Return what mends it when Bluetooth cannot be listened to; empty if nobody knows."""
    if target == "system bus" and any(word in reason for word in NO_BUS):
        return "sudo apt install dbus bluez && sudo systemctl start dbus bluetooth"
    adapters = sorted(each.name for each in _entries(BLUETOOTH) if ":" not in each.name)
    if not adapters:
        return (
            "the kernel knows no adapter: plug one in; on a Raspberry Pi, see that "
            "/boot/firmware/config.txt has no dtoverlay=disable-bt"
        )
    if blocked := _blocked():
        return blocked
    for words, help_ in RADIO_ADVICE:
        if any(word in reason for word in words):
            return help_
    if "adapter" in reason and target not in adapters:
        return f"there is {' and '.join(adapters)}"
    return ""


def _blocked() -> str:
    """Return how to switch the radio on where the kernel keeps it off."""
    for switch in _entries(RFKILL):
        if _text(switch / "type") != "bluetooth":
            continue
        if _text(switch / "hard") == "1":
            return "Bluetooth is switched off at the machine itself: by a key or in its setup"
        if _text(switch / "soft") == "1":
            return "sudo rfkill unblock bluetooth"
    return ""


def _entries(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _group(path: str) -> str:
    """Return the group that may use a port; dialout where that cannot be found out."""
    try:
        return grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"
