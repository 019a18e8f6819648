"""Advertisements out of recorded HCI events, legacy and extended, for tests of captures."""

from gateway.driver import Advert
from tests.drivers.driver_cases import full_uuid

__all__ = ["advert_of"]

LEGACY, EXTENDED = 0x02, 0x0D
SHORT_NAME, NAME = 0x08, 0x09
SERVICE_DATA, MANUFACTURER_DATA = 0x16, 0xFF


def advert_of(event: str) -> Advert:
    """Return the advertisement in one whole HCI event, given in hex; 16-bit services only."""
    data = bytes.fromhex(event)
    if data[3] == LEGACY:
        address, rssi = data[7:13], data[-1]
        structures = data[14:-1]
    else:
        assert data[3] == EXTENDED
        address, rssi = data[8:14], data[18]
        structures = data[29:]
    name = ""
    service_data: dict[str, bytes] = {}
    manufacturer_data: dict[int, bytes] = {}
    while structures and structures[0]:
        kind, content = structures[1], structures[2 : structures[0] + 1]
        short = int.from_bytes(content[:2], "little")
        if kind in (SHORT_NAME, NAME):
            name = content.decode()
        elif kind == SERVICE_DATA:
            service_data[full_uuid(f"{short:04x}")] = content[2:]
        elif kind == MANUFACTURER_DATA:
            manufacturer_data[short] = content[2:]
        structures = structures[structures[0] + 1 :]
    return Advert(
        address=":".join(f"{each:02X}" for each in reversed(address)),
        rssi=int.from_bytes((rssi,), "little", signed=True),
        name=name,
        manufacturer_data=manufacturer_data,
        service_data=service_data,
    )
