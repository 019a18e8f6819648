"""Looks whether the system around a counting gateway writes to the disk what was to be forgotten.

The gateway itself keeps no address (PRIV-01); BlueZ and swapping would do it behind its back.
"""

from collections.abc import Iterator

from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.cli.doctor.mounts import MOUNTS, mount_of
from gateway.cli.doctor.storage import IN_MEMORY
from gateway.driver import driver_class, is_crowd

__all__ = ["TROUBLES", "look"]

BLUEZ = "/var/lib/bluetooth"
CACHE = "cache"
"""In a directory that is named after the adapter: one file per device, named after its address."""
SWAPS = "/proc/swaps"
CACHED = Trouble(
    "bluez_cache",
    "warn",
    "BlueZ keeps there, on the disk, the addresses of devices that send their name.",
    "delete what is there, and put into /etc/fstab: "
    "tmpfs /var/lib/bluetooth tmpfs mode=0700,size=8m 0 0",
)
SWAP = Trouble(
    "swap",
    "warn",
    "What passes is in memory for a while; swapped out it lies where nothing overwrites it.",
    "sudo swapoff --all, and for good: sudo systemctl disable --now dphys-swapfile, "
    "or the line in /etc/fstab",
)
TROUBLES = (CACHED, SWAP)


def look(box: Box) -> Iterator[Finding]:
    """Yield what is wrong for each sensor that counts whoever passes, or that nothing is."""
    sensors = () if box.configuration is None else box.configuration.sensor
    for sensor in sensors:
        driver = driver_class(sensor.driver)
        if driver is None or not is_crowd(driver):
            continue
        subject = f"sensor {sensor.name}"
        findings = [*_bluez(box.system, subject), *_swap(box.system, subject)]
        detail = "neither BlueZ nor swapping writes to the disk who passes"
        yield from findings or [Finding.fine(subject, detail)]


def _bluez(system: System, subject: str) -> Iterator[Finding]:
    directory, mounts = system.path(BLUEZ), system.read(MOUNTS) or ""
    try:
        kept = [place / CACHE for place in sorted(directory.iterdir())]
        on_disk = {mount_of(each, mounts).kind for each in kept if each.is_dir()} - {*IN_MEMORY}
        detail = f"{BLUEZ}/*/{CACHE} is on {', '.join(sorted(on_disk))}"
    except FileNotFoundError:
        return
    except PermissionError:  # as a rule it is root's; then what holds it has to do
        on_disk = {mount_of(directory, mounts).kind} - {*IN_MEMORY}
        detail = f"{BLUEZ} is on {', '.join(on_disk)}"
    if on_disk:
        yield CACHED.found(subject, detail)


def _swap(system: System, subject: str) -> Iterator[Finding]:
    text = system.read(SWAPS)
    if text is None:  # a kernel that cannot swap
        return
    places = [line.split()[0] for line in text.splitlines()[1:] if line.strip()]
    if places:
        yield SWAP.found(subject, f"swapping is on: {', '.join(places)}")
