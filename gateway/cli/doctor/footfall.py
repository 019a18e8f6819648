"""Looks whether the system around a counting gateway writes to the disk what was to be forgotten.

The gateway itself keeps no address (PRIV-01); BlueZ and swapping would do it behind its back.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from gateway.cli.doctor.finding import Finding
from gateway.cli.doctor.storage import file_system_of
from gateway.config.model import SensorSection
from gateway.driver import driver_class, is_crowd

__all__ = ["examine_footfall"]

BLUEZ = Path("/var/lib/bluetooth")
CACHE = "cache"
"""In a directory that is named after the adapter: one file per device, named after its address."""
MOUNTS = Path("/proc/self/mounts")
SWAPS = Path("/proc/swaps")
IN_MEMORY = ("tmpfs", "ramfs")
WHY_BLUEZ = "BlueZ keeps there, on the disk, the addresses of devices that send their name."
MEND_BLUEZ = (
    "delete what is there, and put into /etc/fstab: "
    "tmpfs /var/lib/bluetooth tmpfs mode=0700,size=8m 0 0"
)
WHY_SWAP = "What passes is in memory for a while; swapped out it lies where nothing overwrites it."


def examine_footfall(
    sensors: Iterable[SensorSection],
    *,
    bluez: Path = BLUEZ,
    mounts: Path = MOUNTS,
    swaps: Path = SWAPS,
) -> Iterator[Finding]:
    """Yield what is wrong for each sensor that counts whoever passes, or that nothing is."""
    for sensor in sensors:
        driver = driver_class(sensor.driver)
        if driver is None or not is_crowd(driver):
            continue
        subject = f"sensor {sensor.name}"
        findings = [
            *_bluez(subject, bluez, mounts.read_text(encoding="utf-8")),
            *_swap(subject, swaps),
        ]
        detail = "neither BlueZ nor swapping writes to the disk who passes"
        yield from findings or [Finding("ok", subject, detail)]


def _bluez(subject: str, directory: Path, mounts: str) -> Iterator[Finding]:
    try:
        kept = [place / CACHE for place in sorted(directory.iterdir())]
        on_disk = {file_system_of(each, mounts) for each in kept if each.is_dir()} - {*IN_MEMORY}
        detail = f"{directory}/*/{CACHE} is on {', '.join(sorted(on_disk))}"
    except FileNotFoundError:
        return
    except PermissionError:  # as a rule it is root's; then what holds it has to do
        on_disk = {file_system_of(directory, mounts)} - {*IN_MEMORY}
        detail = f"{directory} is on {', '.join(on_disk)}"
    if on_disk:
        yield Finding("warn", subject, detail, WHY_BLUEZ, MEND_BLUEZ, "bluez_cache")


def _swap(subject: str, swaps: Path) -> Iterator[Finding]:
    try:
        lines = swaps.read_text(encoding="utf-8").splitlines()[1:]
    except FileNotFoundError:  # a kernel that cannot swap
        return
    places = [line.split()[0] for line in lines if line.strip()]
    if places:
        detail = f"swapping is on: {', '.join(places)}"
        mend = (
            "sudo swapoff --all, and for good: sudo systemctl disable --now dphys-swapfile, "
            "or the line in /etc/fstab"
        )
        yield Finding("warn", subject, detail, WHY_SWAP, mend, "swap")
