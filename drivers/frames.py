"""Decodes binary frames from a table: most serial air sensors and some radars are only data.

A frame has start bytes, a fixed length or a length field, a checksum over a range, perhaps end
bytes, and fields at fixed places. A device is a ``FrameTable``; its driver hands bytes to a
``FrameReader``. After a failed check ONE byte is dropped and the search goes on, so that a real
frame behind a false start is never lost.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from drivers.noise import NoiseCounter
from gateway.reading import Dims, Fault, Measured

__all__ = [
    "Checksum",
    "ChecksumKind",
    "Field",
    "FrameReader",
    "FrameTable",
    "LengthField",
    "Payload",
]

ChecksumKind = Literal["sum8", "negative8", "xor8", "sum16"]
SAMPLE_BYTES = 16
"""How much of a bad frame is kept to look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a frame, in the registry's unit after division by ``per``."""

    offset: int
    """From the frame's first byte."""
    code: str
    """Character of the struct module, without byte order: ``H``."""
    quantity: str
    per: float = 1.0
    """Counts per unit: 10 for a value in tenths."""
    lowest: float = float("-inf")
    highest: float = float("inf")
    """In counts; a value outside is a fault, because the device cannot produce it."""
    invalid: frozenset[int] = frozenset()
    """Counts that mean "no value"."""
    dims: Dims = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """The fields of one kind of frame; none for an answer that holds no readings."""

    fields: tuple[Field, ...] = ()
    blank: tuple[int, ...] | None = None
    """If the fields hold exactly these counts the device has not measured yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthField:
    """Where a frame says how long it is."""

    offset: int
    code: str
    extra: int
    """What to add to the field for the length of the whole frame."""
    shortest: int
    longest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checksum:
    """A check value that stands directly behind the bytes that it covers."""

    kind: ChecksumKind
    first: int
    """First byte that it covers."""
    behind: int
    """Bytes at the frame's end that it does not cover: itself and the end bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTable:
    """Everything that has to be known about the frames of one device."""

    start: bytes
    length: int | LengthField
    payloads: Mapping[bytes, Payload]
    """By the bytes that follow ``start`` and name the kind; ``b""`` where all frames are alike."""
    byte_order: Literal["<", ">"]
    checksum: Checksum | None = None
    end: bytes = b""


def _sum8(data: bytes) -> bytes:
    return bytes((sum(data) & 0xFF,))


def _negative8(data: bytes) -> bytes:
    return bytes((-sum(data) & 0xFF,))


def _xor8(data: bytes) -> bytes:
    check = 0
    for byte in data:
        check ^= byte
    return bytes((check,))


def _sum16(data: bytes) -> bytes:
    return (sum(data) & 0xFFFF).to_bytes(2, "big")


_CHECKSUMS: Mapping[ChecksumKind, Callable[[bytes], bytes]] = {
    "sum8": _sum8,
    "negative8": _negative8,
    "xor8": _xor8,
    "sum16": _sum16,
}


def _sample(buffer: bytes, position: int, stop: int) -> bytes:
    return buffer[position : min(stop, position + SAMPLE_BYTES)]


class _Decoder:
    """One payload, compiled: a single unpack, then a loop over its fields."""

    def __init__(self, payload: Payload, byte_order: str) -> None:
        form = byte_order
        offset = 0
        for field in payload.fields:
            if field.offset < offset:
                raise ValueError(f"fields overlap or are out of order at offset {field.offset}")
            form += f"{field.offset - offset}x{field.code}"
            offset = field.offset + struct.calcsize(byte_order + field.code)
        self.size = offset
        self._unpack = struct.Struct(form).unpack_from
        self._blank = payload.blank
        self._fields = tuple(
            (f.quantity, f.per, f.lowest, f.highest, f.invalid, f.dims) for f in payload.fields
        )

    def decode(
        self, buffer: bytes, position: int, stop: int, outcomes: list[Measured | Fault]
    ) -> None:
        values = self._unpack(buffer, position)
        if values == self._blank:
            return
        for raw, (quantity, per, lowest, highest, invalid, dims) in zip(
            values, self._fields, strict=True
        ):
            if raw in invalid:
                continue
            if lowest <= raw <= highest:
                outcomes.append(Measured(quantity, raw / per, dims))
            else:
                what = f"{quantity} beyond the device's range"
                outcomes.append(Fault("range", what, _sample(buffer, position, stop)))


