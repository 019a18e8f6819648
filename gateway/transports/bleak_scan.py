"""All that this project asks of bleak's scanner; imported only when there is something to scan.

bleak's connection to the bus is the one that scans: BlueZ knows a discovery by the connection
that began it, and only there can it be ended.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Literal

from bleak.args.bluez import BlueZScannerArgs, OrPattern
from bleak.assigned_numbers import AdvertisementDataType
from bleak.backends.bluezdbus.defs import Device1
from bleak.backends.bluezdbus.manager import BlueZManager, get_global_bluez_manager
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from bleak.exc import BleakBluetoothNotAvailableError, BleakDBusError, BleakError
from dbus_fast import Message

from gateway.errors import PortError
from gateway.transports.bluez_bus import (
    ADAPTER,
    ERRORS,
    Adapter,
    AdapterAbsent,
    BlueZ,
    error_text,
)

__all__ = ["Hear", "PassiveRefused", "ScanMode", "open_scan", "present_adapters"]

ScanMode = Literal["active", "passive"]
Hear = Callable[[str, Mapping[str, Any]], None]
"""Called for each signal about a device with its path and all its properties; must not wait."""

STOP_TIMEOUT_S = 5.0
"""A BlueZ that does not answer must not hold up the next attempt."""
START_TIMEOUT_S = 30.0
IN_PROGRESS = "org.bluez.Error.InProgress"
BUSY_TRIES = 3
BUSY_WAIT_S = 1.0
"""An adapter that is busy with something else is asked again so often, after so long."""
FLAG_VALUES = (0x02, 0x04, 0x05, 0x06, 0x1A)
"""BlueZ listens passively only for patterns. Nearly every beacon sends the AD structure Flags, and
these are the values in use; what sends none is heard by the active scan alone."""


class PassiveRefused(PortError):
    """BlueZ is there and does not listen passively."""


class _DirectBackend(BleakScannerBlueZDBus):
    """bleak's scanner without its list of every device that it has ever heard.

    It hands over what it gets as it is: to dress up each stranger's advertisement, only to look
    at its address, would be most of the work.
    """

    def __init__(self, hear: Hear, mode: ScanMode, arguments: BlueZScannerArgs) -> None:
        super().__init__(None, None, mode, bluez=arguments)
        self.hear: Hear = hear

    def _handle_advertising_data(self, path: str, props: Device1) -> None:
        self.hear(path, props)


@contextlib.asynccontextmanager
async def open_scan(mode: ScanMode, adapter: str, hear: Hear) -> AsyncIterator[None]:
    """Scan with an adapter (hci0) as long as the context lasts.

    PortError if scanning cannot start, PassiveRefused if only the mode is the reason.
    """
    scanner = _DirectBackend(hear, mode, _arguments(mode, adapter))
    try:
        await _start_in_time(scanner, adapter)
    except BleakBluetoothNotAvailableError as error:
        raise PortError(adapter, error_text(error)) from error
    except BleakError as error:
        refused = PassiveRefused if mode == "passive" else PortError
        raise refused(adapter, error_text(error)) from error
    except ERRORS as error:
        raise PortError(adapter, error_text(error)) from error
    try:
        yield
    finally:
        scanner.hear = _nobody
        with contextlib.suppress(*ERRORS):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                # Replaces a dead bus, if it can, before stop() would write to it: dbus-fast would
                # then watch a descriptor number that may already belong to somebody else's port.
                await get_global_bluez_manager()
                await scanner.stop()


def _nobody(path: str, props: Mapping[str, Any]) -> None:
    """Hear nothing any more."""


async def _start_in_time(scanner: _DirectBackend, adapter: str) -> None:
    """Start, or leave nothing begun that nobody would stop."""
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            await _start(scanner, adapter)
    except (asyncio.CancelledError, TimeoutError):
        with contextlib.suppress(*ERRORS):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await _stop_left_over(await get_global_bluez_manager(), adapter)
        raise


async def _start(scanner: _DirectBackend, adapter: str) -> None:
    """Start; a discovery of our own that was left over is stopped first, a busy adapter awaited."""
    for left in reversed(range(BUSY_TRIES)):
        try:
            await scanner.start()
        except BleakDBusError as error:
            if error.dbus_error != IN_PROGRESS or not left:
                raise
        else:
            return
        if not await _stop_left_over(await get_global_bluez_manager(), adapter):
            await asyncio.sleep(BUSY_WAIT_S)


async def _stop_left_over(manager: BlueZManager, adapter: str) -> bool:
    """Stop what this client may have begun and lost sight of; tell whether there was anything.

    BlueZ allows a client one discovery an adapter. If a stop was never answered, ours still runs.
    """
    bus = manager._bus  # noqa: SLF001 - only the connection that began it can stop it
    if bus is None or not bus.connected:
        return False
    message = Message(
        destination="org.bluez",
        path=f"/org/bluez/{adapter}",
        interface=ADAPTER,
        member="StopDiscovery",
    )
    return (await bus.call(message)).error_name is None


async def present_adapters(bluez: BlueZ) -> list[Adapter]:
    """Return the adapters, and let bleak forget what BlueZ no longer knows.

    A BlueZ that crashed takes leave of no device, and bleak would keep all of them for ever
    (PRIV-01). AdapterAbsent if BlueZ cannot be reached.
    """
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            manager = await get_global_bluez_manager()
    except ERRORS as error:
        raise AdapterAbsent("bluetooth", error_text(error)) from error
    before = set(manager._properties)  # noqa: SLF001 - there is no other way to it
    adapters, existing = await bluez.look()
    for path in before.difference(existing):  # what came since then is not in ``before``
        manager._properties.pop(path, None)  # noqa: SLF001
        manager._adapters.discard(path)  # noqa: SLF001
    return adapters


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
    arguments["adapter"] = adapter
    return arguments
