"""From the bytes of a whole, checked frame to readings, as its table says."""

import math
import struct
import sys
from collections.abc import Callable
from operator import getitem
from typing import Any, Literal

from drivers.frame_tables import Field, FrameTable, Payload
from gateway.reading import Fault, Measured

__all__ = ["decoder"]

SAMPLE_BYTES = 16
"""How much of a frame is kept to look at, where it says something impossible."""
REMEMBERED_COUNTS = 256
"""How many readings a field remembers at most."""


class _Readings(dict[float, Measured | Literal[False] | None]):
    """Count -> reading of one field; None where the count means no value, False beyond the range.

    It remembers the counts that came lately: most of them come again, and then cost nothing.
    """

    def __init__(self, field: Field) -> None:
        super().__init__()
        self.field = field
        # The infinities of a float are no value either.
        self._lowest = max(field.lowest, -sys.float_info.max)
        self._highest = min(field.highest, sys.float_info.max)

    def __missing__(self, raw: float) -> Measured | Literal[False] | None:
        field = self.field
        reading: Measured | Literal[False] | None
        if self._lowest <= raw <= self._highest and raw not in field.invalid:
            reading = Measured(field.quantity, (raw - field.zero) / field.per, field.dims)
        else:
            reading = None if raw in field.invalid or math.isnan(raw) else False
        if len(self) >= REMEMBERED_COUNTS:
            self.clear()
        self[raw] = reading
        return reading


def decoder(payload: Payload, table: FrameTable) -> Callable[[bytes], list[Measured | Fault]]:
    """Return what decodes the frames of one kind: a single unpack, then a look-up for each field.

    Raises ValueError for fields that cannot be where they are said to be.
    """
    unpack, needs_bytes = _layout(payload, table)
    fields = tuple(map(_Readings, payload.fields))
    blank, zeros = payload.blank, slice(*payload.zeros) if payload.zeros else None

    def plain(frame: bytes) -> list[Measured | Fault]:
        found: list[Any] = [*map(getitem, fields, unpack(frame))]
        return found if all(found) else _sifted(found, payload.fields, frame[:SAMPLE_BYTES])

    def careful(frame: bytes) -> list[Measured | Fault]:
        if len(frame) < needs_bytes:
            return [Fault("short", "frame too short for its fields", frame[:SAMPLE_BYTES])]
        values = unpack(frame)
        # The first field is among those that must be zero: any value there says enough.
        if values == blank or (zeros and not values[0] and not any(frame[zeros])):
            return []
        found: list[Any] = [*map(getitem, fields, values)]
        return found if all(found) else _sifted(found, payload.fields, frame[:SAMPLE_BYTES])

    if payload.device_error:
        return lambda frame: [Fault("device_error", payload.device_error, frame[:SAMPLE_BYTES])]
    always_whole = isinstance(table.length, int) or needs_bytes <= table.length.shortest
    return plain if always_whole and blank is None and zeros is None else careful


def _sifted(
    found: list[Measured | Literal[False] | None], fields: tuple[Field, ...], sample: bytes
) -> list[Measured | Fault]:
    """Leave out what is no value, and name what is beyond the range."""
    sifted: list[Measured | Fault] = []
    for reading, field in zip(found, fields, strict=True):
        if reading:
            sifted.append(reading)
        elif reading is False:
            what = f"{field.quantity} beyond the device's range"
            sifted.append(Fault("range", what, sample))
    return sifted


def _layout(payload: Payload, table: FrameTable) -> tuple[Callable[[bytes], tuple[Any, ...]], int]:
    """Return the unpacking of all fields at once, and how long a frame must be for it."""
    form = str(table.byte_order)
    offset = 0
    for field in payload.fields:
        if field.offset < offset:
            raise ValueError(f"fields overlap or are out of order at offset {field.offset}")
        form += f"{field.offset - offset}x{field.code}"
        offset = field.offset + struct.calcsize(table.byte_order + field.code)
    check, length = table.checksum, table.length
    needs_bytes = offset + (check.behind if check else len(table.end))
    if needs_bytes > (length if isinstance(length, int) else length.longest):
        raise ValueError("a field lies outside of the longest frame")
    if payload.zeros and payload.fields[0].offset not in range(*payload.zeros):
        raise ValueError("the first field is not among the bytes that are zero")
    return struct.Struct(form).unpack_from, needs_bytes
