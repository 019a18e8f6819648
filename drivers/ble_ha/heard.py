"""An advertisement as the parsers of the family want it."""

from gateway.driver import Advert

__all__ = ["STEP_S", "Heard"]

STEP_S = 5.0
"""How much later each advertisement is than the one before, for want of a clock.

bthome-ble takes a number that it knows for that of a new packet after 4 s. Copies are found here,
by their content; it shall not take a device that begins to count anew for one that repeats itself.
"""


class Heard:
    """Has what ``BluetoothServiceInfoBleak`` of habluetooth has, from one advertisement.

    It says nothing of the scanner, nor of any other device. That class itself is not used: it has
    to be given what we do not have, and changes with the releases of a large package.
    """

    __slots__ = (
        "address",
        "manufacturer_data",
        "name",
        "rssi",
        "service_data",
        "service_uuids",
        "time",
    )

    source = "local"
    device = None
    advertisement = None
    connectable = False
    tx_power = None
    raw = None

    def __init__(self, advert: Advert, time: float) -> None:
        self.address = advert.address
        self.name = advert.name or advert.address
        """A device without a name has its address there, as everywhere in the family."""
        self.rssi = advert.rssi
        self.manufacturer_data = dict(advert.manufacturer_data)
        self.service_data = dict(advert.service_data)
        self.service_uuids = list(advert.service_uuids)
        self.time = time

    @property
    def manufacturer(self) -> str | None:
        """Return no name: nobody needs it to decode."""
        return None

    @property
    def manufacturer_id(self) -> int | None:
        """Return the first company id."""
        return next(iter(self.manufacturer_data), None)
