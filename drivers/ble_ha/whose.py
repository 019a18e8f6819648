"""Tells which devices a package knows, without asking it about every advertisement."""

from collections.abc import Callable

from drivers.ble_ha.border import Raised, guarded
from drivers.ble_ha.heard import Heard
from drivers.ble_ha.parsers import Parser
from gateway.driver import Advert

__all__ = ["MAX_DEVICES", "REST", "Whose"]

REST = 64
"""A device that is not known is asked about with its first advertisements, which may lack the name,
then with the 4th, 8th and so on, and for ever with each so-manyth: it may be another one by now."""
OURS = -1
MAX_DEVICES = 1024
"""So many are remembered; then all are forgotten, which costs their look-ups once more."""


class Whose:
    """Remembers by address whether a device is one of the package's.

    A parser asked whether it knows a device takes the answer down for good, so each question needs
    a new one. Addresses are remembered as numbers of this process (``hash``) only.
    """

    def __init__(self, make: Callable[[], Parser]) -> None:
        self._make = make
        self._heard: dict[int, int] = {}
        """Advertisements that the package did not know; OURS once it knew one."""

    def ours(self, advert: Advert) -> bool:
        """Tell whether the package knows the device of an advertisement."""
        device = hash(advert.address)
        heard = self._heard.get(device, 0)
        if heard == OURS:
            return True
        if heard & (heard - 1) and heard % REST:  # neither a power of two nor a multiple
            self._heard[device] = heard + 1
            return False
        if heard == 0 and len(self._heard) >= MAX_DEVICES:
            self._heard.clear()
        known = guarded(self._make().supported, Heard(advert, 0.0))
        if isinstance(known, Raised):
            # It found something to stumble over: the decoder shall say so.
            return True
        self._heard[device] = OURS if known else heard + 1
        return known
