"""What a Raspberry Pi's firmware says about its supply voltage and temperature, where it says so.

Two places tell. The kernel of Raspberry Pi has ``get_throttled``, a hexadecimal word: bits 0 to 3
are the present, bits 16 to 19 whether it was ever so. Other kernels have the driver rpi_volt, which
knows of under-voltage alone, within the last seconds. A box of another make has neither, and then
nothing is told.
"""

import os
from collections.abc import Mapping
from pathlib import Path

__all__ = ["TROUBLES", "power_troubles", "under_voltage_seen"]

SYSTEM = Path("/sys")
GET_THROTTLED = "devices/platform/soc/soc:firmware/get_throttled"
HWMON = "class/hwmon"
MAX_HWMON = 16
"""So many are looked at; a Pi has two or three."""
HWMON_NAME = b"rpi_volt"
HWMON_ALARM = "in0_lcrit_alarm"
TROUBLES: Mapping[str, int] = {
    "under_voltage": 0,
    "frequency_capped": 1,
    "throttled": 2,
    "hot": 3,
}
"""Word -> bit of get_throttled; the same bit 16 places higher says that it has happened."""
HAPPENED_SHIFT = 16
MAX_BYTES = 64
# O_NONBLOCK changes nothing in sysfs, which never waits; it tells so to whoever watches the loop.
_OPEN_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


def power_troubles(system: Path | None = None) -> Mapping[str, bool]:
    """Return for each trouble that is told of whether it lasts; empty where nothing is told."""
    system = system or SYSTEM
    word = _throttled(system)
    if word is not None:
        return {name: bool(word >> bit & 1) for name, bit in TROUBLES.items()}
    alarm = _alarm(system)
    return {} if alarm is None else {"under_voltage": alarm}


def under_voltage_seen(system: Path | None = None) -> bool | None:
    """Return whether the voltage was ever too low, as far back as the firmware remembers.

    None where nothing is told. It remembers since the boot; rpi_volt only for seconds.
    """
    system = system or SYSTEM
    word = _throttled(system)
    if word is not None:
        return bool((word | word >> HAPPENED_SHIFT) >> TROUBLES["under_voltage"] & 1)
    return _alarm(system)


def _throttled(system: Path) -> int | None:
    text = _read(system / GET_THROTTLED)
    if text is None:
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None


def _alarm(system: Path) -> bool | None:
    for number in range(MAX_HWMON):  # by name: listing the folder could block
        folder = system / HWMON / f"hwmon{number}"
        if _read(folder / "name") == HWMON_NAME:
            text = _read(folder / HWMON_ALARM)
            return None if text not in (b"0", b"1") else text == b"1"
    return None


def _read(path: Path) -> bytes | None:
    """Return what a small file holds, without space around it; None if it cannot be read."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return None
    try:
        return os.read(descriptor, MAX_BYTES).strip()
    except OSError:  # the firmware did not answer
        return None
    finally:
        os.close(descriptor)
