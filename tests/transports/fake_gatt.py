"""The small BlueZ of the tests, with devices that can be connected to."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from dbus_fast import Message, Variant

from tests.transports.fake_bluez import DEVICE, OBJECTS, PROPERTIES, FakeBlueZ

SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
FAILED = "org.bluez.Error.Failed"
ABORTED = "le-connection-abort-by-local"
FIRST_HANDLE = 0x0010
NO_ANSWER = cast("Message", True)
How = Literal["answers", "hangs", "refuses", "drops", "vanishes"]


@dataclass
class Peripheral:
    """A device and how it behaves; a test may change that at any time."""

    characteristics: dict[str, bytes]
    answers: Mapping[tuple[str, bytes], tuple[str, Sequence[bytes]]] = field(default_factory=dict)
    """What was written to which characteristic -> which one notifies what."""
    connect: How = "answers"
    read: How = "answers"
    """drops: it is disconnected; vanishes: and the question is never answered."""
    connects: int = 0
    disconnects: int = 0
    reads: list[str] = field(default_factory=list)


class FakeGatt(FakeBlueZ):
    """Knows one peripheral by address for each that was added; hears nothing while it connects."""

    def __init__(self) -> None:
        super().__init__()
        self.peripherals: dict[str, Peripheral] = {}
        """By the D-Bus path of the device."""
        self.connected: set[str] = set()
        self.most_connected = 0
        self.mute = False
        """Disconnect is never answered."""
        self._connecting: dict[str, Message] = {}
        self._uuids: dict[str, str] = {}
        self._answers |= {
            "Connect": self._on_connect,
            "Disconnect": self._on_disconnect,
            "ReadValue": self._on_read,
            "WriteValue": self._on_write,
            "StartNotify": self._on_start_notify,
        }
        self._notifying: set[str] = set()

    @property
    def connecting(self) -> bool:
        """Tell whether a connection is being made, which takes the air from the scan."""
        return bool(self._connecting)

    def add_peripheral(self, address: str, peripheral: Peripheral) -> None:
        self.peripherals[_path(address)] = peripheral

    async def advert(self, address: str, **data: Any) -> bool:
        return not self.connecting and await super().advert(address, **data)

    async def let_in(self, address: str) -> None:
        """Let a connection that hangs succeed now."""
        await self._connect(_path(address))

    def _later(self, work: Any) -> Message:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return NO_ANSWER

    def _on_connect(self, message: Message) -> Message:
        path = message.path or ""
        peripheral = self.peripherals[path]
        peripheral.connects += 1
        if peripheral.connect == "refuses":
            return Message.new_error(message, FAILED, "br-connection-refused")
        self._connecting[path] = message
        return NO_ANSWER if peripheral.connect == "hangs" else self._later(self._connect(path))

    async def _connect(self, path: str) -> None:
        message = self._connecting.pop(path)
        self.connected.add(path)
        self.most_connected = max(self.most_connected, len(self.connected))
        await self._change(path, Connected=Variant("b", True))
        for each, interfaces in self._tree(path):
            self._objects[each] = interfaces
            await self._signal("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [each, interfaces])
        await self._change(path, ServicesResolved=Variant("b", True))
        await self._bus.send(Message.new_method_return(message))

    def _tree(self, path: str) -> list[tuple[str, dict[str, dict[str, Variant]]]]:
        service = f"{path}/service{FIRST_HANDLE:04x}"
        found: list[tuple[str, dict[str, dict[str, Variant]]]] = [
            (
                service,
                {
                    SERVICE: {
                        "UUID": Variant("s", "b42e1c08-ade7-11e4-89d3-123b93f75cba"),
                        "Primary": Variant("b", True),
                        "Device": Variant("o", path),
                    }
                },
            )
        ]
        peripheral = self.peripherals[path]
        uuids = dict.fromkeys(peripheral.characteristics)
        for (written, _), (notifies, _) in peripheral.answers.items():
            uuids |= dict.fromkeys((written, notifies))
        for number, uuid in enumerate(uuids):
            where = f"{service}/char{FIRST_HANDLE + 1 + 2 * number:04x}"
            self._uuids[where] = uuid
            found.append(
                (
                    where,
                    {
                        CHARACTERISTIC: {
                            "UUID": Variant("s", uuid),
                            "Service": Variant("o", service),
                            "Flags": Variant("as", ["read", "write", "notify"]),
                            "Notifying": Variant("b", False),
                            "MTU": Variant("q", 23),
                        }
                    },
                )
            )
        return found

    def _on_disconnect(self, message: Message) -> Message:
        if self.mute:
            return NO_ANSWER
        return self._later(self._disconnect(message.path or "", message))

    async def _disconnect(self, path: str, message: Message) -> None:
        pending = self._connecting.pop(path, None)
        if pending is not None:
            await self._bus.send(Message.new_error(pending, FAILED, ABORTED))
        await self._drop(path)
        await self._bus.send(Message.new_method_return(message))

    async def _drop(self, path: str) -> None:
        if path in self.connected:
            self.connected.discard(path)
            self.peripherals[path].disconnects += 1
            await self._change(path, ServicesResolved=Variant("b", False))
            await self._change(path, Connected=Variant("b", False))

    async def _change(self, path: str, **changed: Variant) -> None:
        self._objects[path][DEVICE].update(changed)
        await self._signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [DEVICE, changed, []])

    def _on_read(self, message: Message) -> Message:
        path, uuid = self._of(message)
        peripheral = self.peripherals[path]
        peripheral.reads.append(uuid)
        if peripheral.read == "answers":
            return Message.new_method_return(message, "ay", [peripheral.characteristics[uuid]])
        if peripheral.read == "hangs":
            return NO_ANSWER
        if peripheral.read == "refuses":
            return Message.new_error(message, "org.bluez.Error.NotPermitted", "Read not permitted")
        return self._later(self._lose(path, message, answered=peripheral.read == "drops"))

    async def _lose(self, path: str, message: Message, *, answered: bool) -> None:
        await self._drop(path)
        if answered:
            await self._bus.send(Message.new_error(message, FAILED, "Not connected"))

    def _on_write(self, message: Message) -> Message:
        path, uuid = self._of(message)
        written = (uuid, bytes(message.body[0]))
        notifies, parts = self.peripherals[path].answers.get(written, ("", ()))
        where = next((each for each, known in self._uuids.items() if known == notifies), "")
        assert not parts or where in self._notifying, "written before anybody listened"
        return self._later(self._notify(message, where, parts))

    async def _notify(self, message: Message, where: str, parts: Sequence[bytes]) -> None:
        await self._bus.send(Message.new_method_return(message))
        for part in parts:
            changed = {"Value": Variant("ay", part)}
            await self._signal(
                where, PROPERTIES, "PropertiesChanged", "sa{sv}as", [CHARACTERISTIC, changed, []]
            )

    def _on_start_notify(self, message: Message) -> Message:
        self._notifying.add(message.path or "")
        return Message.new_method_return(message)

    def _of(self, message: Message) -> tuple[str, str]:
        """Return the path of the device and the UUID that a message is about."""
        where = message.path or ""
        return where.partition("/service")[0], self._uuids[where]


def _path(address: str) -> str:
    return f"/org/bluez/hci0/dev_{address.replace(':', '_')}"
