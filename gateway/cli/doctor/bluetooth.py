"""Looks at BlueZ and its adapters, where a sensor needs them. Nothing is switched or scanned."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gateway.cli.doctor.bluez_objects import (
    ADAPTER,
    MONITORS,
    BusMissing,
    Denied,
    Nobody,
    Objects,
    ask_bluez,
)
from gateway.cli.doctor.box import Box, System
from gateway.cli.doctor.finding import Finding, Trouble
from gateway.cli.doctor.loops import finish
from gateway.config.model import BluetoothSection

__all__ = ["TROUBLES", "look"]

PASSIVE_SINCE = (5, 56)
"""The first BlueZ with advertisement monitors; Debian 12 has 5.66."""
BLUETOOTHD = ("/usr/libexec/bluetooth/bluetoothd", "/usr/lib/bluetooth/bluetoothd")
WHY = "No Bluetooth sensor is heard."
BUS = Trouble("bus_missing", "fail", WHY, "sudo apt install dbus && sudo systemctl start dbus")
MISSING = Trouble(
    "bluez_missing",
    "fail",
    WHY,
    "sudo apt install bluez && sudo systemctl enable --now bluetooth",
)
DENIED = Trouble(
    "bluetooth_permission",
    "fail",
    WHY,
    "sudo usermod --append --groups bluetooth {user}; then sudo systemctl restart citylab-gateway",
)
OLD = Trouble(
    "bluez_old",
    "warn",
    "It cannot listen passively: the gateway sends requests to every device around.",
    "sudo apt update && sudo apt install bluez",
)
EXPERIMENTAL = Trouble(
    "bluez_not_experimental",
    "fail",
    'mode = "passive" needs what BlueZ has behind a switch only; nothing is heard without it.',
    "printf '[Service]\\nExecStart=\\nExecStart={program} --experimental\\n' | sudo install -D "
    "-m 644 /dev/stdin /etc/systemd/system/bluetooth.service.d/experimental.conf; sudo "
    'systemctl daemon-reload; sudo systemctl restart bluetooth; or mode = "auto"',
)
NO_ADAPTER = Trouble(
    "adapter_missing",
    "fail",
    WHY,
    "plug it in; bluetoothctl list shows what is there; on a Pi: no dtoverlay=disable-bt in "
    "/boot/firmware/config.txt",
)
BLOCKED = Trouble("adapter_blocked", "fail", WHY, "sudo rfkill unblock bluetooth")
BLOCKED_HARD = Trouble(
    "adapter_switched_off", "fail", WHY, "look for a switch of the device, or its setup program"
)
OFF = Trouble("adapter_off", "fail", WHY, "bluetoothctl power on")
TROUBLES = (
    BUS, MISSING, DENIED, OLD, EXPERIMENTAL, NO_ADAPTER, BLOCKED, BLOCKED_HARD, OFF,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Adapter:
    """One adapter as BlueZ describes it; the address is for comparing alone."""

    name: str
    address: str
    powered: bool
    central: bool
    monitors: bool


def look(box: Box) -> Iterator[Finding]:
    """Yield what keeps Bluetooth sensors from being heard, or that nothing does."""
    configuration = box.configuration
    if configuration is None or configuration.bluetooth.replay:
        return
    if not any(sensor.address for sensor in configuration.sensor):
        return
    try:
        objects = finish(ask_bluez())
    except BusMissing as error:
        yield BUS.found("bluetooth", f"the system bus does not answer: {error}")
    except Denied:
        user = box.account.name
        yield DENIED.found("bluetooth", "BlueZ does not talk to this user", user=user)
    except Nobody:
        yield MISSING.found("bluetooth", "BlueZ does not run")
    else:
        adapters = _adapters(objects)
        yield from _look_at_bluez(box.system, configuration.bluetooth, adapters)
        yield from _look_at_adapters(box.system, configuration.bluetooth, adapters)


def _adapters(objects: Objects) -> list[_Adapter]:
    found = []
    for path, interfaces in sorted(objects.items()):
        if ADAPTER in interfaces:
            own: Mapping[str, object] = interfaces[ADAPTER]
            roles = own.get("Roles")
            found.append(
                _Adapter(
                    name=path.rpartition("/")[2],
                    address=str(own.get("Address", "")),
                    powered=own.get("Powered") is True,
                    central="central" in (roles if isinstance(roles, list) else ["central"]),
                    monitors=MONITORS in interfaces,
                )
            )
    return found


def _look_at_bluez(
    system: System, section: BluetoothSection, adapters: list[_Adapter]
) -> Iterator[Finding]:
    version = _version(system)
    shown = "BlueZ" if version is None else f"BlueZ {version[0]}.{version[1]}"
    passive = any(adapter.monitors for adapter in adapters)
    wants = section.mode in ("auto", "passive")
    if wants and version is not None and version < PASSIVE_SINCE:
        yield OLD.found("bluetooth", f"{shown}; listening passively needs 5.56")
    elif section.mode == "passive" and adapters and not passive:
        program = next((each for each in BLUETOOTHD if system.path(each).exists()), BLUETOOTHD[0])
        yield EXPERIMENTAL.found("bluetooth", f"{shown} without --experimental", program=program)
    else:
        how = "can listen passively" if passive else "scans actively, without --experimental"
        yield Finding.fine("bluetooth", f"{shown} runs and {how}")


def _version(system: System) -> tuple[int, int] | None:
    for program in (*(str(system.path(each)) for each in BLUETOOTHD), "bluetoothctl"):
        match = re.search(r"(\d+)\.(\d+)", system.call(program, "--version") or "")
        if match:
            return int(match[1]), int(match[2])
    return None


def _look_at_adapters(
    system: System, section: BluetoothSection, adapters: list[_Adapter]
) -> Iterator[Finding]:
    usable = [adapter for adapter in adapters if adapter.central]
    if not section.adapters:
        chosen = next((each for each in usable if each.powered), next(iter(usable), None))
        yield _look_at(system, "the adapter", chosen)
        return
    for number, wanted in enumerate(section.adapters, start=1):
        # By number: an address does not belong into a report.
        subject = wanted if wanted.startswith("hci") else f"adapter {number} of the configuration"
        found = (each for each in usable if wanted in (each.name, each.address))
        yield _look_at(system, subject, next(found, None))


def _look_at(system: System, subject: str, adapter: _Adapter | None) -> Finding:
    if adapter is None:
        return NO_ADAPTER.found("bluetooth", f"{subject} is not there")
    if adapter.powered:
        return Finding.fine(f"adapter {adapter.name}", "is switched on")
    blocked = _blocked(system, adapter.name)
    subject = f"adapter {adapter.name}"
    if "hard" in blocked:
        return BLOCKED_HARD.found(subject, "is switched off by hardware (rfkill)")
    if "soft" in blocked:
        return BLOCKED.found(subject, "is blocked by rfkill")
    return OFF.found(subject, "is switched off")


def _blocked(system: System, name: str) -> Iterable[str]:
    """Return how rfkill blocks an adapter: soft, hard, both or not at all."""
    for entry in system.names("/sys/class/rfkill"):
        folder = f"/sys/class/rfkill/{entry}"
        if (system.read(f"{folder}/type") or "").strip() != "bluetooth":
            continue
        if (system.read(f"{folder}/name") or "").strip() == name:
            return [
                kind
                for kind in ("soft", "hard")
                if (system.read(f"{folder}/{kind}") or "").strip() == "1"
            ]
    return []
