"""All that ``scan`` asks of the Bluetooth transports; imported only when it is asked to scan."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from gateway.driver import Advert
from gateway.transports.bleak_scan import PassiveRefused, ScanMode, open_scan, present_adapters
from gateway.transports.bluez_bus import BlueZ, choose_adapter
from gateway.transports.ending import Ending

__all__ = ["Hear", "is_fixed", "listening"]

Hear = Callable[[Advert, bool], None]
"""Called with each advertisement, and whether its device has that address for ever."""
STATIC_BITS = 0b11
"""How a random address begins that stays; of one that changes they are different."""


@contextlib.asynccontextmanager
async def listening(
    adapter: str, hear: Hear, ending: Ending, *, active: bool
) -> AsyncIterator[ScanMode]:
    """Scan as long as the context lasts; the mode that was possible.

    Passively, which sends nothing, unless ``active`` or BlueZ cannot do so. ``ending`` is settled
    when the scan is lost. PortError if scanning cannot start.
    """

    def on_signal(path: str, props: Mapping[str, Any]) -> None:
        del path
        if "RSSI" in props:  # BlueZ takes it away when the device is gone
            with ending:
                hear(_advert(props), is_fixed(props["Address"], props.get("AddressType", "")))

    async with BlueZ.connect(ending) as bluez, contextlib.AsyncExitStack() as stack:
        chosen = choose_adapter(await present_adapters(bluez), adapter)
        await bluez.watch(chosen.path, ending)
        mode: ScanMode = "active" if active else "passive"
        try:
            await stack.enter_async_context(open_scan(mode, chosen.name, on_signal))
        except PassiveRefused:
            mode = "active"
            await stack.enter_async_context(open_scan(mode, chosen.name, on_signal))
        yield mode


def is_fixed(address: str, address_type: str) -> bool:
    """Tell whether a device keeps this address: a public one, or a random one called static."""
    return address_type == "public" or int(address[:2], 16) >> 6 == STATIC_BITS


def _advert(props: Mapping[str, Any]) -> Advert:
    """Return the advertisement in a signal; what BlueZ still knew of earlier ones is in it, too."""
    return Advert(
        address=props["Address"],
        rssi=props["RSSI"],
        manufacturer_data=props.get("ManufacturerData") or {},
        service_data=props.get("ServiceData") or {},
        service_uuids=tuple(props.get("UUIDs") or ()),
    )
