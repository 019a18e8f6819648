"""A lab's own frame table, as it stands in the configuration, and what makes one impossible."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from drivers import frames
from drivers.checks import CHECK_BYTES, ChecksumKind
from gateway.quantities import DIMS, registry

__all__ = [
    "ChecksumOptions",
    "FieldOptions",
    "FrameOptions",
    "Hex",
    "LengthFieldOptions",
    "frame_table",
]

MAX_FRAME_BYTES = 1024
MAX_MARK_BYTES = 16
"""Of start and end."""
MAX_FIELDS = 64
MIN_FIXED_BYTES = 2
"""Fixed bytes that a frame without checksum must have, or noise would look like one."""
CODES: Mapping[str, tuple[str, int]] = {
    "u8": ("B", 1),
    "i8": ("b", 1),
    "u16": ("H", 2),
    "i16": ("h", 2),
    "u32": ("I", 4),
    "i32": ("i", 4),
    "f32": ("f", 4),
}
"""Type of a number -> its character of the struct module, its bytes."""

NumberType = Literal["u8", "i8", "u16", "i16", "u32", "i32", "f32"]
Offset = Annotated[int, Field(ge=0, lt=MAX_FRAME_BYTES)]


def _is_hex(text: str) -> str:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ValueError('must be bytes in hexadecimal, such as "AA C0"') from None
    if len(data) > MAX_MARK_BYTES:
        raise ValueError(f"has {len(data)} bytes; {MAX_MARK_BYTES} are the most")
    return text


Hex = Annotated[str, AfterValidator(_is_hex)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LengthFieldOptions(_Table):
    """Where a frame says how long it is."""

    offset: Offset = Field(description="Where the number stands, from the frame's first byte, 0.")
    type: Literal["u8", "u16"] = Field(default="u8", description="What kind of number it is.")
    add: int = Field(
        ge=-MAX_FRAME_BYTES,
        le=MAX_FRAME_BYTES,
        description="What to add to it for the length of the whole frame.",
    )
    shortest: int = Field(
        ge=1, le=MAX_FRAME_BYTES, description="Bytes of the shortest whole frame."
    )
    longest: int = Field(ge=1, le=MAX_FRAME_BYTES, description="Bytes of the longest whole frame.")


class ChecksumOptions(_Table):
    """How a frame is checked; the check value stands before the end bytes."""

    kind: ChecksumKind = Field(description="How it is calculated.")
    first: Offset = Field(default=0, description="The first byte that it covers; 0 is the first.")
    byte_order: Literal["little", "big"] | None = Field(
        default=None,
        description="Of two bytes; the default is big (high byte first), but little for modbus "
        "and arc.",
    )


class FieldOptions(_Table):
    """One value of a frame."""

    quantity: str = Field(description="Its name in the registry of quantities.")
    offset: Offset = Field(description="Where it stands, from the frame's first byte, which is 0.")
    type: NumberType = Field(description="What kind of number it is.")
    divide: float = Field(
        default=1.0,
        ge=1e-6,
        le=1e9,
        description="Counts per unit of the quantity: 10 for tenths.",
    )
    zero: float = Field(
        default=0.0, ge=-1e9, le=1e9, description="The count that stands for 0, such as 40."
    )
    lowest: float | None = Field(
        default=None, description="The least that the device can show, in the quantity's unit."
    )
    highest: float | None = Field(
        default=None, description="The most that the device can show, in the quantity's unit."
    )
    invalid: tuple[int, ...] = Field(
        default=(), max_length=16, description="Counts that mean that there is no value."
    )
    dims: Mapping[str, str] = Field(
        default={}, description="Dimensions, such as { channel = 'left' }."
    )

    @field_validator("quantity")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in registry():
            near = difflib.get_close_matches(name, registry(), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"is not in the registry of quantities{hint}")
        return name

    @field_validator("dims")
    @classmethod
    def _are_dimensions(cls, dims: Mapping[str, str]) -> Mapping[str, str]:
        for unknown in dims.keys() - set(DIMS):
            raise ValueError(f"has {unknown}; dimensions are {', '.join(DIMS)}")
        return dims

    @field_validator("highest")
    @classmethod
    def _is_a_range(cls, highest: float | None, info: ValidationInfo) -> float | None:
        lowest = info.data.get("lowest")
        if highest is not None and lowest is not None and lowest > highest:
            raise ValueError(f"is below lowest = {lowest:g}")
        return highest


class FrameOptions(_Table):
    """The frames of one device."""

    start: Hex = Field(
        min_length=2, description="The bytes that each frame begins with, in hexadecimal."
    )
    length: int | None = Field(
        default=None,
        ge=2,
        le=MAX_FRAME_BYTES,
        description="Bytes of a whole frame, where all are alike.",
    )
    length_field: LengthFieldOptions | None = Field(
        default=None, description="Where a frame says how long it is, instead of length."
    )
    end: Hex = Field(default="", description="The bytes that each frame ends with, in hexadecimal.")
    byte_order: Literal["little", "big"] = Field(
        description="Which byte of a number comes first: little is the low one."
    )
    checksum: ChecksumOptions | None = Field(default=None, description="How a frame is checked.")
    zeros_are_missing: bool = Field(
        default=False,
        description="Whether a frame in which all fields are 0 says that nothing was measured yet.",
    )
    field: tuple[FieldOptions, ...] = Field(
        min_length=1, max_length=MAX_FIELDS, description="The values of a frame, in order."
    )

    @property
    def measures(self) -> tuple[str, ...]:
        """Return the quantities of the table, each once."""
        return tuple(dict.fromkeys(each.quantity for each in self.field))

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        self._check_length()
        start, end = bytes.fromhex(self.start), bytes.fromhex(self.end)
        if self.checksum is None and len(start) + len(end) < MIN_FIXED_BYTES:
            raise ValueError(
                "needs a checksum, or at least two bytes of start and end: any noise would be a "
                "frame otherwise"
            )
        check_bytes = CHECK_BYTES[self.checksum.kind] if self.checksum is not None else 0
        shortest = self.length_field.shortest if self.length_field is not None else self.length
        last = (shortest or 0) - len(end) - check_bytes
        if self.checksum is not None and self.checksum.first >= last:
            raise ValueError(f"checksum.first must be below {last}, where the check value stands")
        self._check_fields(len(start), last)
        return self

    def _check_length(self) -> None:
        if (self.length is None) == (self.length_field is None):
            raise ValueError("needs either length or length_field")
        if self.length_field is not None:
            if self.length_field.shortest > self.length_field.longest:
                raise ValueError("length_field.shortest is above length_field.longest")
            end = self.length_field.offset + CODES[self.length_field.type][1]
            if end > self.length_field.shortest:
                raise ValueError("length_field stands outside of the shortest frame")

    def _check_fields(self, first: int, last: int) -> None:
        """Refuse values outside of the bytes between start and check value, or on one another."""
        free, before = first, "the start bytes"
        for each in self.field:
            size = CODES[each.type][1]
            where = f"field {each.quantity} (bytes {each.offset} to {each.offset + size - 1})"
            if each.offset < free:
                raise ValueError(f"{where} overlaps {before}, which end before byte {free}; "
                                 "fields stand in the order of their offsets")  # fmt: skip
            if each.offset + size > last:
                raise ValueError(f"{where} ends behind byte {last - 1}, the last before checksum "
                                 "and end of the shortest frame")  # fmt: skip
            free, before = each.offset + size, f"field {each.quantity}"


def _field(each: FieldOptions) -> frames.Field:
    def counts(value: float) -> float:
        return round(value * each.divide + each.zero, 6)

    return frames.Field(
        offset=each.offset,
        code=CODES[each.type][0],
        quantity=each.quantity,
        per=each.divide,
        zero=each.zero,
        lowest=counts(each.lowest) if each.lowest is not None else float("-inf"),
        highest=counts(each.highest) if each.highest is not None else float("inf"),
        invalid=frozenset(each.invalid),
        dims=tuple(sorted(each.dims.items())),
    )


def _length(options: FrameOptions) -> int | frames.LengthField:
    field = options.length_field
    if field is None:
        return options.length or 0
    return frames.LengthField(
        offset=field.offset,
        code=CODES[field.type][0],
        extra=field.add,
        shortest=field.shortest,
        longest=field.longest,
    )


def frame_table(options: FrameOptions) -> frames.FrameTable:
    """Return the table that the engine works with."""
    orders: Mapping[Any, Literal["<", ">"]] = {"little": "<", "big": ">"}
    end, check = bytes.fromhex(options.end), options.checksum
    return frames.FrameTable(
        start=bytes.fromhex(options.start),
        length=_length(options),
        byte_order=orders[options.byte_order],
        checksum=None
        if check is None
        else frames.Checksum(
            kind=check.kind,
            first=check.first,
            behind=CHECK_BYTES[check.kind] + len(end),
            byte_order=orders.get(check.byte_order),
        ),
        end=end,
        payloads={
            b"": frames.Payload(
                fields=tuple(map(_field, options.field)),
                blank=(0,) * len(options.field) if options.zeros_are_missing else None,
            )
        },
    )
