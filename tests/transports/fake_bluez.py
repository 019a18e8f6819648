"""A small BlueZ on a private bus, so that the real bleak can be tested without a radio.

It knows one adapter, answers what bleak asks of it (active discovery and passive monitors), and
reports advertisements under BlueZ's own rules: only while somebody scans, to a monitor only what
its patterns match, and a repeated advertisement only to who asked for duplicates.
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

ADAPTER_PATH = "/org/bluez/hci0"
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
    """org.bluez with one adapter. ``passive`` False answers as a BlueZ without monitors."""

    def __init__(self, *, passive: bool = True, powered: bool = True) -> None:
        self.passive = passive
        self.sessions: dict[str, dict[str, Any]] = {}
        """Who discovers actively, with what filter."""
        self.patterns: dict[tuple[str, str], list[tuple[int, int, bytes]]] = {}
        """Activated monitors by owner and path."""
        self.starts = 0
        self._registered: set[tuple[str, str]] = set()
        """Monitors that wait for their owner to export them, which clients do afterwards."""
        self._filters: dict[str, dict[str, Any]] = {}
        self._signals = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._objects: dict[str, dict[str, dict[str, Variant]]] = {
            ADAPTER_PATH: {
                ADAPTER: {
                    "Address": Variant("s", "00:00:5E:00:53:01"),
                    "Name": Variant("s", "fake"),
                    "Powered": Variant("b", powered),
                    "Discovering": Variant("b", False),
                    "Roles": Variant("as", ["central"]),
                },
            }
        }
        self._answers: dict[str, Callable[[Message], Message]] = {
            "GetManagedObjects": self._get_managed_objects,
            "SetDiscoveryFilter": self._set_discovery_filter,
            "StartDiscovery": self._start_discovery,
            "StopDiscovery": self._stop_discovery,
            "RegisterMonitor": self._register_monitor,
            "UnregisterMonitor": self._unregister_monitor,
        }

    @property
    def mode(self) -> str:
        """Return how somebody scans now: active, passive, or empty."""
        return "active" if self.sessions else "passive" if self.patterns else ""

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
    ) -> bool:
        """Put one advertisement on the air; tell whether BlueZ reported it to anybody."""
        data = {
            "ManufacturerData": Variant(
                "a{qv}",
                {key: Variant("ay", each) for key, each in (manufacturer_data or {}).items()},
            ),
            "ServiceData": Variant(
                "a{sv}", {key: Variant("ay", each) for key, each in (service_data or {}).items()}
            ),
        }
        structures = _structures(flags, manufacturer_data or {}, service_data or {})
        path = f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}"
        known = self._objects.get(path, {}).get(DEVICE)
        news = known is None or any(known[key] != value for key, value in data.items())
        duplicates = any(each.get("DuplicateData") for each in self.sessions.values())
        active = bool(self.sessions) and (news or duplicates)
        passive = any(_matches(each, structures) for each in self.patterns.values())
        if not active and not passive:
            return False
        changed = {"RSSI": Variant("n", rssi), **data}
        if known is not None:
            known.update(changed)
            await self._signal(
                path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, changed, []]
            )
            return True
        self._objects[path] = {DEVICE: {**_new_device(address, name), **changed}}
        await self._signal(
            "/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, self._objects[path]]
        )
        return True

    async def power(self, *, on: bool) -> None:
        """Switch the adapter; off ends all scans, as BlueZ does."""
        if not on:
            self.sessions.clear()
            self.patterns.clear()
        changed = {"Powered": Variant("b", on)}
        self._objects[ADAPTER_PATH][ADAPTER].update(changed)
        await self._signal(
            ADAPTER_PATH, PROPERTIES, "PropertiesChanged", "sa{sv}as", [ADAPTER, changed, []]
        )

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
        self.sessions.pop(owner, None)
        self.patterns = {key: value for key, value in self.patterns.items() if key[0] != owner}

    def _get_managed_objects(self, message: Message) -> Message:
        return Message.new_method_return(message, "a{oa{sa{sv}}}", [self._objects])

    def _set_discovery_filter(self, message: Message) -> Message:
        wanted = {key: variant.value for key, variant in message.body[0].items()}
        self._filters[message.sender or ""] = wanted
        return Message.new_method_return(message)

    def _start_discovery(self, message: Message) -> Message:
        if not self._objects[ADAPTER_PATH][ADAPTER]["Powered"].value:
            return Message.new_error(message, "org.bluez.Error.NotReady", "Resource Not Ready")
        self.starts += 1
        sender = message.sender or ""
        self.sessions[sender] = self._filters.get(sender, {})
        return Message.new_method_return(message)

    def _stop_discovery(self, message: Message) -> Message:
        if self.sessions.pop(message.sender or "", None) is None:
            return Message.new_error(message, "org.bluez.Error.Failed", "No discovery started")
        return Message.new_method_return(message)

    def _register_monitor(self, message: Message) -> Message:
        if not self.passive:
            error = "org.freedesktop.DBus.Error.UnknownMethod"
            return Message.new_error(message, error, "Method is not implemented")
        self.starts += 1
        self._registered.add((message.sender or "", message.body[0]))
        return Message.new_method_return(message)

    async def _activate(self, owner: str, path: str) -> None:
        reply = await self._call(owner, path, f"{PROPERTIES}.GetAll", "s", [MONITOR])
        properties = reply.body[0]
        assert properties["Type"].value == "or_patterns"
        self._registered.discard((owner, path))
        self.patterns[owner, path] = [
            (start, kind, bytes(content)) for start, kind, content in properties["Patterns"].value
        ]
        await self._call(owner, path, f"{MONITOR}.Activate")

    def _unregister_monitor(self, message: Message) -> Message:
        if self.patterns.pop((message.sender or "", message.body[0]), None) is None:
            return Message.new_error(message, "org.bluez.Error.DoesNotExist", "Does Not Exist")
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


def _new_device(address: str, name: str) -> dict[str, Variant]:
    device = {
        "Address": Variant("s", address),
        "AddressType": Variant("s", "random"),
        "Adapter": Variant("o", ADAPTER_PATH),
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