class FrameReader:
    """Finds and decodes the frames of one device in a stream of bytes.

    Keeps less than one frame between two calls; reports dropped bytes as faults of kind
    ``noise``, a failed check as ``checksum``, a good frame of another kind as ``unknown``.
    """

    def __init__(self, table: FrameTable) -> None:
        length = table.length
        self._table = table
        self._fixed = length if isinstance(length, int) else 0
        self._longest = length if isinstance(length, int) else length.longest
        self._shortest = length if isinstance(length, int) else length.shortest
        self._kind_from = len(table.start)
        kind_bytes = {len(kind) for kind in table.payloads}
        if len(kind_bytes) != 1:
            raise ValueError("the kinds of a table must have the same number of bytes")
        self._kind_to = len(table.start) + kind_bytes.pop()
        self._decoders = {
            kind: _Decoder(payload, table.byte_order) for kind, payload in table.payloads.items()
        }
        for decoder in self._decoders.values():
            if decoder.size + len(table.end) > self._shortest:
                raise ValueError("a field lies outside of the shortest frame")
        self._rest = b""
        self._noise = NoiseCounter()

    @property
    def buffered_bytes(self) -> int:
        """Return how many bytes wait for the rest of their frame."""
        return len(self._rest)

    def feed(self, data: bytes) -> list[Measured | Fault]:
        """Take bytes in any chunking; return what the frames that they complete say."""
        buffer = self._rest + data
        outcomes: list[Measured | Fault] = []
        position = 0
        while True:
            if not buffer.startswith(self._table.start, position):
                position = self._next_start(buffer, position, outcomes)
            length = self._fixed or self._length_at(buffer, position)
            stop = position + length
            if stop > len(buffer):
                break
            if length and self._accept(buffer, position, stop, outcomes):
                position = stop
            else:
                outcomes += self._noise.drop(buffer[position : position + 1])
                position += 1
        self._rest = buffer[position:]
        return outcomes

    def _next_start(self, buffer: bytes, position: int, outcomes: list[Measured | Fault]) -> int:
        """Drop what cannot begin a frame; return where one begins, or may begin."""
        start = self._table.start
        found = buffer.find(start, position)
        if found < 0:
            found = len(buffer)
            for size in range(len(start) - 1, 0, -1):
                if buffer.endswith(start[:size], position):
                    found -= size
                    break
        outcomes += self._noise.drop(buffer[position:found])
        return found

    def _length_at(self, buffer: bytes, position: int) -> int:
        """Return the frame's length by its length field, 0 if impossible.

        While the field itself is not there yet this is the longest length: wait.
        """
        field = self._table.length
        if isinstance(field, int):
            return field
        form = self._table.byte_order + field.code
        if position + field.offset + struct.calcsize(form) > len(buffer):
            return field.longest
        length = int(struct.unpack_from(form, buffer, position + field.offset)[0]) + field.extra
        return length if field.shortest <= length <= field.longest else 0

    def _accept(
        self, buffer: bytes, position: int, stop: int, outcomes: list[Measured | Fault]
    ) -> bool:
        """Check one candidate and decode it; tell whether it is a frame."""
        table = self._table
        if table.end and not buffer.endswith(table.end, position, stop):
            return False
        decoder = self._decoders.get(buffer[position + self._kind_from : position + self._kind_to])
        check = table.checksum
        if check is not None:
            covered = stop - check.behind
            value = _CHECKSUMS[check.kind](buffer[position + check.first : covered])
            if not buffer.startswith(value, covered):
                if decoder is not None:
                    sample = _sample(buffer, position, stop)
                    outcomes += self._noise.end()
                    outcomes.append(Fault("checksum", "frame with a wrong checksum", sample))
                    self._noise.excuse(stop - position)
                return False
        outcomes += self._noise.end()
        if decoder is None:
            sample = _sample(buffer, position, stop)
            outcomes.append(Fault("unknown", "good frame of another kind", sample))
        else:
            decoder.decode(buffer, position, stop, outcomes)
        return True
