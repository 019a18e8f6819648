"""Victron devices with a VE.Direct port: MPPT chargers, BMV and SmartShunt, Phoenix inverters.

Written from Victron Energy, "VE.Direct protocol", version 3.32.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple

from pydantic import BaseModel

from drivers.vedirect.blocks import BlockReader
from gateway.driver import DriverInfo, NoOptions, Outcome, SerialLine
from gateway.reading import Fault, Measured

__all__ = ["FIELDS", "VeDirect"]

NUMBER = re.compile(r"[+-]?[0-9]{1,10}")
BATTERY = "battery"
MONITORED = "dc"
"""The channel of a shunt that was set up to watch something else than a battery."""
BATTERY_MODES = frozenset({"0", "---"})
"""What the label MON says where a battery is watched; most devices do not have it."""
NO_ERROR = "0"


class _Field(NamedTuple):
    """What the number behind a label means."""

    quantity: str
    channel: str
    per: float
    """Counts per unit of the registry."""
    lowest: float
    highest: float
    """In the unit of the registry; the device cannot show more."""


FIELDS: Mapping[str, _Field] = {
    "V": _Field("electric.voltage", BATTERY, 1000, 0, 1000),
    "V2": _Field("electric.voltage", "battery2", 1000, 0, 1000),
    "V3": _Field("electric.voltage", "battery3", 1000, 0, 1000),
    "VS": _Field("electric.voltage", "starter", 1000, 0, 1000),
    "VM": _Field("electric.voltage", "midpoint", 1000, 0, 1000),
    "VPV": _Field("electric.voltage", "pv", 1000, 0, 1000),
    "AC_OUT_V": _Field("electric.voltage", "ac", 100, 0, 1000),
    "I": _Field("electric.current", BATTERY, 1000, -10_000, 10_000),
    "I2": _Field("electric.current", "battery2", 1000, -10_000, 10_000),
    "I3": _Field("electric.current", "battery3", 1000, -10_000, 10_000),
    "IL": _Field("electric.current", "load", 1000, 0, 10_000),
    "AC_OUT_I": _Field("electric.current", "ac", 10, 0, 10_000),
    "P": _Field("power.active", BATTERY, 1, -1e6, 1e6),
    "PPV": _Field("power.active", "pv", 1, 0, 1e6),
    "AC_OUT_S": _Field("power.apparent", "ac", 1, 0, 1e6),
    "SOC": _Field("device.battery", BATTERY, 10, 0, 100),
    "T": _Field("device.temperature", BATTERY, 1, -60, 150),
    "H17": _Field("energy.active_export", BATTERY, 100, 0, 1e9),
    "H18": _Field("energy.active_import", BATTERY, 100, 0, 1e9),
    "H19": _Field("meter.total", "pv", 100, 0, 1e9),
}
"""By label. Voltages in mV, currents in mA, energy in 0.01 kWh, charge in 0.1 %."""
MONITOR_LABELS = frozenset({"V", "I", "P", "H17", "H18"})
"""What belongs to the watched line, and not to a battery, in the other mode of a shunt."""


class VeDirect:
    """Yields voltage, current, power, energy and state of charge of each side of a device.

    What flows into the battery is positive, as the device shows it.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="vedirect",
        title="Victron device with VE.Direct port (MPPT, BMV, SmartShunt, Phoenix)",
        domain="energy",
        quantities=tuple(dict.fromkeys(field.quantity for field in FIELDS.values())),
        interval_s=1.0,
        lines=(SerialLine(19200),),
        document="Victron Energy, VE.Direct protocol 3.32",
    )
    Options: ClassVar[type[BaseModel]] = NoOptions

    def __init__(self, options: NoOptions) -> None:  # noqa: ARG002 - it has none
        self._reader = BlockReader()
        self._error = NO_ERROR
        self._channel = ""
        """Of what the device watches; unknown until a block says it."""

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their block."""
        return self._reader.buffered_bytes

    def on_open(self) -> Iterable[bytes]:
        """Return nothing: without a question the device sends text."""
        return ()

    def feed(self, data: bytes) -> Iterable[Outcome]:
        """Take bytes in any chunking; return readings and faults."""
        outcomes: list[Outcome] = []
        for found in self._reader.feed(data):
            outcomes += [found] if isinstance(found, Fault) else self._block(found)
        return outcomes

    def _block(self, block: Mapping[str, str]) -> Iterator[Outcome]:
        if "V" in block:
            self._channel = BATTERY if block.get("MON", "0") in BATTERY_MODES else MONITORED
        for label, text in block.items():
            if label in FIELDS:
                yield from self._value(label, text)
        error = block.get("ERR", self._error)
        if error not in (self._error, NO_ERROR):
            yield Fault("device_error", f"the device reports error {error[:3]}")
        self._error = error

    def _value(self, label: str, text: str) -> Iterator[Outcome]:
        field = FIELDS[label]
        channel = self._channel if label in MONITOR_LABELS else field.channel
        if text == "---" or not channel:  # not connected; history before the first values
            return
        if NUMBER.fullmatch(text) is None:
            yield Fault("unknown", f"value of {label}")
            return
        value = int(text) / field.per
        if not field.lowest <= value <= field.highest:
            yield Fault("range", f"{label} beyond the device's range")
            return
        yield Measured(field.quantity, value, (("channel", channel),))
