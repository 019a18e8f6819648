"""The words of a frame table: what has to be known about the frames of a device."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from drivers.checks import ChecksumKind
from gateway.reading import Dims

__all__ = ["Checksum", "Field", "FrameTable", "LengthField", "Payload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One value of a frame, in the registry's unit: ``(count - zero) / per``."""

    offset: int
    """From the frame's first byte."""
    code: str
    """Character of the struct module, without byte order: ``H``."""
    quantity: str
    per: float = 1.0
    """Counts per unit: 10 for a value in tenths."""
    zero: float = 0.0
    """The count that stands for 0: 40 where a byte holds degrees + 40."""
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
    zeros: tuple[int, int] | None = None
    """If the bytes from the first to before the second are 0 the device has not measured yet."""
    device_error: str = ""
    """What a frame of this kind says has gone wrong in the device."""


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
    byte_order: Literal["<", ">"] | None = None
    """Of two bytes, where it is not the usual one: low byte first for modbus and arc."""


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
