"""Captures of beacons, with what the specification and ble_monitor say of them."""

from collections.abc import Mapping

from tests.drivers.captures.adverts import heard, heard_once, payload
from tests.drivers.captures.parts import Family, Frame, Wanted, one_each, refused

__all__ = ["FAMILIES"]

NAMES: Mapping[str, str] = {
    "battery": "device.voltage",
    "temperature": "device.temperature",
    "uptime": "device.uptime",
}
NOT_YIELDED = frozenset({"adv_count", "frame", "instance", "namespace", "tx_power", "url"})
"""What identifies a beacon, a setting, and a counter that the registry has no word for."""
NO_TELEMETRY = frozenset(
    {
        "uuid", "tracker_id", "major", "minor", "measured power", "mac", "type", "packet",
        "firmware", "manufacturer", "local_name",
        # ble_monitor computes these from major and minor, which hold no measurement here: -46.85
        # degrees and -6 % are what zeros make.
        "cypress temperature", "cypress humidity",
    }
)  # fmt: skip


def telemetry(frame: Frame) -> Wanted:
    """Return what the specification says of plain telemetry."""
    if "error" in frame.expected:
        return refused("short")
    assert not frame.expected.keys() - NAMES.keys() - NOT_YIELDED
    return Wanted(
        one_each(
            {
                (NAMES[name], ""): value[0]
                for name, value in frame.expected.items()
                if name in NAMES and value[0] is not None
            }
        )
    )


def only_heard(frame: Frame) -> Wanted:
    """Return the signal strength: all that there is of another beacon."""
    assert frame.expected.keys() - NO_TELEMETRY == {"rssi"}
    return Wanted(one_each({("device.rssi", ""): float(frame.expected["rssi"])}))


FAMILIES = (
    Family(
        driver="eddystone",
        file="eddystone.json",
        run=heard_once,
        wanted=telemetry,
        in_pieces=False,
        data=payload,
        checked=lambda frame: False,
    ),
    Family(
        driver="eddystone",
        file="hci_beacons.json",
        run=heard,
        wanted=only_heard,
        options=lambda frame: {"rssi": True},
        in_pieces=False,
        data=payload,
        checked=lambda frame: False,
    ),
)
