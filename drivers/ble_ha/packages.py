"""What has to be known of single packages; the rest of the driver treats all of them alike."""

from collections.abc import Mapping

from gateway.driver import Advert

__all__ = ["NUMBERED", "USUAL_OF", "is_unsealed"]

MIBEACON = "0000fe95-0000-1000-8000-00805f9b34fb"
MIBEACON_SEALED = 0x08
MIBEACON_CONTENT = 0x40
"""Flags in the first byte of a MiBeacon: what it holds is encrypted; it holds something."""
MIBEACON_FLAGS = 2
MIBEACON_AUTHENTIC = 4
"""The version, on top of the second byte, from which on a changed packet cannot be decrypted."""

NUMBERED: Mapping[str, int | str] = {"ruuvitag-ble": 0x0499, "xiaomi-ble": MIBEACON}
"""Package -> company or service whose packets have a number: the same content, the same packet."""

USUAL_OF: Mapping[str, Mapping[str, str]] = {
    "mopeka-iot-ble": {"temperature": "device.temperature"},  # sits below a tank
    "xiaomi-ble": {"voltage": ""},  # worked out from the percentage, not measured
}
"""Package -> device class -> quantity, where it means something else or makes something up."""


def is_unsealed(package: str, advert: Advert, *, authentic: bool) -> bool:
    """Tell whether a packet is not encrypted as it has to be, and the package would take it.

    With an ``authentic`` key, one of 16 bytes, it has to be encrypted so that a change is seen.
    """
    data = advert.service_data.get(MIBEACON, b"") if package == "xiaomi-ble" else b""
    if len(data) < MIBEACON_FLAGS or not data[0] & MIBEACON_CONTENT:
        return False
    is_old = data[1] >> 4 < MIBEACON_AUTHENTIC
    return not data[0] & MIBEACON_SEALED or (authentic and is_old)
