"""Victron devices by Bluetooth: the instant readout that they advertise, encrypted.

Written from Victron Energy, "Extra manufacturer data", 2022-12-14. Numbers are little-endian.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from drivers.victron.cipher import BLOCK_BYTES, Counter, Key
from drivers.victron.records import ALWAYS, AUX_MODE, RECORDS, Record, read
from gateway.driver import Advert, DriverInfo, Outcome
from gateway.reading import Fault, Measured

__all__ = ["COMPANY_ID", "Victron", "VictronOptions"]

COMPANY_ID = 0x02E1
PRODUCT = 0x10
"""First byte of a product advertisement: its kind, product and, encrypted, a record."""
TYPE_AT = 4
COUNTER_AT = 5
CHECK_AT = 7
HEADER_BYTES = 8
KEY_PATTERN = "^[0-9A-Fa-f]{32}$"
NO_ERROR = 0


class VictronOptions(BaseModel):
    """What can be set for one device; the key is a secret, in a file of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = Field(
        default=None,
        pattern=KEY_PATTERN,
        repr=False,
        description="Encryption key of the device's instant readout, 32 hexadecimal digits.",
    )
    rssi: bool = Field(default=False, description="Also yield the signal strength of each message.")


class Victron:
    """Yields voltage, current, power and state of charge of each side of a device.

    What flows into the battery is positive. A message is sent many times; it is told by its
    counter and yielded once. One instance serves one device.
    """

    info: ClassVar[DriverInfo] = DriverInfo(
        name="victron",
        title="Victron device with instant readout (SmartSolar, SmartShunt, BMV, Orion and others)",
        domain="energy",
        quantities=(
            *dict.fromkeys(each.quantity for one in RECORDS.values() for each in one.fields),
            "device.rssi",
        ),
        # Devices send about each second; a few are missed.
        interval_s=15.0,
        secrets=("key",),
        document="Victron Energy, Extra manufacturer data, 2022-12-14",
    )
    Options: ClassVar[type[BaseModel]] = VictronOptions

    def __init__(self, options: VictronOptions) -> None:
        self._with_rssi = options.rssi
        self._key = Key(options.key) if options.key else None
        self._counter = Counter()
        self._error = NO_ERROR

    def claims(self, advert: Advert) -> bool:
        """Tell whether this is a product advertisement of the company id, whatever its length."""
        data = advert.manufacturer_data.get(COMPANY_ID, b"")
        return len(data) > 0 and data[0] == PRODUCT

    def decode(self, advert: Advert) -> Iterable[Outcome]:
        """Return the readings of one advertisement; nothing if its message is known."""
        if not self.claims(advert):
            return ()
        data = advert.manufacturer_data[COMPANY_ID]
        # No fault shows bytes of the message: one of the key's stands among them.
        record = _record(data)
        if isinstance(record, Fault):
            return (record,)
        if self._key is None:
            return (Fault("key_missing", "the device encrypts: needs key"),)
        if data[CHECK_AT] != self._key.check_byte:
            return (Fault("key_wrong", "key is not that of this device"),)
        counter = int.from_bytes(data[COUNTER_AT:CHECK_AT], "little")
        if not self._counter.take(counter):
            return ()
        plain = self._key.open(counter, data[HEADER_BYTES:])
        outcomes = [*_values(record, plain), *self._new_error(record, plain)]
        if self._with_rssi:
            outcomes.append(Measured("device.rssi", float(advert.rssi)))
        return outcomes

    def _new_error(self, record: Record, plain: int) -> Iterator[Outcome]:
        if record.error is None:
            return
        error = read(plain, record.error.start, record.error.bits)
        if error == record.error.missing:
            return
        if error not in (self._error, NO_ERROR):
            yield Fault("device_error", f"the device reports error {error}")
        self._error = error


def _record(data: bytes) -> Record | Fault:
    """Return what the message is, or why it cannot be read."""
    if len(data) < HEADER_BYTES:
        return Fault("short", "no message inside: is instant readout switched on?")
    kind = data[TYPE_AT]
    record = RECORDS.get(kind)
    if record is None:
        return Fault("unknown", f"record type {kind:#04x}")
    sealed_bytes = len(data) - HEADER_BYTES
    if sealed_bytes * 8 < record.bits:
        return Fault("short", f"record type {kind:#04x} cut off")
    if sealed_bytes > BLOCK_BYTES:
        return Fault("unknown", f"record type {kind:#04x} is longer than a block")
    return record


def _values(record: Record, plain: int) -> Iterator[Outcome]:
    aux = read(plain, *AUX_MODE)
    for field in record.fields:
        if field.aux not in (aux, ALWAYS):
            continue
        raw = read(plain, field.start, field.bits)
        if raw in field.missing:
            continue
        if field.signed and raw >> field.bits - 1:
            raw -= 1 << field.bits
        value = (raw + field.zero) / field.per
        lowest, highest = field.limits
        if lowest <= value <= highest:
            yield Measured(field.quantity, value, field.dims)
        else:
            yield Fault("range", f"{field.quantity} beyond what a device can show")
