"""All that this project asks of bleak's connections; imported only when one is opened.

No address leaves this module in an error: what bleak and BlueZ say contains them.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.backends.bluezdbus.version import BlueZFeatures
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from gateway.driver import GattClient
from gateway.transports.bluez_bus import ERRORS
from gateway.transports.whereabouts import Found

__all__ = ["open_connection"]

CONNECT_TIMEOUT_S = 20.0
"""With finding the services. Shorter than the 30 s after which BlueZ forgets a device that it does
not hear: it hears none while it connects."""
ANSWER_TIMEOUT_S = 10.0
"""One characteristic read or written."""
SILENCE_TIMEOUT_S = 5.0
"""Without a notification for so long there comes none."""
DISCONNECT_TIMEOUT_S = 5.0
MAX_NOTIFICATIONS = 64
"""May wait for the driver."""

T = TypeVar("T")


@contextlib.asynccontextmanager
async def open_connection(found: Found, address: str) -> AsyncIterator[GattClient]:
    """Be connected to a device as long as the context lasts, and disconnect whatever happens.

    TimeoutError if it does not answer, ConnectionError if it refuses or BlueZ forgot it.
    """
    # It would run bluetoothctl to learn that BlueZ is not older than that of 2020.
    BlueZFeatures.checked_bluez_version = True
    lost = asyncio.Event()
    client = BleakClient(
        # By the address alone bleak would scan for it, and BlueZ refuses a second scan.
        BLEDevice(address, None, {"path": found.path}),
        disconnected_callback=lambda _: lost.set(),
        timeout=CONNECT_TIMEOUT_S,
    )
    try:
        await _connect(client)
        yield _Client(client, lost)
    finally:
        with contextlib.suppress(*ERRORS):
            async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
                await client.disconnect()


async def _connect(client: BleakClient) -> None:
    """Connect, or give up in time.

    When bleak gives up it tells BlueZ so and waits for the answer without limit. A BlueZ that does
    not answer must hold up nobody, so that waiting is broken off too.
    """
    task = asyncio.create_task(client.connect(), name="bluetooth connect")
    try:
        await asyncio.wait((task,), timeout=CONNECT_TIMEOUT_S)
        late = not task.done()
    finally:
        for _ in range(2):
            if not task.done():
                task.cancel()
                await asyncio.wait((task,), timeout=DISCONNECT_TIMEOUT_S)
    if late:
        raise TimeoutError
    await _told_by(task)


async def _told_by(task: "asyncio.Task[T]") -> T:
    try:
        return await task
    except TimeoutError:
        raise
    except ERRORS as error:
        raise _told(error) from None


def _told(error: BaseException) -> ConnectionError:
    """Return an error in words that name no device."""
    if isinstance(error, BleakDBusError):
        return ConnectionError(error.dbus_error)
    if isinstance(error, BleakGATTProtocolError):
        return ConnectionError(f"the device says {error.code.name.lower().replace('_', ' ')}")
    if isinstance(error, BleakCharacteristicNotFoundError):
        return ConnectionError("the device does not have what was asked for")
    if isinstance(error, BleakDeviceNotFoundError):
        return ConnectionError("no adapter knows the device any more")
    if isinstance(error, BleakError):
        return ConnectionError("the connection was lost")
    return ConnectionError(type(error).__name__)


class _Client:
    """The narrow client that a driver sees."""

    def __init__(self, client: BleakClient, lost: asyncio.Event) -> None:
        self._client = client
        self._lost = lost
        self._wanted: list[_Notifications] = []
        """Subscriptions that were asked for and are not made yet."""

    async def read(self, characteristic: str) -> bytes:
        await self.subscribe()
        return bytes(await self._answer(self._client.read_gatt_char(characteristic)))

    async def write(self, characteristic: str, data: bytes) -> None:
        await self.subscribe()
        await self._answer(self._client.write_gatt_char(characteristic, data, response=True))

    def notifications(self, characteristic: str) -> "_Notifications":
        notifications = _Notifications(self, characteristic, self._lost)
        self._wanted.append(notifications)
        return notifications

    async def subscribe(self) -> None:
        """Make the subscriptions that were asked for, so that no answer can come before them."""
        while self._wanted:
            wanted = self._wanted.pop()
            await self._answer(self._client.start_notify(wanted.characteristic, wanted.take))

    async def _answer(self, question: Coroutine[Any, Any, T]) -> T:
        """Return what the device answers; TimeoutError, ConnectionError."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await question
        except TimeoutError:
            raise
        except ERRORS as error:
            raise _told(error) from None


class _Notifications:
    """What arrives from the moment on at which it was asked for; ends after a silence."""

    def __init__(self, client: _Client, characteristic: str, lost: asyncio.Event) -> None:
        self.characteristic = characteristic
        self._client = client
        self._lost = lost
        self._waiting: deque[bytes] = deque(maxlen=MAX_NOTIFICATIONS)
        self._arrived = asyncio.Event()

    def take(self, source: BleakGATTCharacteristic, data: bytearray) -> None:
        """Take one notification, in bleak's callback."""
        del source
        self._waiting.append(bytes(data))
        self._arrived.set()

    def __aiter__(self) -> "_Notifications":
        return self

    async def __anext__(self) -> bytes:
        await self._client.subscribe()
        if not self._waiting:
            await self._wait()
        if self._waiting:
            return self._waiting.popleft()
        if self._lost.is_set():
            raise ConnectionError("the connection was lost")
        raise StopAsyncIteration

    async def _wait(self) -> None:
        """Return when something has arrived, the connection is lost, or all was silent."""
        self._arrived.clear()
        events = [asyncio.create_task(each.wait()) for each in (self._arrived, self._lost)]
        try:
            await asyncio.wait(
                events, timeout=SILENCE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for event in events:
                event.cancel()
