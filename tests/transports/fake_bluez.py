"""A small BlueZ on a private bus, so that the real bleak can be tested without a radio.

It knows one adapter or several, answers what bleak asks of it (active discovery and passive
monitors), and reports advertisements under BlueZ's own rules: only while somebody scans, to a
monitor only what its patterns match, and a repeated advertisement only to who asked for duplicates.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.constants import BusType, MessageFlag

ADAPTER = "org.bluez.Adapter1"
DEVICE = "org.bluez.Device1"
MONITOR = "org.bluez.AdvertisementMonitor1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
BUS = "org.freedesktop.DBus"
ROUND_TRIP_EVERY = 50
"""A round trip to the bus after so many signals keeps the socket from filling up; dbus-fast gives
up a connection whose socket is full."""
SCAN_TIMEOUT_S = 10
FLAGS_TYPE = 0x01
COMPANY_TYPE = 0xFF
UUID16_DATA_TYPE = 0x16

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
</busconfig>
"""


class PrivateBus:
    """A dbus-daemon of our own that can die and come back at the same address."""

    def __init__(self, directory: Path) -> None:
        self.address = f"unix:path={directory}/bus"
        self._config = directory / "bus.conf"
        self._config.write_text(CONFIG.format(address=self.address))
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("dbus-daemon", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        assert program
        self._daemon = subprocess.Popen(
            [program, f"--config-file={self._config}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # root is told that it has fewer descriptors than wished
        )
        assert self._daemon.stdout
        assert self._daemon.stdout.readline().startswith(b"unix:")  # it listens now

    def kill(self) -> None:
        if self._daemon is None:
            return
        self._daemon.kill()
        self._daemon.wait()
        assert self._daemon.stdout
        self._daemon.stdout.close()
        self._daemon = None


class FakeBlueZ:
    """org.bluez with hci0, or so many adapters. ``passive`` False: a BlueZ without monitors."""

    def __init__(self, *, passive: bool = True, powered: bool = True, adapters: int = 1) -> None:
        self.passive = passive
        self.sessions: dict[tuple[str, str], dict[str, Any]] = {}
        """Which adapter discovers actively for whom, with what filter."""
        self.busy = 0
        """So many times StartDiscovery is answered with InProgress, whoever asks."""
        self.switchable = True
        """Clients may switch adapters off and on."""
        self.refusals_on = 0
        """So many times an adapter does not switch on when it is told to."""
        self.switched: list[tuple[str, bool]] = []
        """What clients switched: adapter and whether on."""
        self.patterns: dict[tuple[str, str], list[tuple[int, int, bytes]]] = {}
        """Activated monitors by owner and path."""
        self._monitored: dict[tuple[str, str], str] = {}
        """The adapter of each monitor."""
        self.starts = 0
        self._registered: set[tuple[str, str]] = set()
        """Monitors that wait for their owner to export them, which clients do afterwards."""
        self._filters: dict[str, dict[str, Any]] = {}
        self._signals = 0
        self._scanned = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._objects: dict[str, dict[str, dict[str, Variant]]] = {
            f"/org/bluez/hci{number}": _new_adapter(number, powered=powered)
            for number in range(adapters)
        }
        self._answers: dict[str, Callable[[Message], Message]] = {
            "GetManagedObjects": self._get_managed_objects,
            "SetDiscoveryFilter": self._set_discovery_filter,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
            "RegisterMonitor": self._register_monitor,
            "UnregisterMonitor": self._unregister_monitor,
            "Set": self._set,
        }

    @property
    def mode(self) -> str:
        """Return how somebody scans now: active, passive, or empty."""
        return "active" if self.sessions else "passive" if self.patterns else ""

    @property
    def scanning(self) -> set[str]:
        """Return the names of the adapters with which somebody scans."""
        paths = {path for path, _ in self.sessions} | {
            self._monitored[key] for key in self.patterns
        }
        return {path.rpartition("/")[2] for path in paths}

    @property
    def devices(self) -> list[str]:
        """Return the paths of the devices that BlueZ knows."""
        return [path for path, interfaces in self._objects.items() if DEVICE in interfaces]

    async def start(self) -> None:
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._on_message)
        for rule in (
            f"type='signal',interface='{BUS}',member='NameOwnerChanged'",
            f"type='signal',interface='{OBJECTS}',member='InterfacesAdded'",
        ):
            await self._call(BUS, "/org/freedesktop/DBus", f"{BUS}.AddMatch", "s", [rule])
        await self._bus.request_name("org.bluez")

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._bus.connected:
            self._bus.disconnect()
            await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]

    async def advert(
        self,
        address: str,
        *,
        rssi: int = -60,
        name: str = "",
        flags: int | None = 0x06,
        manufacturer_data: Mapping[int, bytes] | None = None,
        service_data: Mapping[str, bytes] | None = None,
        adapter: str = "hci0",
    ) -> bool:
        """Put one advertisement on the air; tell whether BlueZ reported it to anybody."""
        adapter = f"/org/bluez/{adapter}"
        data: dict[str, Variant] = {}
        if manufacturer_data:
            values = {key: Variant("ay", each) for key, each in manufacturer_data.items()}
            data["ManufacturerData"] = Variant("a{qv}", values)
        if service_data:
            contents = {key: Variant("ay", each) for key, each in service_data.items()}
            data["ServiceData"] = Variant("a{sv}", contents)
        structures = _structures(flags, manufacturer_data or {}, service_data or {})
        path = f"{adapter}/dev_{address.replace(':', '_')}"
        known = self._objects.get(path, {}).get(DEVICE)
        news = known is None or any(known.get(key) != value for key, value in data.items())
        filters = [each for (where, _), each in self.sessions.items() if where == adapter]
        active = bool(filters) and (news or any(each.get("DuplicateData") for each in filters))
        passive = any(
            self._monitored[key] == adapter and _matches(each, structures)
            for key, each in self.patterns.items()
        )
        if not active and not passive:
            return False
        changed = {"RSSI": Variant("n", rssi), **data}
        if known is not None:
            known.update(changed)
            await self._signal(
                path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, changed, []]
            )
            return True
        self._objects[path] = {DEVICE: {**_new_device(address, name, adapter), **changed}}
        await self._signal(
            "/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, self._objects[path]]
        )
        return True

    async def change(self, address: str, *, adapter: str = "hci0", **changed: Variant) -> None:
        """Tell of a change of a known device that no advertisement of ours brought."""
        path = f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}"
        self._objects[path][DEVICE].update(changed)
        await self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, changed, []])

    async def forget(self, address: str, *, adapter: str = "hci0") -> None:
        """Forget a device that has not been heard for a while."""
        await self._remove(f"/org/bluez/{adapter}/dev_{address.replace(':', '_')}", DEVICE)

    async def power(self, *, on: bool, adapter: str = "hci0") -> None:
        """Switch an adapter; off ends its scans, as BlueZ does."""
        path = f"/org/bluez/{adapter}"
        if not on:
            self._end_scans(path)
        changed = {"Powered": Variant("b", on)}
        self._objects[path][ADAPTER].update(changed)
        await self._signal(
            path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [ADAPTER, changed, []]
        )

    async def unplug(self, adapter: str = "hci0") -> None:
        """Pull an adapter out, with all that it has heard."""
        gone = f"/org/bluez/{adapter}"
        self._end_scans(gone)
        for path in [each for each in self._objects if each.startswith(f"{gone}/")]:
            await self._remove(path, DEVICE)
        await self._remove(gone, ADAPTER)

    async def plug(self, number: int = 0, *, address_of: int | None = None) -> None:
        """Plug an adapter in, which gets this number; ``address_of`` 1: it is what hci1 was."""
        path = f"/org/bluez/hci{number}"
        self._objects[path] = _new_adapter(
            number if address_of is None else address_of, powered=True
        )
        await self._signal(
            "/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, self._objects[path]]
        )

    def _end_scans(self, adapter: str) -> None:
        self.sessions = {key: each for key, each in self.sessions.items() if key[0] != adapter}
        self.patterns = {
            key: each for key, each in self.patterns.items() if self._monitored[key] != adapter
        }

    async def _remove(self, path: str, interface: str) -> None:
        del self._objects[path]
        await self._signal("/", OBJECTS, "InterfacesRemoved", "oas", [path, [interface]])

    async def until_scanned(self) -> None:
        """Return when somebody has begun to scan.

        A client that registered a monitor calls itself scanning, while BlueZ has yet to ask it what
        it wants to hear.
        """
        async with asyncio.timeout(SCAN_TIMEOUT_S):
            await self._scanned.wait()

    async def settled(self) -> None:
        """Return when the bus has taken all that was sent."""
        await self._call(BUS, "/", "org.freedesktop.DBus.Peer.Ping")

    async def _signal(
        self, path: str, interface: str, member: str, signature: str, body: list[Any]
    ) -> None:
        await self._bus.send(
            Message.new_signal(
                path=path, interface=interface, member=member, signature=signature, body=body
            )
        )
        self._signals += 1
        if self._signals % ROUND_TRIP_EVERY == 0:
            await self.settled()

    async def _call(
        self,
        destination: str,
        path: str,
        method: str,
        signature: str = "",
        body: list[Any] | None = None,
    ) -> Message:
        interface, _, member = method.rpartition(".")
        return await self._bus.call(
            Message(
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=body or [],
            )
        )

    def _on_message(self, message: Message) -> Message | None:
        if message.message_type is MessageType.SIGNAL:
            self._on_signal(message)
            return None
        if message.message_type is not MessageType.METHOD_CALL:
            return None
        assert not message.flags & MessageFlag.NO_REPLY_EXPECTED
        answer = self._answers.get(message.member or "")
        return answer(message) if answer else None

    def _on_signal(self, message: Message) -> None:
        if message.member == "NameOwnerChanged":
            name, _, owner = message.body
            if not owner:
                self._forget(name)
        elif message.member == "InterfacesAdded" and MONITOR in message.body[1]:
            monitor = (message.sender or "", message.body[0])
            if monitor in self._registered:
                task = asyncio.create_task(self._activate(*monitor))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _forget(self, owner: str) -> None:
        self.sessions = {key: each for key, each in self.sessions.items() if key[1] != owner}
        self.patterns = {key: value for key, value in self.patterns.items() if key[0] != owner}
        if not self.mode:
            self._scanned.clear()

    def _get_managed_objects(self, message: Message) -> Message:
        return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])

    def _set_discovery_filter(self, message: Message) -> Message:
        wanted = {key: variant.value for key, variant in message.body[0].items()}
        self._filters[message.sender or ""] = wanted
        return Message.new_method_return(message)

    def _start_discovery(self, message: Message) -> Message:
        session = (message.path or "", message.sender or "")
        if not self._objects[session[0]][ADAPTER]["Powered"].value:
            return Message.new_error(message, "org.bluez.Error.NotReady", "Resource Not Ready")
        if session in self.sessions or self.busy:
            self.busy = max(self.busy - 1, 0)
            return Message.new_error(message, "org.bluez.Error.InProgress", "In progress")
        self.starts += 1
        self.sessions[session] = self._filters.get(session[1], {})
        self._scanned.set()
        return Message.new_method_return(message)

    def _stop_discovery(self, message: Message) -> Message:
        if self.sessions.pop((message.path or "", message.sender or ""), None) is None:
            return Message.new_error(message, "org.bluez.Error.Failed", "No discovery started")
        return Message.new_method_return(message)

    def _register_monitor(self, message: Message) -> Message:
        if not self.passive:
            error = "org.freedesktop.DBus.Error.UnknownMethod"
            return Message.new_error(message, error, "Method is not implemented")
        self.starts += 1
        monitor = (message.sender or "", message.body[0])
        self._registered.add(monitor)
        self._monitored[monitor] = message.path or ""
        return Message.new_method_return(message)

    async def _activate(self, owner: str, path: str) -> None:
        reply = await self._call(owner, path, f"{PROPERTIES}.GetAll", "s", [MONITOR])
        properties = reply.body[0]
        assert properties["Type"].value == "or_patterns"
        self._registered.discard((owner, path))
        self.patterns[owner, path] = [
            (start, kind, bytes(content)) for start, kind, content in properties["Patterns"].value
        ]
        self._scanned.set()
        await self._call(owner, path, f"{MONITOR}.Activate")

    def _unregister_monitor(self, message: Message) -> Message:
        if self.patterns.pop((message.sender or "", message.body[0]), None) is None:
            return Message.new_error(message, "org.bluez.Error.DoesNotExist", "Does Not Exist")
        return Message.new_method_return(message)

    def _set(self, message: Message) -> Message:
        interface, name, value = message.body
        assert (interface, name) == (ADAPTER, "Powered")
        if value.value and self.refusals_on:
            self.refusals_on -= 1
            return Message.new_error(message, "org.bluez.Error.Failed", "no")
        if not self.switchable:
            return Message.new_error(message, "org.freedesktop.DBus.Error.AccessDenied", "no")
        adapter = (message.path or "").rpartition("/")[2]
        self.switched.append((adapter, value.value))
        self._objects[f"/org/bluez/{adapter}"][ADAPTER]["Powered"] = value
        task = asyncio.create_task(self.power(on=value.value, adapter=adapter))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Message.new_method_return(message)


