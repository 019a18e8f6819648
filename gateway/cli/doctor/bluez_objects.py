"""Asks BlueZ on the system bus which adapters it has, and nothing else."""

import asyncio
from typing import Any

__all__ = ["ADAPTER", "MONITORS", "BusMissing", "Denied", "Nobody", "Objects", "ask_bluez"]

ADAPTER = "org.bluez.Adapter1"
MONITORS = "org.bluez.AdvertisementMonitorManager1"
"""Adapters have it where BlueZ can listen passively."""
ANSWER_TIMEOUT_S = 8.0
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"

Objects = dict[str, dict[str, dict[str, Any]]]
"""Path -> interface -> property -> value."""


class BusMissing(OSError):
    """There is no system bus, or it does not answer."""


class Denied(OSError):
    """The bus lets this user not talk to BlueZ."""


class Nobody(OSError):
    """Nobody answers for BlueZ."""


async def ask_bluez() -> Objects:
    """Return the objects of BlueZ. Raises BusMissing, Denied or Nobody."""
    # Only here: where the library is missing, another part of doctor says so.
    from dbus_fast import BusType, Message, MessageType  # noqa: PLC0415
    from dbus_fast.aio import MessageBus  # noqa: PLC0415
    from dbus_fast.errors import DBusFastError  # noqa: PLC0415

    bus: MessageBus | None = None
    question = Message(
        destination="org.bluez",
        path="/",
        interface="org.freedesktop.DBus.ObjectManager",
        member="GetManagedObjects",
    )
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            bus = MessageBus(bus_type=BusType.SYSTEM)
            await bus.connect()
            answer = await bus.call(question)
    except (DBusFastError, OSError, EOFError) as error:  # TimeoutError is an OSError
        raise BusMissing(str(error) or type(error).__name__) from error
    finally:
        if bus is not None:
            bus.disconnect()
    if answer is None or answer.message_type is not MessageType.METHOD_RETURN:
        name = "" if answer is None else answer.error_name
        raise Denied(name) if name == ACCESS_DENIED else Nobody(name)
    return {
        path: {
            interface: {key: variant.value for key, variant in properties.items()}
            for interface, properties in interfaces.items()
        }
        for path, interfaces in answer.body[0].items()
    }
