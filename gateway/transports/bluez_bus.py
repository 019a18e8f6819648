"""Our own small connection to the system bus, beside bleak's.

It knows which adapters there are, what happens to the one that scans, and their switches. bleak
notices a dead bus and says nothing; of a BlueZ that restarted, or of an adapter that was switched
off or pulled out, there is no sign but silence. This connection tells at once.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any, NamedTuple

from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from gateway.errors import PortError
from gateway.transports.ending import Ending

__all__ = [
    "ADAPTER",
    "ERRORS",
    "Adapter",
    "AdapterAbsent",
    "BlueZ",
    "choose_adapter",
    "error_text",
    "keep_libraries_discreet",
]

ERRORS = (BleakError, DBusFastError, OSError, EOFError)
"""What bleak and dbus-fast raise when BlueZ or the bus says no or is gone."""
ANSWER_TIMEOUT_S = 30.0
SWITCH_TIMEOUT_S = 10.0
OFF_S = 1.0
"""So long an adapter stays off when it is switched off and on."""
PRIVATE_LOGGERS = ("bleak", "dbus_fast")
"""Libraries that write whole messages, with addresses, to their debug log."""
ADAPTER = "org.bluez.Adapter1"
BUS = "org.freedesktop.DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECTS = "org.freedesktop.DBus.ObjectManager"
OWNER_RULE = (
    f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged',arg0='org.bluez'"
)
CHANGED_RULE = (
    f"type='signal',sender='org.bluez',interface='{PROPERTIES}',member='PropertiesChanged',"
    "path='{path}'"
)
REMOVED_RULE = (
    f"type='signal',sender='org.bluez',interface='{OBJECTS}',member='InterfacesRemoved',"
    "arg0path='{path}'"
)


class AdapterAbsent(PortError):
    """There is no such adapter, or nobody who could tell; nothing can be done from here."""


class Adapter(NamedTuple):
    """One Bluetooth adapter, as BlueZ describes it."""

    path: str
    address: str
    powered: bool
    central: bool
    """It can scan."""

    @property
    def name(self) -> str:
        """Return the kernel's name, hci0; it may change when adapters are plugged in."""
        return self.path.rpartition("/")[2]


def choose_adapter(adapters: Iterable[Adapter], wanted: str) -> Adapter:
    """Return the adapter with this name or own address; with empty ``wanted`` the first usable.

    AdapterAbsent if there is none, or if it is switched off.
    """
    usable = sorted(each for each in adapters if each.central)
    matching = [each for each in usable if wanted in ("", each.name, each.address)]
    if not matching:
        raise AdapterAbsent(wanted or "bluetooth", "no such adapter")
    powered = [each for each in matching if each.powered]
    if not powered:
        raise AdapterAbsent(matching[0].name, "the adapter is not powered")
    return powered[0]


class BlueZ:
    """A connection to the system bus, of one scan."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, ending: Ending) -> AsyncIterator["BlueZ"]:
        """Be connected; ``ending`` is settled with ``bus`` when that is over.

        AdapterAbsent if the system bus cannot be reached.
        """
        keep_libraries_discreet()
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        except ERRORS as error:
            raise AdapterAbsent("system bus", error_text(error)) from error
        watcher = asyncio.create_task(_until_bus_is_lost(bus, ending), name="bluetooth bus watch")
        try:
            yield cls(bus)
        finally:
            watcher.cancel()
            bus.disconnect()
            await asyncio.wait((watcher,))

    async def look(self) -> tuple[list[Adapter], Collection[str]]:
        """Return the adapters, and the paths of all objects that BlueZ has now."""
        found = await self._call("org.bluez", "/", f"{OBJECTS}.GetManagedObjects")
        objects: dict[str, dict[str, dict[str, Variant]]] = found[0]
        adapters = [
            _adapter(path, interfaces[ADAPTER])
            for path, interfaces in objects.items()
            if ADAPTER in interfaces
        ]
        return adapters, objects.keys()

    async def watch(self, path: str, ending: Ending) -> None:
        """Settle ``ending`` with bluez, power or gone when that happens to an adapter."""
        self._bus.add_message_handler(lambda message: _on_signal(message, path, ending))
        for rule in (OWNER_RULE, CHANGED_RULE, REMOVED_RULE):
            text = rule.format(path=path)
            await self._call(BUS, "/org/freedesktop/DBus", f"{BUS}.AddMatch", "s", [text])

    async def switch(self, path: str, *, on: bool) -> None:
        """Switch an adapter on or off; PortError if that is refused."""
        body = [ADAPTER, "Powered", Variant("b", on)]
        await self._call(
            "org.bluez", path, f"{PROPERTIES}.Set", "ssv", body, timeout_s=SWITCH_TIMEOUT_S
        )

    async def _call(  # noqa: PLR0913 - these are the parts of a message
        self,
        destination: str,
        path: str,
        method: str,
        signature: str = "",
        body: list[Any] | None = None,
        *,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> list[Any]:
        interface, _, member = method.rpartition(".")
        message = Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=body or [],
        )
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._bus.call(message)
        except ERRORS as error:
            raise AdapterAbsent("system bus", error_text(error)) from error
        if reply.message_type is MessageType.ERROR:
            problem = reply.error_name or "refused"
            if problem.startswith(BUS) and member == "GetManagedObjects":  # nobody is there
                raise AdapterAbsent("bluetooth", problem)
            raise PortError(path.rpartition("/")[2] or "bluetooth", problem)
        return reply.body


def _adapter(path: str, properties: dict[str, Variant]) -> Adapter:
    def value(name: str, *, default: Any) -> Any:
        return properties[name].value if name in properties else default

    return Adapter(
        path=path,
        address=value("Address", default=""),
        powered=bool(value("Powered", default=0)),
        central="central" in value("Roles", default=["central"]),
    )


async def _until_bus_is_lost(bus: MessageBus, ending: Ending) -> None:
    with contextlib.suppress(*ERRORS):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    ending.settle("bus")


def _on_signal(message: Message, path: str, ending: Ending) -> None:
    if message.message_type is not MessageType.SIGNAL:
        return
    if message.member == "NameOwnerChanged" and message.body[0] == "org.bluez":
        ending.settle("bluez")
    elif message.member == "InterfacesRemoved" and message.body[0] == path:
        if ADAPTER in message.body[1]:
            ending.settle("gone")
    elif message.member == "PropertiesChanged" and message.path == path:
        powered = message.body[1].get("Powered")
        if message.body[0] == ADAPTER and powered is not None and powered.value is False:
            ending.settle("power")


def keep_libraries_discreet() -> None:
    """Keep advertisements of strangers out of the debug log, whatever level is configured."""
    for name in PRIVATE_LOGGERS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)


def error_text(error: BaseException) -> str:
    """Return what is wrong, without what a library adds."""
    if isinstance(error, BleakDBusError):
        return error.dbus_error
    if isinstance(error, BleakBluetoothNotAvailableError):
        return str(error.args[0])
    return str(error) or type(error).__name__