def _structures(
    flags: int | None, manufacturer_data: Mapping[int, bytes], service_data: Mapping[str, bytes]
) -> list[tuple[int, bytes]]:
    """Return the AD structures (type, content) that an advertisement would consist of."""
    found = [] if flags is None else [(FLAGS_TYPE, bytes([flags]))]
    found += [
        (COMPANY_TYPE, company.to_bytes(2, "little") + content)
        for company, content in manufacturer_data.items()
    ]
    found += [
        (UUID16_DATA_TYPE, bytes.fromhex(uuid[4:8])[::-1] + content)
        for uuid, content in service_data.items()
    ]
    return found


def _matches(patterns: list[tuple[int, int, bytes]], structures: list[tuple[int, bytes]]) -> bool:
    return any(
        kind == wanted and content[start : start + len(pattern)] == pattern
        for start, wanted, pattern in patterns
        for kind, content in structures
    )


def _new_adapter(number: int, *, powered: bool) -> dict[str, dict[str, Variant]]:
    return {
        ADAPTER: {
            "Address": Variant("s", adapter_address(number)),
            "Name": Variant("s", "fake"),
            "Powered": Variant("b", powered),
            "Discovering": Variant("b", False),
            "Roles": Variant("as", ["central"]),
        },
    }


def adapter_address(number: int) -> str:
    """Return the own address of the adapter that came as hci<number>."""
    return f"00:00:5E:00:53:{number + 1:02X}"


def _new_device(address: str, name: str, adapter: str) -> dict[str, Variant]:
    device = {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Adapter": Variant("o", adapter),
        "Alias": Variant("s", name or address.replace(":", "-")),
        "Connected": Variant("b", False),
        "Paired": Variant("b", False),
        "Trusted": Variant("b", False),
        "Blocked": Variant("b", False),
        "LegacyPairing": Variant("b", False),
        "ServicesResolved": Variant("b", False),
        "UUIDs": Variant("as", []),
    }
    if name:
        device["Name"] = Variant("s", name)
    return device
