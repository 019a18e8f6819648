"""Captures of ATC1441 and pvvx, with the values that ble_monitor got from them."""

from collections.abc import Mapping
from typing import Any

from drivers.atc import SERVICE
from tests.drivers.captures.adverts import heard, heard_once, payload
from tests.drivers.captures.parts import Difference, Family, Frame, Wanted, one_each, refused

__all__ = ["FAMILIES"]

NAMES: Mapping[str, str] = {
    "temperature": "air.temperature",
    "humidity": "air.humidity",
    "battery": "device.battery",
    "voltage": "device.voltage",
}
OTHERS = frozenset(
    {"switch", "opening", "status", "mac", "type", "packet", "firmware", "rssi", "local_name"}
)
"""No quantities, or about the packet."""


def options(frame: Frame) -> dict[str, Any]:
    """Return the key of a frame, if it has one."""
    (key,) = frame.entry.get("aeskeys", {"": None}).values()
    return {"bindkey": key}


def wanted(frame: Frame) -> Wanted:
    """Return the values that have a quantity."""
    assert not frame.expected.keys() - NAMES.keys() - OTHERS
    return Wanted(
        one_each(
            {(NAMES[name], ""): frame.expected[name] for name in frame.expected.keys() & NAMES}
        )
    )


def encrypted(frame: Frame) -> Wanted:
    """Say what stands beside BTHome in an advertisement: packets of which nobody has the key."""
    return refused("key_missing")


FAMILIES = (
    Family(
        driver="atc",
        file="hci_atc_pvvx.json",
        run=heard_once,
        wanted=wanted,
        options=options,
        in_pieces=False,
        checked=lambda frame: options(frame)["bindkey"] is not None,
        data=payload,
        differences={
            "test_atc_custom_encrypted": Difference(
                "ble_monitor makes a voltage up from the percentage: 2.749 V is no measurement, "
                "the packet holds none",
                Wanted(
                    one_each(
                        {
                            ("air.temperature", ""): 23.45,
                            ("air.humidity", ""): 41.73,
                            ("device.battery", ""): 61.0,
                        }
                    )
                ),
            )
        },
    ),
    Family(
        driver="atc",
        file="bthome.json",
        run=heard,
        wanted=encrypted,
        in_pieces=False,
        picked=lambda entry: SERVICE in entry["service_data"],
        checked=lambda frame: False,
        data=payload,
        counted=False,
    ),
)
