"""All that this project asks of bleak and of BlueZ; imported only when there is something to scan.

Two connections to the system bus: bleak's own, which scans, and a small one that tells at once
when the scan has silently died (bus gone, bluetoothd restarted, adapter switched off). bleak
notices the first and says nothing; for the others there is no sign but silence.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

from bleak import BleakScanner
from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from gateway.driver import Advert
from gateway.errors import PortError
from gateway.transports.ending import Ending

__all__ = ["PassiveRefused", "keep_libraries_discreet", "open_scan", "watch_bluez"]

ScanMode = Literal["active", "passive"]

ERRORS = (BleakError, DBusFastError, OSError, EOFError)
"""What bleak and dbus-fast raise when BlueZ or the bus says no or is gone."""
STOP_TIMEOUT_S = 5.0
"""A BlueZ that does not answer must not hold up the next attempt."""
START_TIMEOUT_S = 30.0
FLAG_VALUES = (0x02, 0x04, 0x05, 0x06, 0x1A)
"""BlueZ listens passively only for patterns. Nearly every beacon sends the AD structure Flags, and
these are the values in use; what sends none is heard by the active scan alone."""
ADAPTER = "org.bluez.Adapter1"
OWNER_RULE = (
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
    "member='NameOwnerChanged',arg0='org.bluez'"
)
ADAPTER_RULE = (
    "type='signal',sender='org.bluez',interface='org.freedesktop.DBus.Properties',"
    f"member='PropertiesChanged',path_namespace='/org/bluez',arg0='{ADAPTER}'"
)
PRIVATE_LOGGERS = ("bleak", "dbus_fast")
"""Libraries that write whole messages, with addresses, to their debug log."""


class PassiveRefused(PortError):
    """BlueZ is there and does not listen passively."""


class _ForgetfulBackend(BleakScannerBlueZDBus):
    """bleak's scanner without its list of every device that it has ever heard."""

    def create_or_update_device(
        self, key: str, address: str, name: str | None, details: Any, adv: AdvertisementData
    ) -> BLEDevice:
        del key, adv
        return BLEDevice(address, name, details)


@contextlib.asynccontextmanager
async def open_scan(
    mode: ScanMode,
    adapter: str,
    *,
    wanted: Callable[[str], bool],
    accept: Callable[[Advert], None],
    ending: Ending,
) -> AsyncIterator[None]:
    """Scan as long as the context lasts.

    ``wanted`` is asked with every address that is heard, ``accept`` gets the advertisement if it
    said yes. What they raise settles ``ending``. PortError if scanning cannot start,
    PassiveRefused if only the mode is the reason.
    """
    keep_libraries_discreet()
    listening = True

    def on_advert(device: BLEDevice, data: AdvertisementData) -> None:
        if not listening:
            return
        with ending:
            address = device.address.upper()
            if wanted(address):
                accept(_advert(address, data))

    scanner = BleakScanner(
        on_advert, scanning_mode=mode, bluez=_arguments(mode, adapter), backend=_ForgetfulBackend
    )
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await scanner.start()
    except BleakBluetoothNotAvailableError as error:
        raise PortError(adapter or "bluetooth", _text(error)) from error
    except BleakError as error:
        refused = PassiveRefused if mode == "passive" else PortError
        raise refused(adapter or "bluetooth", _text(error)) from error
    except ERRORS as error:
        raise PortError(adapter or "bluetooth", _text(error)) from error
    try:
        yield
    finally:
        listening = False
        with contextlib.suppress(*ERRORS):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                # Replaces a dead bus, if it can, before stop() would write to it: dbus-fast would
                # then watch a descriptor number that may already belong to somebody else's port.
                await get_global_bluez_manager()
                await scanner.stop()


@contextlib.asynccontextmanager
async def watch_bluez(ending: Ending) -> AsyncIterator[None]:
    """Settle ``ending`` with ``bus``, ``bluez`` or ``power`` when that is lost.

    PortError if the system bus cannot be reached.
    """
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
    except ERRORS as error:
        raise PortError("system bus", _text(error)) from error
    watcher = asyncio.create_task(_until_bus_is_lost(bus, ending), name="bluetooth bus watch")
    try:
        await _subscribe(bus, ending)
        yield
    finally:
        watcher.cancel()
        bus.disconnect()
        await asyncio.wait((watcher,))


async def _subscribe(bus: MessageBus, ending: Ending) -> None:
    bus.add_message_handler(lambda message: _on_signal(message, ending))
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            for rule in (OWNER_RULE, ADAPTER_RULE):
                await bus.call(_add_match(rule))
    except ERRORS as error:
        raise PortError("system bus", _text(error)) from error


def _add_match(rule: str) -> Message:
    return Message(
        destination="org.freedesktop.DBus",
        path="/org/freedesktop/DBus",
        interface="org.freedesktop.DBus",
        member="AddMatch",
        signature="s",
        body=[rule],
    )


async def _until_bus_is_lost(bus: MessageBus, ending: Ending) -> None:
    with contextlib.suppress(*ERRORS):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
    ending.settle("bus")


def _on_signal(message: Message, ending: Ending) -> None:
    if message.message_type is not MessageType.SIGNAL:
        return
    if message.member == "NameOwnerChanged" and message.body[0] == "org.bluez":
        ending.settle("bluez")
    elif message.member == "PropertiesChanged" and message.body[0] == ADAPTER:
        powered = message.body[1].get("Powered")
        if powered is not None and powered.value is False:
            ending.settle("power")


def keep_libraries_discreet() -> None:
    """Keep advertisements of strangers out of the debug log, whatever level is configured."""
    for name in PRIVATE_LOGGERS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() < logging.INFO:
            logger.setLevel(logging.INFO)


def _arguments(mode: ScanMode, adapter: str) -> BlueZScannerArgs:
    arguments: BlueZScannerArgs
    if mode == "passive":
        arguments = {
            "or_patterns": [
                OrPattern(0, AdvertisementDataType.FLAGS, bytes([value])) for value in FLAG_VALUES
            ]
        }
    else:
        # Without it BlueZ reports a repeated advertisement once: events and liveness would be lost.
        arguments = {"filters": {"DuplicateData": True}}
    if adapter:
        arguments["adapter"] = adapter
    return arguments


def _advert(address: str, data: AdvertisementData) -> Advert:
    return Advert(
        address=address,
        rssi=data.rssi,
        name=data.local_name or "",
        manufacturer_data=data.manufacturer_data,
        service_data=data.service_data,
        service_uuids=tuple(data.service_uuids),
    )


def _text(error: BaseException) -> str:
    if isinstance(error, BleakDBusError):
        return error.dbus_error
    if isinstance(error, BleakBluetoothNotAvailableError):
        return str(error.args[0])
    return str(error) or type(error).__name__
